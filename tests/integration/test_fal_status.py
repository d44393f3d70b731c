from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from app.clients.fal.queue import FalQueue
from app.clients.fal.status import FalState, FalStatus, FalStatusClient
from app.domain.errors import ProviderBusy
from app.domain.fal_request import Receipt
from tests.support.emulator import Emulator
from tests.support.factories import make_receipt
from tests.support.fal_calls import FLUX, wait_until
from tests.support.fal_place import FalPlace
from tests.support.https_server import Server, https_server

KEY = "test-id:test-secret"


@pytest.fixture
def fal(fal_place: FalPlace) -> Iterator[FalQueue]:
    made = FalQueue(KEY, frozenset({fal_place.host}))
    yield made
    made.close()


@pytest.fixture
def server(fal_place: FalPlace) -> Iterator[Server]:
    with https_server(fal_place.tls_dir) as running:
        yield running


def ask(*receipts: Receipt, timeout_s: float = 10.0) -> list[FalStatus]:
    async def all_at_once() -> list[FalStatus]:
        async with FalStatusClient(KEY, timeout_s=timeout_s) as client:
            return await asyncio.gather(*(client.status(receipt) for receipt in receipts))

    return asyncio.run(all_at_once())


def test_a_request_is_followed_from_the_queue_to_its_end(fal: FalQueue, fal_emulator: Emulator) -> None:
    fal_emulator.settings(concurrency=1)
    fal_emulator.outcome("never", promptContains="runs")
    running = fal.submit(FLUX, {"prompt": "runs"})
    wait_until(lambda: fal_emulator.requests()[0]["state"] == "IN_PROGRESS")
    waiting = [fal.submit(FLUX, {"prompt": "waits"}) for _ in range(2)]

    found = ask(running, *waiting)

    assert found == [
        FalStatus(FalState.IN_PROGRESS),
        FalStatus(FalState.IN_QUEUE, 0),
        FalStatus(FalState.IN_QUEUE, 1),
    ]


def test_a_failed_request_is_completed_too(fal: FalQueue, fal_emulator: Emulator) -> None:
    fal_emulator.outcome("content_policy")
    receipts = [fal.submit(FLUX, {"prompt": "x"}) for _ in range(2)]
    wait_until(lambda: all(seen["state"] == "COMPLETED" for seen in fal_emulator.requests()))

    assert ask(*receipts) == [FalStatus(FalState.COMPLETED)] * 2


def test_a_request_fal_does_not_know_is_gone(fal_emulator: Emulator) -> None:
    assert ask(make_receipt("nobody", host=fal_emulator.host)) == [FalStatus(FalState.GONE)]


@pytest.mark.parametrize("kind", ["error_500", "error_503", "html", "drop", "too_early"])
def test_an_answer_that_tells_nothing_is_asked_for_again(fal: FalQueue, fal_emulator: Emulator, kind: str) -> None:
    receipt = fal.submit(FLUX, {"prompt": "x"})
    fal_emulator.fault("status", kind, times=None)

    with pytest.raises(ProviderBusy):
        ask(receipt)

    fal_emulator.clear()
    assert ask(receipt)[0].state in set(FalState) - {FalState.GONE}


@pytest.mark.parametrize(
    "body", [b"[]", b"null", b"7", b'"x"', b'{"status": 5}', b'{"status": "NEW"}', b"{}", b"\xff\xfe", b'{"status": {}}']
)
def test_a_state_of_another_shape_tells_nothing(server: Server, body: bytes) -> None:
    receipt = make_receipt(host=server.host)
    server.on(receipt.status_url.removeprefix(f"https://{server.host}"), body=body)

    with pytest.raises(ProviderBusy):
        ask(receipt)


@pytest.mark.parametrize("position", ["-1", "true", '"3"', "null", "1.5"])
def test_a_position_that_is_none_is_left_out(server: Server, position: str) -> None:
    receipt = make_receipt(host=server.host)
    server.on(
        receipt.status_url.removeprefix(f"https://{server.host}"), body=f'{{"status": "IN_QUEUE", "queue_position": {position}}}'.encode()
    )

    assert ask(receipt) == [FalStatus(FalState.IN_QUEUE)]


def test_a_redirect_is_not_followed_with_our_key(server: Server) -> None:
    receipt = make_receipt(host=server.host)
    server.on("/elsewhere", body=b'{"status": "COMPLETED"}')
    server.on(receipt.status_url.removeprefix(f"https://{server.host}"), 307, location="/elsewhere")

    with pytest.raises(ProviderBusy):
        ask(receipt)

    assert len(server.seen) == 1
    assert server.seen[0][2]["Authorization"] == f"Key {KEY}"


def test_silence_ends_in_time(fal: FalQueue, fal_emulator: Emulator) -> None:
    receipt = fal.submit(FLUX, {"prompt": "x"})
    fal_emulator.fault("status", "hang")

    with pytest.raises(ProviderBusy):
        ask(receipt, timeout_s=0.3)


def test_a_host_that_is_away_is_asked_again() -> None:
    with pytest.raises(ProviderBusy):
        ask(make_receipt(host="localhost:9"))


def test_the_client_is_used_inside_its_context() -> None:
    with pytest.raises(RuntimeError):
        asyncio.run(FalStatusClient(KEY).status(make_receipt()))
