"""What the watcher does with what fal tells: how often progress is written, what is enqueued, what is tracked at all."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from app.bootstrap import Services
from app.clients.fal.status import FalState, FalStatus
from app.clients.queue import TaskQueue
from app.clients.redis import connect_redis
from app.domain import clock
from app.domain.errors import StoreUnavailable
from app.domain.job import Job
from tests.support.factories import STOPPED, certain, make_receipt, submitted_job
from tests.support.gateway import Gateway
from tests.support.services import with_parts
from workers.watcher.tracking import EARLY_SHARE, Pace, Tracked, Tracker

T = TypeVar("T")
QUEUED = FalStatus(FalState.IN_QUEUE, 3)
RUNNING = FalStatus(FalState.IN_PROGRESS)
COMPLETED = FalStatus(FalState.COMPLETED)
GONE = FalStatus(FalState.GONE)
Scenario = Callable[[Tracker], Awaitable[T]]


@pytest.fixture
def in_flight(services: Services) -> Callable[..., Job]:
    """Write a job whose requests fal has."""

    def insert(*, age_s: float = 0.0, requests: int = 1, **fields: Any) -> Job:
        now = clock.now() - timedelta(seconds=age_s)
        job = submitted_job(requests=[1] * requests, now=now, **{"deadline_at": now + timedelta(seconds=900), **fields})
        sent = [dataclasses.replace(r, submitted_at=now, receipt=make_receipt(f"{job.id}-{r.index}")) for r in job.requests]
        job = dataclasses.replace(job, requests=tuple(sent))
        services.jobs.insert(job)
        return job

    return insert


def tracking_with(services: Services, scenario: Scenario[T], **pace: float) -> T:
    """Run a scenario with a tracker that is at work."""

    async def in_thread(call: Callable[[], Any]) -> Any:
        return await asyncio.to_thread(call)

    async def run() -> T:
        tracker = Tracker(services, in_thread, Pace(**pace))
        tracker.activate(active=True)
        return await scenario(tracker)

    return asyncio.run(run())


async def tracked(tracker: Tracker, job: Job) -> Tracked:
    await tracker.add(job.id)
    return tracker.requests[(job.id, 0)]


def test_jobs_that_are_heard_of_during_a_read_are_read_together(services: Services, in_flight: Callable[..., Job]) -> None:
    jobs, reads = [in_flight() for _ in range(30)], list[int]()
    read = services.jobs.of

    def counted(ids: Sequence[str]) -> list[Job]:
        reads.append(len(ids))
        return read(ids)

    async def scenario(tracker: Tracker) -> set[str]:
        await asyncio.gather(*(tracker.add(job.id) for job in jobs))
        return {job_id for job_id, _ in tracker.requests}

    services.jobs.of = counted  # type: ignore[method-assign]
    try:
        found = tracking_with(services, scenario, batch=20)
    finally:
        del services.jobs.of

    assert found == {job.id for job in jobs}
    assert reads == [1, 20, 9]


def test_a_read_that_fails_keeps_no_later_one_from_being_made(services: Services, in_flight: Callable[..., Job]) -> None:
    job = in_flight()

    async def scenario(tracker: Tracker) -> bool:
        in_thread = tracker._in_thread

        async def away(_: Callable[[], Any]) -> Any:
            raise StoreUnavailable("away")

        tracker._in_thread = away
        with pytest.raises(StoreUnavailable):
            await tracker.add(job.id)
        tracker._in_thread = in_thread
        await tracker.add(job.id)
        return (job.id, 0) in tracker.requests

    assert tracking_with(services, scenario)


def test_progress_of_a_request_is_written_so_often_at_most(services: Services, in_flight: Callable[..., Job]) -> None:
    """fal tells a new place in its queue with every answer."""
    job = in_flight()

    async def scenario(tracker: Tracker) -> float:
        request = await tracked(tracker, job)
        loop = asyncio.get_running_loop()
        begun, place = loop.time(), 10_000
        while loop.time() - begun < 1.9:
            place -= 50
            await tracker.take(request, FalStatus(FalState.IN_QUEUE, place))
            await asyncio.sleep(0.01)
        return loop.time() - begun

    took_s = tracking_with(services, scenario, progress_every_s=0.4)

    entries = certain(services.jobs.get(job.id)).history[job.seq :]
    gaps = [(later.at - earlier.at).total_seconds() for earlier, later in itertools.pairwise(entries)]
    assert 2 <= len(entries) <= 1 + took_s / 0.4
    assert min(gaps) >= 0.4 * 0.9


def test_progress_is_written_once_a_second_at_most() -> None:
    assert Pace().progress_every_s >= 1.0


def test_progress_of_many_is_written_a_bounded_number_of_times_a_second(services: Services, in_flight: Callable[..., Job]) -> None:
    jobs = [in_flight() for _ in range(60)]

    async def scenario(tracker: Tracker) -> float:
        await tracker.reload()
        loop = asyncio.get_running_loop()
        begun, place = loop.time(), 10_000
        while loop.time() - begun < 2.0:
            place -= 50
            for request in list(tracker.requests.values()):
                await tracker.take(request, FalStatus(FalState.IN_QUEUE, place))
            await asyncio.sleep(0.02)
        return loop.time() - begun

    took_s = tracking_with(services, scenario, progress_per_second=20.0)

    written = sum(certain(services.jobs.get(job.id)).seq - job.seq for job in jobs)
    assert 20 <= written <= 20.0 * took_s + 20.0


def test_the_bound_of_all_progress_leaves_few_requests_alone() -> None:
    assert Pace().progress_per_second * Pace().progress_every_s >= 50


def test_an_answer_that_says_nothing_new_is_not_written(services: Services, in_flight: Callable[..., Job]) -> None:
    job = in_flight()

    async def scenario(tracker: Tracker) -> None:
        request = await tracked(tracker, job)
        for _ in range(3):
            request.progress_at = 0.0
            await tracker.take(request, QUEUED)

    tracking_with(services, scenario)

    assert certain(services.jobs.get(job.id)).seq == job.seq + 1


@pytest.mark.parametrize("end", [COMPLETED, GONE])
def test_an_ended_request_is_enqueued_once_with_when_that_was_noticed(
    gateway: Gateway, in_flight: Callable[..., Job], end: FalStatus
) -> None:
    job = in_flight()

    async def scenario(tracker: Tracker) -> tuple[Tracked, float]:
        request = await tracked(tracker, job)
        await tracker.take(request, RUNNING)
        seen_at = clock.now().timestamp()
        await tracker.take(request, end)
        # Webhooks, a second watcher and late answers say the same again.
        await tracker.take(request, end)
        await tracker.add(job.id)
        await tracker.reload()
        assert tracker.requests == {}, "while it is being collected it is not asked for again"
        return request, seen_at

    before = clock.now().timestamp()
    request, seen_at = tracking_with(gateway.services, scenario)

    ((name, (job_id, index, noticed_at, at_work_at)),) = gateway.tasks()
    assert (name, job_id, index) == ("collect", job.id, 0)
    assert before <= at_work_at <= seen_at <= noticed_at <= clock.now().timestamp()
    assert request.at_work_at is not None
    assert at_work_at == pytest.approx(request.at_work_at.timestamp())


def test_a_request_never_seen_at_work_is_enqueued_without_that_time(gateway: Gateway, in_flight: Callable[..., Job]) -> None:
    job = in_flight()

    async def scenario(tracker: Tracker) -> None:
        await tracker.take(await tracked(tracker, job), COMPLETED)

    tracking_with(gateway.services, scenario)

    ((_, (*_, noticed_at, at_work_at)),) = gateway.tasks()
    assert noticed_at
    assert at_work_at is None


def test_a_collection_that_was_lost_is_enqueued_again(gateway: Gateway, in_flight: Callable[..., Job]) -> None:
    job = in_flight()

    async def scenario(tracker: Tracker) -> bool:
        await tracker.take(await tracked(tracker, job), COMPLETED)
        await tracker.reload()
        return (job.id, 0) in tracker.requests

    assert tracking_with(gateway.services, scenario, collect_lost_after_s=0.0)


def test_a_reload_tracks_what_was_never_heard_of_and_drops_what_has_ended(services: Services, in_flight: Callable[..., Job]) -> None:
    ended, unheard = in_flight(), in_flight(requests=3)

    async def scenario(tracker: Tracker) -> tuple[set[Any], set[Any]]:
        await tracker.add(ended.id)
        before = set(tracker.requests)
        services.jobs.change(ended.id, lambda job: job.request_failed(0, STOPPED, now=clock.now()))
        await tracker.reload()
        return before, set(tracker.requests)

    before, after = tracking_with(services, scenario)

    assert before == {(ended.id, 0)}
    assert after == {(unheard.id, 0), (unheard.id, 1), (unheard.id, 2)}


def test_a_reload_reads_more_than_one_batch(services: Services, in_flight: Callable[..., Job]) -> None:
    jobs = [in_flight() for _ in range(7)]

    async def scenario(tracker: Tracker) -> set[Any]:
        await tracker.reload()
        return set(tracker.requests)

    assert tracking_with(services, scenario, batch=3) == {(job.id, 0) for job in jobs}


def test_a_reload_keeps_what_is_known_of_a_request(services: Services, in_flight: Callable[..., Job]) -> None:
    job = in_flight()

    async def scenario(tracker: Tracker) -> bool:
        request = await tracked(tracker, job)
        request.is_asked = True
        services.jobs.change(job, lambda current: current.progressed(30, "Generating", now=clock.now()))
        await tracker.reload()
        return tracker.requests[(job.id, 0)] is request and request.job.progress == 30

    assert tracking_with(services, scenario)


def test_news_of_a_new_request_is_waited_for_without_polling(services: Services, in_flight: Callable[..., Job]) -> None:
    job = in_flight()

    async def scenario(tracker: Tracker) -> bool:
        waiting = asyncio.create_task(tracker.changed.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        await tracker.add(job.id)
        return await asyncio.wait_for(waiting, 1)

    assert tracking_with(services, scenario)


def test_a_watcher_on_standby_tracks_nothing(services: Services, in_flight: Callable[..., Job]) -> None:
    job = in_flight()

    async def scenario(tracker: Tracker) -> tuple[int, int]:
        await tracker.add(job.id)
        before = len(tracker.requests)
        tracker.activate(active=False)
        await tracker.add(job.id)
        return before, len(tracker.requests)

    assert tracking_with(services, scenario) == (1, 0)


def test_a_request_may_be_done_from_a_share_of_its_models_usual_duration_on(services: Services, in_flight: Callable[..., Job]) -> None:
    """A watcher that takes over counts the time that has passed already."""
    young, old = in_flight(), in_flight(age_s=60)

    async def scenario(tracker: Tracker) -> tuple[float, float, float]:
        now = asyncio.get_running_loop().time()
        await tracker.reload()
        usual_s = tracker.durations.usual_s(young.model)
        return tracker.requests[(young.id, 0)].late_at - now, tracker.requests[(old.id, 0)].late_at - now, usual_s

    young_s, old_s, usual_s = tracking_with(services, scenario)

    assert EARLY_SHARE * usual_s - 2 <= young_s <= EARLY_SHARE * usual_s + 1
    assert old_s < 0


def test_a_queue_that_is_away_costs_a_repetition_and_not_the_request(services: Services, in_flight: Callable[..., Job]) -> None:
    job = in_flight()
    away = with_parts(services, queue=TaskQueue(connect_redis("redis://127.0.0.1:9/0")))

    async def scenario(tracker: Tracker) -> set[Any]:
        await tracker.take(await tracked(tracker, job), COMPLETED)
        await tracker.reload()
        return set(tracker.requests)

    assert tracking_with(away, scenario, collect_lost_after_s=0.0) == {(job.id, 0)}
