"""What the watcher knows of the requests in flight, and what it does with what fal tells about them."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from app.bootstrap import Services
from app.clients.fal.status import FalState, FalStatus
from app.clients.metrics import FAL_REQUESTS
from app.domain import clock
from app.domain.errors import GatewayError
from app.domain.fal_request import FalRequest, FinishedNotice, RequestState
from app.domain.job import Job
from app.services.fulfilment.progress import progress_of
from workers.watcher.durations import Durations

log = logging.getLogger("watcher")

#: Before this share of its model's usual duration a request is hardly ever done.
EARLY_SHARE = 0.7

T = TypeVar("T")
Evolve = Callable[[Job], Job | None]
InThread = Callable[[Callable[[], T]], Awaitable[T]]


@dataclass(frozen=True)
class Pace:
    """How much the tracker does at a time.

    A collect task that has not ended its request after `collect_lost_after_s` counts as lost: the request is asked for again, and
    enqueued again. A request's progress is published each `progress_every_s` at most, and all requests' together `progress_per_second`
    times: each is a write and an event. `batch` jobs are read at once.
    """

    batch: int = 500
    collect_lost_after_s: float = 30.0
    progress_every_s: float = 1.0
    progress_per_second: float = 100.0


@dataclass
class Tracked:
    """One request in flight. It is asked for once at a time, however slow fal answers.

    Loop times: `due_at` of its next poll, `late_at` of when it may well be done, `progress_at` of when its progress may be published again.
    `at_work_at` is when fal last told that it has not ended yet.
    """

    job: Job
    index: int
    due_at: float
    late_at: float = 0.0
    progress_at: float = 0.0
    is_asked: bool = False
    was_followed: bool = False
    is_streamed: bool = False
    """Whether fal's stream of its state is relied on: then it is hardly asked for."""
    at_work_at: datetime | None = None
    is_running: bool = False
    """Whether fal paints it, as of the last look, and not only has it in its queue."""

    @property
    def key(self) -> tuple[str, int]:
        return (self.job.id, self.index)

    @property
    def request(self) -> FalRequest:
        return self.job.requests[self.index]


class Tracker:
    def __init__(self, services: Services, in_thread: InThread, pace: Pace = Pace()) -> None:  # type: ignore[type-arg]
        self._services = services
        self._pace = pace
        self._in_thread = in_thread
        self._loop = asyncio.get_running_loop()
        self.active = False
        self.requests: dict[tuple[str, int], Tracked] = {}
        self.changed = asyncio.Event()
        self.durations = Durations(services.durations, services.registry)
        self._collecting: dict[tuple[str, int], float] = {}
        self._heard: list[str] = []
        self._is_reading = False

    def activate(self, *, active: bool) -> None:
        self.active = active
        if not active:
            self.requests.clear()

    async def add(self, job_id: str) -> None:
        """Track a job's requests that fal has; called when one was just submitted. Those heard of during a read are read together."""
        if not self.active:
            return
        self._heard.append(job_id)
        if self._is_reading:
            return
        self._is_reading = True
        try:
            while ids := self._heard[: self._pace.batch]:
                del self._heard[: len(ids)]
                for job in await self._in_thread(functools.partial(self._services.jobs.of, ids)):
                    if not job.is_terminal:
                        self._track(job)
        finally:
            self._is_reading = False

    async def reload(self) -> None:
        """Read all that is in flight from the store: what was never heard of is tracked now, what has ended no longer."""
        seen: set[tuple[str, int]] = set()
        before = set(self.requests)
        after: str | None = ""
        while after is not None:
            read = functools.partial(self._services.jobs.processing_after, after, limit=self._pace.batch)
            jobs, after = await self._in_thread(read)
            for job in jobs:
                seen.update(self._track(job))
        for key in before - seen:
            self.requests.pop(key, None)
        self._collecting = {key: until for key, until in self._collecting.items() if key in seen}

    def _track(self, job: Job) -> list[tuple[str, int]]:
        keys = []
        for request in job.requests:
            if request.state is not RequestState.SUBMITTED:
                continue
            key = (job.id, request.index)
            keys.append(key)
            if known := self.requests.get(key):
                known.job = job if job.rev > known.job.rev else known.job
            elif self._collecting.get(key, 0.0) <= self._loop.time():
                self.requests[key] = self._new(job, request)
                self.changed.set()
        return keys

    def _new(self, job: Job, request: FalRequest) -> Tracked:
        now = self._loop.time()
        return Tracked(
            job,
            request.index,
            due_at=now,
            late_at=now + EARLY_SHARE * self.durations.usual_s(job.model) - request.seconds_at_fal(clock.now()),
            progress_at=now + self._progress_interval_s(),
        )

    def _progress_interval_s(self) -> float:
        return max(self._pace.progress_every_s, len(self.requests) / self._pace.progress_per_second)

    def measure(self) -> None:
        """Set how many requests fal has: those that it paints, which its limit counts, and those in its queue."""
        running = sum(tracked.is_running for tracked in list(self.requests.values()))
        for state, count in (("running", running), ("queued", len(self.requests) - running)):
            self._services.metrics.set(FAL_REQUESTS, count, state=state)

    async def take(self, tracked: Tracked, status: FalStatus) -> None:
        """Act on a request's state at fal: enqueue its collection when it has ended, else say how far it is."""
        if status.state in (FalState.COMPLETED, FalState.GONE):
            if tracked.request.submitted_at:
                self.durations.seen(tracked.job.model, tracked.request.seconds_at_fal(clock.now()))
            self._collecting[tracked.key] = self._loop.time() + self._pace.collect_lost_after_s
            self.requests.pop(tracked.key, None)
            notice = FinishedNotice(noticed_at=clock.now(), at_work_at=tracked.at_work_at)
            await self._call(lambda: self._services.queue.enqueue_collect(tracked.job.id, tracked.index, notice))
            return
        tracked.at_work_at, tracked.is_running = clock.now(), status.state is FalState.IN_PROGRESS
        await self.tell(tracked, status)

    async def tell(self, tracked: Tracked, status: FalStatus) -> None:
        """Publish how far a request is, where it is time for that, by the state it was last seen in."""
        if self._loop.time() >= tracked.progress_at and (progressed := self._progressed(tracked, status)):
            tracked.progress_at = self._loop.time() + self._progress_interval_s()
            await self._call(lambda: self._publish(tracked, progressed))

    def _progressed(self, tracked: Tracked, status: FalStatus) -> Evolve | None:
        """Return the change that tells how far a request is, or None: most polls say nothing new, and cost no thread."""
        now = clock.now()
        progress = progress_of(tracked.request, status, usual_s=self.durations.usual_s(tracked.job.model), now=now)

        def progressed(job: Job) -> Job | None:
            return job.progressed(progress.percent, progress.message, now=now, queue_position=progress.queue_position)

        return progressed if progressed(tracked.job) else None

    def _publish(self, tracked: Tracked, progressed: Evolve) -> None:
        if changed := self._services.jobs.change(tracked.job, progressed):
            tracked.job = changed
            self._services.announcer.announce(changed)

    async def _call(self, call: Callable[[], None]) -> None:
        try:
            await self._in_thread(call)
        except GatewayError:
            log.warning("a request's state could not be passed on, trying again", exc_info=True)
