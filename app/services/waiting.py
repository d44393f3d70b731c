"""Waiting for jobs: one Redis subscription per web process, one dictionary entry per waiter, no poll.

Whoever starts to wait registers first and then reads the document once, so nothing falls between.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import RedisError

from app.clients.events import JOB_CHANNEL, listen
from app.job import Job
from app.stores.jobs import JobStore

log = logging.getLogger(__name__)

RETRY_S = 0.5


class JobWaiters:
    def __init__(self, redis: Redis, jobs: JobStore) -> None:
        self._redis = redis
        self._jobs = jobs
        self._waiting: dict[str, set[threading.Event]] = defaultdict(set)
        self._lock = threading.Lock()
        self._started = False
        self._draining = False

    def wait(self, job: Job, timeout_s: float) -> Job:
        """Return the job once it is terminal, or as it is when the time is up."""
        give_up_at = time.monotonic() + timeout_s
        with self._registered(job.id) as woken:
            while True:
                job = self._jobs.get(job.id) or job
                left = give_up_at - time.monotonic()
                if job.is_terminal or left <= 0 or self._draining:
                    return job
                woken.wait(left)
                woken.clear()

    def drain(self) -> None:
        """Let everybody who waits answer now: the process is about to end, the work goes on elsewhere."""
        self._draining = True
        self._wake_all()

    @contextmanager
    def _registered(self, job_id: str) -> Iterator[threading.Event]:
        self._ensure_listening()
        woken = threading.Event()
        self._waiting[job_id].add(woken)
        try:
            yield woken
        finally:
            self._waiting[job_id].discard(woken)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def _ensure_listening(self) -> None:
        with self._lock:
            if not self._started:
                threading.Thread(target=self._listen, name="job-events", daemon=True).start()
                self._started = True

    def _listen(self) -> None:
        while True:
            try:
                for message in listen(self._redis, JOB_CHANNEL, on_subscribed=self._wake_all, stop=lambda: False):
                    if message.get("terminal"):
                        self._wake(str(message.get("jobId")))
            except RedisError:
                log.warning("Redis does not answer, waiting requests read their jobs again when it is back")
                time.sleep(RETRY_S)

    def _wake(self, job_id: str) -> None:
        for woken in list(self._waiting.get(job_id, ())):
            woken.set()

    def _wake_all(self) -> None:
        """After a (re)connection: events may have been missed, so everybody reads anew."""
        for job_id in list(self._waiting):
            self._wake(job_id)
