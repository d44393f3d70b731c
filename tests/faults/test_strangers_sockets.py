"""Socket.IO sessions that nobody was let into: each ends, whatever it did, and leaves no connection behind."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.service import wait_until
from tests.faults.place import Place
from tests.faults.rude import PATIENCE_S, Web, heard_until_closed, impatient_web
from tests.faults.test_bad_clients import FINAL, SOON_S, TEXT, UPGRADE, frame, upgraded

POLLING = "/socket.io/?EIO=4&transport=polling"
WITHOUT_A_LIMIT_S = 15.0


@pytest.fixture(scope="module")
def impatient(shared_place: Place) -> Iterator[Web]:
    with impatient_web(shared_place) as web:
        yield web


@pytest.fixture
def web(place: Place, impatient: Web) -> Web:
    wait_until(lambda: not impatient.connections(), WITHOUT_A_LIMIT_S, "the end of earlier connections")
    return impatient


def session(web: Web) -> str:
    """Open a session by polling; return its address."""
    answer = httpx.get(f"{web.address}{POLLING}", trust_env=False, timeout=10)
    sid = answer.text.partition('"sid":"')[2].partition('"')[0]
    assert sid, answer.text
    return f"{POLLING}&sid={sid}"


def post(path: str, length: int, body: bytes = b"") -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), length, body)


@pytest.mark.parametrize(
    ("length", "body"),
    [
        (1, b"6"),
        (70001, b""),
        (70001, b"4" * 70001),
        (5, b"4"),
        (3, b"\xff\xfe\xfd"),
        (40, b"\x1e" * 40),
        (2, b"d="),
        (3, b"b!!"),
        (4, b"451-"),
        (1, b"1"),
    ],
    ids=["noop", "too long", "too long and sent", "half", "no text", "too many packets", "no jsonp", "no base64", "binary", "close"],
)
def test_a_request_that_ends_its_session_ends_too(web: Web, length: int, body: bytes) -> None:
    path = session(web)

    for _ in range(20):
        with web.connected() as client:
            client.sendall(post(path, length, body))

    wait_until(lambda: not web.connections(), WITHOUT_A_LIMIT_S, "the end of all connections")
    assert web.get(path).status_code == 400


def test_a_session_without_a_credential_ends_although_it_is_polled_and_answers_every_ping(web: Web) -> None:
    path, began = session(web), time.monotonic()

    while (answer := web.get(path)).status_code == 200 and time.monotonic() - began < WITHOUT_A_LIMIT_S:
        if "2" in answer.text:
            httpx.post(f"{web.address}{path}", content="3", trust_env=False, timeout=10)

    assert time.monotonic() - began < WITHOUT_A_LIMIT_S


def test_a_second_poll_beside_one_that_waits_is_refused(web: Web) -> None:
    path = session(web)
    with web.connected() as first:
        first.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        time.sleep(0.1)

        assert web.get(path).status_code == 400


@pytest.mark.parametrize("words", [b"", b"40", b'40{"token": "wrong"}'], ids=["silent", "no credential", "a wrong one"])
def test_a_websocket_without_a_credential_is_closed(web: Web, words: bytes) -> None:
    with web.connected() as client:
        upgraded(client)
        if words:
            client.sendall(frame(TEXT | FINAL, words))

        heard_until_closed(client, SOON_S + PATIENCE_S)


def test_an_upgrade_without_a_word_is_closed(web: Web) -> None:
    path = session(web)
    with web.connected() as client:
        client.sendall(UPGRADE.replace(b"/socket.io/?EIO=4&transport=websocket", path.replace("polling", "websocket").encode()))

        assert b"HTTP/1.1 101 " in heard_until_closed(client, SOON_S + PATIENCE_S)


def test_a_client_that_leaves_its_namespace_is_a_stranger_again(web: Web) -> None:
    with web.connected() as client:
        upgraded(client)
        client.sendall(frame(TEXT | FINAL, b'40{"userId": "user123"}') + frame(TEXT | FINAL, b"41"))

        assert b'40{"sid":' in heard_until_closed(client, SOON_S + 2 * PATIENCE_S)
