"""Moves requests through the queue: wait, run, end. Timers of the event loop, one per request; no HTTP here."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from heapq import heappop, heappush

from scripts.fal_emulator.state import Job, Settings, Status

# A request with wrong inputs fails at once, on the runner and not at the submit, as with fal.
INVALID_SECONDS = 0.05


class Runner:
    """First come, first served, over all endpoints, as fal counts concurrency per account."""

    def __init__(self, settings: Settings, end: Callable[[Job], Awaitable[None]]) -> None:
        self.settings = settings
        self._end = end
        self._queued: dict[int, Job] = {}  # By their sequence.
        self._ready: list[tuple[int, Job]] = []
        self._sequence = 0
        self._endings: set[asyncio.Task[None]] = set()
        self.running = 0

    @property
    def queued(self) -> int:
        return len(self._queued)

    def waiting_on(self, endpoint: str) -> int:
        """How many requests wait on this endpoint: what fal_max_queue_length is compared with."""
        return sum(job.endpoint == endpoint for job in self._queued.values())

    def enqueue(self, job: Job) -> None:
        self._sequence += 1
        job.sequence = self._sequence
        self._queued[job.sequence] = job
        job.timer = asyncio.get_running_loop().call_later(job.queue_seconds, self._make_ready, job)

    def position(self, job: Job) -> int:
        """Requests ahead. A lone one still counts down from 2, so that a client sees the number change."""
        waited = (time.time() - job.received_at) / job.queue_seconds if job.queue_seconds else 1.0
        ahead = sum(sequence < job.sequence for sequence in self._queued)
        return max(ahead, int(2.99 * max(0.0, 1.0 - waited)))

    def cancel(self, job: Job, *, stop: bool = False) -> None:
        """Remove a waiting request; a running one only notes it, and completes anyway unless its application obeys (`stop`)."""
        job.cancel_requested = True
        is_running = job.status is Status.IN_PROGRESS
        if job.canceled or (is_running and (not stop or self._is_ending(job))):
            return
        if job.timer is not None:
            job.timer.cancel()
        job.canceled = True
        if is_running:
            self._stop(job)
            return
        self._queued.pop(job.sequence, None)
        self._finish(job)

    def pump(self) -> None:
        """Start what may start now; to be called after the limit was changed."""
        limit = self.settings.concurrency
        while self._ready and (not limit or self.running < limit):
            _, job = heappop(self._ready)
            if job.status is Status.IN_QUEUE and not job.canceled:
                self._start(job)

    def _make_ready(self, job: Job) -> None:
        heappush(self._ready, (job.sequence, job))
        self.pump()

    def _start(self, job: Job) -> None:
        self._queued.pop(job.sequence, None)
        self.running += 1
        job.status, job.started_at = Status.IN_PROGRESS, time.time()
        job.tell()
        if job.outcome == "never":
            return
        seconds = min(job.seconds, INVALID_SECONDS) if job.invalid else job.seconds
        job.timer = asyncio.get_running_loop().call_later(seconds, self._stop, job)

    @staticmethod
    def _is_ending(job: Job) -> bool:
        """Tell whether its time is up and its pictures are just being promised."""
        return job.timer is None and job.outcome != "never"

    def _stop(self, job: Job) -> None:
        job.timer = None
        self.running -= 1
        self._finish(job)
        self.pump()

    def _finish(self, job: Job) -> None:
        task = asyncio.get_running_loop().create_task(self._complete(job))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _complete(self, job: Job) -> None:
        await self._end(job)
        job.timer = None

    def clear(self, jobs: list[Job]) -> None:
        """Forget every request and its timer."""
        for job in jobs:
            if job.timer is not None:
                job.timer.cancel()
        for task in self._endings:
            task.cancel()
        self._queued.clear()
        self._ready.clear()
        self.running = 0
