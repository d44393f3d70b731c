"""News that fal streams: believed while they are prompt, and never the only way to hear of an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.bootstrap import Services
from app.clients.fal.status import MAX_BODY_BYTES, MAX_EVENTS, FalState, FalStatusClient
from app.clients.queue import COLLECT_QUEUE
from app.domain import clock
from app.domain.errors import ProviderBusy
from app.domain.fal_request import Receipt
from tests.support.emulator import Emulator
from tests.support.factories import certain, make_job, make_receipt
from tests.support.fal_calls import FLUX, submit
from tests.support.fal_place import FalPlace
from tests.support.https_server import Server, https_server
from workers.watcher import streams
from workers.watcher.polling import Poller
from workers.watcher.tracking import Tracker

KEY = "test-id:test-secret"
RECEIPT = ("request_id", "status_url", "response_url", "cancel_url")
#: As long as a machine with other things to do may take; what is asserted is who was asked, and how often.
DEADLINE_S = 30.0


class Watched:
    """A poller over the real client, and the requests it was given."""

    def __init__(self, services: Services, tracker: Tracker, poller: Poller) -> None:
        self.services, self.tracker, self.poller = services, tracker, poller
        self.count = 0
        self.polling = asyncio.create_task(poller.poll())

    async def ended(self, receipts: list[Receipt]) -> float:
        """Have requests watched from now on; return the seconds until the last has been found done."""
        began = time.monotonic()
        for receipt in receipts:
            now = clock.now()
            job = certain(certain(make_job(now=now).submitting(0, now=now)).submitted(0, receipt, now=now))
            await asyncio.to_thread(self.services.jobs.insert, job)
            await self.tracker.add(job.id)
        async with asyncio.timeout(DEADLINE_S):
            while self.tracker.requests and not self.polling.done():  # noqa: ASYNC110 - what is tested tells nobody
                await asyncio.sleep(0.01)
            self.count += len(receipts)
            while len(self.services.queue.waiting(COLLECT_QUEUE)) < self.count:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        return time.monotonic() - began


@asynccontextmanager
async def watching(services: Services) -> AsyncIterator[Watched]:
    async def in_thread(call: Any) -> Any:
        return await asyncio.to_thread(call)

    async with FalStatusClient(KEY) as client:
        tracker = Tracker(services, in_thread)
        tracker.activate(active=True)
        poller = Poller(client, tracker, polls_per_second=200)
        watched = Watched(services, tracker, poller)
        yield watched
        assert not watched.polling.done()
        watched.polling.cancel()


def ordered(fal: Emulator, count: int = 1) -> list[Receipt]:
    return [Receipt(**{name: submitted[name] for name in RECEIPT}) for submitted in (submit(fal, FLUX).json() for _ in range(count))]


async def learned(watched: Watched, fal: Emulator) -> None:
    """Let it see that fal's streams are prompt."""
    await asyncio.to_thread(fal.settings, seconds=0.3, queueSeconds=0)
    while not watched.poller._streams.are_trusted:
        await watched.ended(await asyncio.to_thread(ordered, fal, 4))


def test_requests_whose_stream_is_prompt_are_hardly_asked_for(services: Services, fal_emulator: Emulator) -> None:
    async def story() -> float:
        async with watching(services) as watched:
            await learned(watched, fal_emulator)
            await asyncio.to_thread(fal_emulator.settings, seconds=1.5, queueSeconds=0)
            return await watched.ended(await asyncio.to_thread(ordered, fal_emulator, 5))

    asyncio.run(story())

    last = fal_emulator.requests()[-5:]
    assert [request["streams"] for request in last] == [1] * 5
    assert sorted(request["statusPolls"] for request in last)[:4] == [0, 0, 0, 0]  # One of the five may be the sample.
    assert len(services.queue.waiting(COLLECT_QUEUE)) == len(fal_emulator.requests())


