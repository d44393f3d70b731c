"""What a task leaves when our own code fails at it: one try less, and after some the end of the request.

Only so does a request end that breaks whatever is done for it: the sweep would send it in again for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define

from app.clients.metrics import Metrics
from app.domain import clock
from app.domain.fal_request import Failure, RequestState
from app.domain.job import Job
from app.services.fulfilment.settlement import Settler
from app.stores.jobs import JobStore

log = logging.getLogger(__name__)

MAX_TRIES = 5
FAILURE = Failure("internal_error", "Something went wrong in this service; nothing was charged, and its operator has been told")


@define(eq=False, slots=False, kw_only=True)
class TaskErrors:
    _jobs: JobStore
    _settler: Settler
    _metrics: Metrics
    _now: Callable[[], datetime] = clock.now

    def submit_failed(self, job_id: str, error: str) -> None:
        """Count a try of each request that was to be posted and is not. One whose post was begun is not touched: it may be paid for."""
        job = self._jobs.get(job_id)
        now = self._now()
        for request in job.requests if job else ():
            if request.state is RequestState.NEW and (request.not_before is None or request.not_before <= now):
                self._count("submit", job_id, request.index, error)

    def collect_failed(self, job_id: str, index: int, error: str) -> None:
        """Count a try of a finished request. Its receipt stays with it, also where it is given up."""
        self._count("collect", job_id, index, error)

    def _count(self, task: str, job_id: str, index: int, error: str) -> None:
        def tried(job: Job) -> Job | None:
            request = job.requests[index]
            if request.bad_tries + 1 >= MAX_TRIES:
                return job.request_failed(index, FAILURE, now=self._now())
            retry_at = self._now() + timedelta(seconds=min(60.0, 2.0 ** (request.bad_tries + 1)))
            return job.broken_off(index, retry_at=retry_at, now=self._now())

        job = self._jobs.change(job_id, tried)
        if job is None:
            return
        is_over = job.requests[index].is_closed
        self._metrics.count("imagegw_task_errors_total", task=task, outcome="given_up" if is_over else "retried")
        if is_over:
            receipt = job.requests[index].receipt
            known = {"job_id": job_id, "index": index, "error": error, "fal_request_id": receipt.request_id if receipt else None}
            log.error("a request is given up: our own code fails at it again and again", extra=known)
        if job.is_terminal:
            self._settler.settle(job)
