"""A slow or dead fal: the watcher goes on with all else, and notices everything once fal answers again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import psutil
import pytest

from app.bootstrap import Services
from app.clients.fal.status import MAX_CONNECTIONS
from app.clients.queue import COLLECT_QUEUE, SUBMIT_QUEUE
from app.domain import clock
from app.domain.fal_request import Receipt
from scripts.stack.ports import free_port
from tests.support.emulator import running_emulator
from tests.support.factories import certain, make_job, make_receipt
from tests.support.fal_calls import submit, wait_until
from tests.support.fal_place import FalPlace
from tests.support.gateway import Gateway
from workers.watcher.__main__ import Watcher
from workers.watcher.streams import PROBES

IN_FLIGHT = 200
LOST_FOR_S = 120.0
SWEPT_WITHIN_S = 3.0
#: Of fal's silence; instead of 10 seconds.
TIMEOUT_S = 1.0
#: A look at the connections takes a moment, in which some end and others begin. Without a bound there would be 200.
MOST = MAX_CONNECTIONS + PROBES + 8
RECEIPT = ("request_id", "status_url", "response_url", "cancel_url")


@contextmanager
def watching(services: Services) -> Iterator[None]:
    """Run a watcher beside the test."""
    stop: asyncio.Event | None = None
    loop: asyncio.AbstractEventLoop | None = None
    is_ready = threading.Event()

    async def watch() -> None:
        nonlocal stop, loop
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        watcher = Watcher(services, stop, status_timeout_s=TIMEOUT_S, trouble_pause_s=0.5)
        is_ready.set()
        await watcher.watch()

    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(asyncio.run, watch())
        assert is_ready.wait(30)
        try:
            yield
        finally:
            assert loop is not None
            assert stop is not None
            loop.call_soon_threadsafe(stop.set)
            ended.result(timeout=10)
            # In a process of its own it ends with that; it looks every second.
            for hearing in (one for one in threading.enumerate() if one.name == "in-flight"):
                hearing.join(timeout=30)


def in_flight(services: Services, receipts: list[Receipt]) -> set[str]:
    """Write a job for each request that fal has; return the jobs' ids."""
    ids = set()
    for receipt in receipts:
        now = clock.now()
        job = certain(make_job(now=now, deadline_at=now + timedelta(seconds=900)).submitting(0, now=now))
        job = certain(job.submitted(0, receipt, now=now))
        services.jobs.insert(job)
        ids.add(job.id)
    return ids


def lost(gateway: Gateway) -> str:
    """Order a picture whose task gets lost, and let the time pass after which the sweep misses it; return the job's id."""
    job = gateway.order()
    gateway.tasks()
    gateway.wait(job, LOST_FOR_S)
    return job.id


def queued(services: Services, queue: str) -> list[str]:
    """Return whose tasks wait for a worker."""
    return [str(task.args[0]) for task in services.queue.waiting(queue)]


def connections_to(port: int) -> int:
    """Return how many connections to a server here this process has."""
    mine = psutil.Process().net_connections("tcp4")
    return sum(bool(one.raddr) and one.raddr.port == port and one.status == psutil.CONN_ESTABLISHED for one in mine)


class Most:
    """The most connections to a port that were seen at any look, all those before left out."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._before = connections_to(port)
        self.seen = 0

    def look(self) -> int:
        self.seen = max(self.seen, connections_to(self._port) - self._before)
        return self.seen


def test_a_fal_that_never_answers_does_not_slow_the_sweep(gateway: Gateway, fal_place: FalPlace) -> None:
    services, fal = gateway.services, gateway.fal
    accepted = [submit(fal).json() for _ in range(IN_FLIGHT)]
    jobs = in_flight(services, [Receipt(**{name: answer[name] for name in RECEIPT}) for answer in accepted])
    for stage in ("status", "stream"):
        fal.fault(stage, "hang", times=None)
    most = Most(fal_place.port)

    with watching(services):
        wait_until(lambda: most.look() >= MAX_CONNECTIONS // 2)
        job_id = lost(gateway)
        wait_until(lambda: most.look() and job_id in queued(services, SUBMIT_QUEUE), SWEPT_WITHIN_S)
        # Longer than a poll is waited for: those given up must not add to those that follow.
        with pytest.raises(AssertionError):
            wait_until(lambda: most.look() > MOST, 2 * TIMEOUT_S)
        noticed_before = queued(services, COLLECT_QUEUE)
        fal.clear()
        wait_until(lambda: jobs <= set(queued(services, COLLECT_QUEUE)), 20)

        assert noticed_before == []
        assert sorted(queued(services, COLLECT_QUEUE)) == sorted(jobs), "each is enqueued once"
    assert 0 < most.seen <= MOST


def test_a_fal_that_is_not_there_does_not_slow_the_sweep(gateway: Gateway, fal_place: FalPlace) -> None:
    services, port = gateway.services, free_port()
    jobs = in_flight(services, [make_receipt(f"req-{n}", host=f"localhost:{port}") for n in range(IN_FLIGHT)])

    with watching(services):
        job_id = lost(gateway)
        wait_until(lambda: job_id in queued(services, SUBMIT_QUEUE), SWEPT_WITHIN_S)
        noticed_before = queued(services, COLLECT_QUEUE)
        # It knows none of the requests, which is news of them, too.
        with running_emulator(fal_place.tls_dir, "--port", str(port)):
            wait_until(lambda: jobs <= set(queued(services, COLLECT_QUEUE)), 20)

        assert noticed_before == []
        assert sorted(queued(services, COLLECT_QUEUE)) == sorted(jobs), "each is enqueued once"


def test_a_new_request_is_noticed_at_once_while_others_hang(gateway: Gateway) -> None:
    """What hangs takes some of the connections; the rest serve those that fal answers."""
    services, fal = gateway.services, gateway.fal
    hanging = [submit(fal, prompt="this one hangs").json() for _ in range(MAX_CONNECTIONS // 2)]
    in_flight(services, [Receipt(**{name: answer[name] for name in RECEIPT}) for answer in hanging])
    for stage in ("status", "stream"):
        fal.fault(stage, "hang", times=None, promptContains="hangs")

    with watching(services):
        job = gateway.dispatch(gateway.order())
        wait_until(lambda: job.id in queued(services, COLLECT_QUEUE), 30)

    assert queued(services, COLLECT_QUEUE) == [job.id]