@pytest.mark.parametrize("kind", ["late", "silent"])
def test_requests_whose_stream_tells_late_or_nothing_are_asked_for_again(services: Services, fal_emulator: Emulator, kind: str) -> None:
    async def story() -> bool:
        async with watching(services) as watched:
            await learned(watched, fal_emulator)
            await asyncio.to_thread(fal_emulator.fault, "stream", kind, times=None, seconds=20.0)
            await asyncio.to_thread(fal_emulator.settings, seconds=1.0, queueSeconds=0)
            took_s = await watched.ended(await asyncio.to_thread(ordered, fal_emulator, 3))
            assert took_s < 20.0
            await asyncio.sleep(2 * streams.GRACE_S)
            await watched.ended(await asyncio.to_thread(ordered, fal_emulator, 1))
            return watched.poller._streams.are_trusted

    assert not asyncio.run(story())
    assert fal_emulator.requests()[-1]["streams"] == 0
    assert fal_emulator.requests()[-1]["statusPolls"] > 1


@pytest.mark.parametrize("kind", ["error_503", "drop", "html", "not_found"])
def test_without_streams_requests_are_asked_for_as_ever(services: Services, fal_emulator: Emulator, kind: str) -> None:
    async def story() -> None:
        fal_emulator.fault("stream", kind, times=None)
        fal_emulator.settings(seconds=0.5, queueSeconds=0)
        async with watching(services) as watched:
            await watched.ended(await asyncio.to_thread(ordered, fal_emulator, 3))

    asyncio.run(story())

    requests = fal_emulator.requests()
    assert all(request["statusPolls"] > 1 for request in requests)
    # aiohttp repeats a GET whose kept connection was dropped.
    assert sum(request["streams"] for request in requests) <= 2 * streams.PROBES


def told(receipt: Receipt) -> list[FalState]:
    async def all_of_it() -> list[FalState]:
        async with FalStatusClient(KEY) as client:
            return [status.state async for status in client.states(receipt)]

    return asyncio.run(all_of_it())


def a_stream(server: Server, body: bytes, kind: str = "text/event-stream") -> Receipt:
    receipt = make_receipt(host=server.host)
    server.on(f"{receipt.status_url.removeprefix(f'https://{server.host}')}/stream", body=body, content_type=kind)
    return receipt


def test_a_stream_is_read_until_the_end_whatever_stands_between_its_events(fal_place: FalPlace) -> None:
    body = b': hello\n\nevent: x\r\ndata: {"status": "IN_QUEUE"}\r\n\r\ndata:{"status": "IN_PROGRESS"}\n\ndata: {"status": "COMPLETED"}\n\nmore'
    with https_server(fal_place.tls_dir) as server:
        receipt = a_stream(server, body)

        assert told(receipt) == [FalState.IN_QUEUE, FalState.IN_PROGRESS, FalState.COMPLETED]


@pytest.mark.parametrize(
    "body",
    [
        b'data: {"status": "IN_PROGRESS"}\n\n',
        b"data: []\n\n",
        b"data: {\n\n",
        b'data: {"status": "NEW"}\n\n',
        b"x" * (MAX_BODY_BYTES + 2),
        b":\n" * (MAX_EVENTS + 2),
        b"",
    ],
    ids=["broken off", "a list", "no JSON", "no state", "a line without end", "events without end", "nothing"],
)
def test_what_is_no_whole_stream_leaves_the_request_to_polls(fal_place: FalPlace, body: bytes) -> None:
    with https_server(fal_place.tls_dir) as server:
        receipt = a_stream(server, body)

        with pytest.raises(ProviderBusy):
            told(receipt)


def test_what_is_no_stream_is_not_read(fal_place: FalPlace) -> None:
    with https_server(fal_place.tls_dir) as server:
        receipt = a_stream(server, b'data: {"status": "COMPLETED"}\n\n', "application/json")

        with pytest.raises(ProviderBusy):
            told(receipt)
