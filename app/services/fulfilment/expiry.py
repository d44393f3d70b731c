"""The deadline of a job. Whatever fal has finished by then is paid for and is still fetched; only the rest is given up.

fal is asked, not guessed at: after a downtime longer than the deadline its requests may have been finished long ago.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from app.clients.fal.queue import Stopped
from app.domain import clock
from app.domain.fal_request import Failure, RequestState
from app.domain.job import DEADLINE_CODE
from app.services.fulfilment.cancellation import Cancellation
from app.services.fulfilment.settlement import Settler
from app.stores.jobs import JobStore

log = logging.getLogger(__name__)

DEADLINE = Failure(DEADLINE_CODE, "The generation did not finish in time; nothing was charged")
#: While fal does not answer, a request that may be paid for is not given up. Results are kept for days, but a job must end.
GIVE_UP_AFTER = timedelta(hours=24)


class Expiry:
    def __init__(self, *, jobs: JobStore, cancellation: Cancellation, settler: Settler, now: Callable[[], datetime] = clock.now) -> None:
        self._jobs = jobs
        self._cancellation = cancellation
        self._settler = settler
        self._now = now

    def expire(self, job_id: str) -> None:
        """End an overdue job: stop at fal what runs there, collect what is finished, fail the rest. May be repeated and may race."""
        job = self._jobs.get(job_id)
        if job is None or job.is_terminal or self._now() < job.deadline_at:
            return
        if job.unanswered:
            log.error("out of time without an answer to its submit: look for it in fal's dashboard", extra={"job_id": job.id})
        verdicts = [self._cancellation.stop(job.id, r) for r in job.requests if r.state is RequestState.SUBMITTED]
        if Stopped.SILENT in verdicts and self._now() - job.created_at < GIVE_UP_AFTER:
            log.warning("overdue, but fal does not answer: what may be paid for is not given up yet", extra={"job_id": job.id})
            return
        ended = self._jobs.change(job.id, lambda j: j.deadline_passed(DEADLINE, now=self._now()))
        if ended is not None and ended.is_terminal:
            self._settler.settle(ended)
