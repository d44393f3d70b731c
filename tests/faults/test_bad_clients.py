"""Clients that send slowly, send too much or do not read: each is dropped in time, and nobody else notices."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from tests.acceptance.service import a_prompt, order, wait_until
from tests.faults.place import Place
from tests.faults.rude import BYTES_PER_S, PATIENCE_S, Web, heard_until_closed, impatient_web, trickled
from tests.support.listeners import listening

HEAD = b"POST /api/images/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
CONTINUED, TEXT, FINAL = 0x00, 0x01, 0x80
TOO_LARGE = (1009).to_bytes(2, "big")
#: Dropped in time: the limit, and what a busy machine adds.
SOON_S = PATIENCE_S + 2.5
QUICK_S = 2.0


@pytest.fixture(scope="module")
def impatient(shared_place: Place) -> Iterator[Web]:
    with impatient_web(shared_place) as web:
        yield web


@pytest.fixture
def web(place: Place, impatient: Web) -> Web:
    wait_until(lambda: not impatient.connections(), 30, "the end of earlier connections")
    return impatient


@pytest.mark.parametrize("start", [b"G", b"GET /healthz HTTP/1.1\r\nX-Long: "], ids=["request line", "header"])
def test_a_head_without_an_end_is_cut_off_however_steadily_it_comes(web: Web, start: bytes) -> None:
    with web.connected() as client:
        client.sendall(start)

        assert PATIENCE_S - 0.5 < trickled(client, b"a", 0.1) < SOON_S


@pytest.mark.parametrize(
    "start", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"], ids=["nothing", "a word", "a line"]
)
def test_a_client_that_falls_silent_in_a_head_is_dropped(web: Web, start: bytes) -> None:
    with web.connected() as client:
        client.sendall(start)

        assert heard_until_closed(client, SOON_S) == b""


@pytest.mark.parametrize("line", [b"X-Long: " + b"a" * 9000 + b"\r\n", b"X-Many: a\r\n" * 200, b"X-Large: " + b"a" * 8000 + b"\r\n"])
def test_a_head_that_is_too_large_is_refused(web: Web, line: bytes) -> None:
    with web.connected() as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n" + line * 10)

        assert heard_until_closed(client, SOON_S).split(b" ")[1][:1] == b"4"


@pytest.mark.parametrize("length", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"], ids=["announced", "chunked"])
def test_a_body_that_comes_byte_by_byte_is_cut_off_and_orders_nothing(place: Place, web: Web, length: bytes) -> None:
    before = len(place.jobs())
    with web.connected() as client:
        client.sendall(HEAD.replace(b"Content-Length: %d", length))

        assert PATIENCE_S - 0.5 < trickled(client, b"1", 0.1) < SOON_S
    assert len(place.jobs()) == before


def test_a_body_that_comes_slowly_but_steadily_is_taken(web: Web) -> None:
    body = json.dumps({**order(a_prompt()), "async": True}).encode()
    body += b" " * (BYTES_PER_S * 6 - len(body))
    with web.connected() as client:
        client.sendall(HEAD % len(body))
        for start in range(0, len(body), BYTES_PER_S // 2):
            client.sendall(body[start : start + BYTES_PER_S // 2])
            time.sleep(0.2)

        assert client.recv(65536).startswith(b"HTTP/1.1 202 ")


def test_a_connection_is_kept_for_the_next_request_and_closed_when_none_comes(web: Web) -> None:
    with web.connected() as client:
        for _ in range(3):
            time.sleep(PATIENCE_S / 2)
            client.sendall(GET)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()

        assert heard_until_closed(client, SOON_S) == b""
        assert time.monotonic() - began > PATIENCE_S - 0.5


def test_whoever_reads_no_answer_is_dropped(web: Web) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0.2)
        client.connect(("127.0.0.1", web.port))
        client.sendall(GET.replace(b"healthz", b"openapi.json") * 100)

        wait_until(web.connections, 30, "the connection")
        wait_until(lambda: not web.connections(), 15, "the end of the connection")


def test_a_thousand_silent_connections_and_unread_streams_harm_nobody(place: Place, web: Web) -> None:
    place.emulator.settings(seconds=2.0)
    job_id = place.submit(a_prompt())
    with ExitStack() as opened:
        clients = [opened.enter_context(web.connected()) for _ in range(1000)]
        for client in clients[:200]:
            client.sendall(GET.replace(b"healthz", b"api/jobs/%s/events" % job_id.encode()))

        waits = [web.health_s() for _ in range(5)]
        wait_until(lambda: not web.connections(), 15, "the end of all connections")

    assert max(waits) < QUICK_S
    assert place.ended(job_id)["status"] == "completed"


def test_a_socketio_client_that_never_answers_is_dropped(web: Web) -> None:
    with web.connected() as client:
        upgraded(client)
        client.sendall(frame(TEXT | FINAL, b'40{"userId": "user123"}'))

        wait_until(lambda: not web.connections(), 10, "the end of the connection")
        assert b'40{"sid":' in heard_until_closed(client, 1)


def test_a_message_without_an_end_is_refused(web: Web) -> None:
    fragment = b"a" * 60_000
    with web.connected() as client:
        upgraded(client)
        client.sendall(frame(TEXT, fragment) + frame(CONTINUED, fragment) * 2)

        assert TOO_LARGE + b"The message is too large" in heard_until_closed(client, SOON_S)


def test_waiting_requests_and_sockets_outlive_every_limit(place: Place, web: Web) -> None:
    place.emulator.settings(seconds=PATIENCE_S * 3)
    with ThreadPoolExecutor(1) as pool, listening(web.address, {"userId": "user123"}) as heard:
        posted = pool.submit(httpx.post, f"{web.address}/api/images/generate", json=order(a_prompt()), timeout=30, trust_env=False)
        answer = posted.result(30)
        events = heard.until_end_of(answer.json()["jobId"])

    assert (answer.status_code, answer.json()["success"]) == (201, True)
    assert events[-1][0] == "generation_completed"


def upgraded(client: socket.socket) -> None:
    """Make a connection a WebSocket. Nothing may be sent before it is one."""
    client.sendall(UPGRADE)
    assert client.recv(65536).startswith(b"HTTP/1.1 101 ")


def frame(kind: int, text: bytes) -> bytes:
    """Return a WebSocket frame, masked with zeros."""
    length = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return bytes([kind]) + length + bytes(4) + text
