"""Waiting for jobs: one Redis subscription per web process, one dictionary entry per waiter, no poll.

Whoever starts to wait registers first and then reads the document once, so nothing falls between.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from redis import Redis
from redis.exceptions import RedisError

from app.clients.events import JOB_CHANNEL, listen
from app.domain.errors import NotFound
from app.domain.job import Job
from app.stores.jobs import JobStore

T = TypeVar("T")

log = logging.getLogger(__name__)

RETRY_S = 0.5
RELOOK_S = 15.0


class Signal:
    """What wakes one waiter, once each time it is given. threading.Event does the same with three locks: 3 kB each under eventlet."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def give(self) -> None:
        with suppress(RuntimeError):  # Given already, and not taken yet.
            self._lock.release()

    def take(self, timeout_s: float) -> bool:
        """Wait until it is given, `timeout_s` at most; tells whether it was."""
        return self._lock.acquire(timeout=timeout_s)


class JobWaiters:
    def __init__(self, redis: Redis, jobs: JobStore) -> None:
        self._redis = redis
        self._jobs = jobs
        self._waiting: dict[str, set[Signal]] = defaultdict(set)
        self._following: dict[str, set[Signal]] = defaultdict(set)
        self._lock = threading.Lock()
        self._started = False
        self._draining = False

    def wait(self, job_id: str, timeout_s: float) -> Job:
        """Return the job once it is terminal, or as it is when the time is up. Raises NotFound where it was deleted meanwhile."""
        give_up_at = time.monotonic() + timeout_s
        with self._registered(self._waiting, job_id) as woken:
            while True:
                left = give_up_at - time.monotonic()
                if job := self._over(job_id, anyhow=left <= 0 or self._draining):
                    return job
                # An event may be lost on its way through Redis: a look now and then costs little and finds the job all the same.
                woken.take(min(left, RELOOK_S))

    def _over(self, job_id: str, *, anyhow: bool) -> Job | None:
        """Return the job if it is terminal, or `anyhow`: not kept while it is waited for."""
        job = self._jobs.get(job_id)
        if job is None:
            raise NotFound("The job was deleted while its request waited for it")
        return job if job.is_terminal or anyhow else None

    def follow(self, job: Job, *, pulse_s: float) -> Iterator[Job | None]:
        """Yield the job now and after each of its changes until it is terminal; None after each `pulse_s` without one.

        Ends early when the process is about to end: whoever follows comes back and asks for what it missed.
        """
        with self._registered(self._following, job.id) as woken:
            while not self._draining:
                current = self._jobs.get(job.id)
                if current is None:
                    return
                yield current
                if current.is_terminal:
                    return
                if not woken.take(pulse_s):
                    yield None  # And look again: an event may have been lost on its way.

    def glance(self, job_id: str, read: Callable[[], T], *, is_last: Callable[[T], bool], held_s: float) -> T:
        """Return what is read of a job; where it has not ended, only after its end or after `held_s`.

        Its other changes wake nobody: they come to hundreds of jobs in the same moment, and hundreds of answers would hold up all others.
        """
        with self._registered(self._waiting, job_id) as woken:
            found = read()
            if is_last(found) or self._draining or not woken.take(held_s):
                return found
            return read()

    def drain(self) -> None:
        """Let everybody who waits answer now: the process is about to end, the work goes on elsewhere."""
        self._draining = True
        self._wake_all()

    @contextmanager
    def _registered(self, where: dict[str, set[Signal]], job_id: str) -> Iterator[Signal]:
        self._ensure_listening()
        woken = Signal()
        where[job_id].add(woken)
        try:
            yield woken
        finally:
            where[job_id].discard(woken)
            if not where[job_id]:
                del where[job_id]

    def _ensure_listening(self) -> None:
        with self._lock:
            if not self._started:
                threading.Thread(target=self._listen, name="job-events", daemon=True).start()
                self._started = True

    def _listen(self) -> None:
        while True:
            try:
                for message in listen(self._redis, JOB_CHANNEL, on_subscribed=self._wake_all, stop=lambda: False):
                    job_id = str(message.get("jobId"))
                    _wake(self._following.get(job_id))
                    if message.get("terminal"):
                        _wake(self._waiting.get(job_id))
            except RedisError:
                log.warning("Redis does not answer, waiting requests read their jobs again when it is back")
                time.sleep(RETRY_S)

    def _wake_all(self) -> None:
        """After a (re)connection: events may have been missed, so everybody reads anew."""
        for waiting in [*self._waiting.values(), *self._following.values()]:
            _wake(waiting)


def _wake(waiting: set[Signal] | None) -> None:
    for woken in list(waiting or ()):
        woken.give()
