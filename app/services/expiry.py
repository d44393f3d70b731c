"""The deadline of a job. Whatever fal has finished by then is paid for and is still fetched; only the rest is given up.

fal is asked, not guessed at: after a downtime longer than the deadline its requests may have been finished long ago.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from app import clock
from app.clients.fal import FalQueue, Stopped
from app.clients.queue import TaskQueue
from app.fal_request import Failure, FalRequest, RequestState
from app.job import DEADLINE_CODE, Job
from app.services.settlement import Settler
from app.stores.jobs import JobStore

log = logging.getLogger(__name__)

DEADLINE = Failure(DEADLINE_CODE, "The generation did not finish in time; nothing was charged")
#: While fal does not answer, a request that may be paid for is not given up. Results are kept for days, but a job must end.
GIVE_UP_AFTER = timedelta(hours=24)


class Expiry:
    def __init__(
        self, *, jobs: JobStore, queue: TaskQueue, fal: FalQueue, settler: Settler, now: Callable[[], datetime] = clock.now
    ) -> None:
        self._jobs = jobs
        self._queue = queue
        self._fal = fal
        self._settler = settler
        self._now = now

    def run(self, job_id: str) -> None:
        """End an overdue job: stop at fal what runs there, collect what is finished, fail the rest. May be repeated and may race."""
        job = self._jobs.get(job_id)
        if job is None or job.is_terminal or self._now() < job.deadline_at:
            return
        if job.unanswered:
            log.error("out of time without an answer to its submit: look for it in fal's dashboard", extra={"job_id": job.id})
        verdicts = [self._stopped(job, request) for request in job.requests if request.state is RequestState.SUBMITTED]
        if Stopped.SILENT in verdicts and self._now() - job.created_at < GIVE_UP_AFTER:
            log.warning("overdue, but fal does not answer: what may be paid for is not given up yet", extra={"job_id": job.id})
            return
        ended = self._jobs.change(job.id, lambda j: j.deadline_passed(DEADLINE, now=self._now()))
        if ended is not None and ended.is_terminal:
            self._settler.settle(ended)

    def _stopped(self, job: Job, request: FalRequest) -> Stopped:
        if request.receipt is None:
            return Stopped.YES
        verdict = self._fal.cancel(request.receipt)
        if verdict is Stopped.TOO_LATE:
            log.info("finished before its deadline was noticed", extra={"job_id": job.id, "index": request.index})
            self._jobs.change(job.id, lambda j: j.collection_postponed(request.index, retry_at=self._now(), now=self._now()))
            self._queue.enqueue_collect(job.id, request.index, again=True)
        return verdict
