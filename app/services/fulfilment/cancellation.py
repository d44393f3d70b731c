"""A user's wish to cancel a job. It is written into the job before fal is asked, and fal's answer decides what becomes of the money.

fal takes a request out of its queue, but only tells a running one, which may be finished, and billed, all the same (fal.ai docs, "Handle
Request Cancellations"). So no answer to the wish ends anything here: how the request then ends does, as its result tells.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from attrs import define

from app.clients.fal.queue import FalQueue, Stopped
from app.clients.queue import TaskQueue
from app.domain import clock
from app.domain.fal_request import FalRequest
from app.stores.jobs import JobStore

log = logging.getLogger(__name__)


@define(eq=False, slots=False, kw_only=True)
class Cancellation:
    _jobs: JobStore
    _queue: TaskQueue
    _fal: FalQueue
    _now: Callable[[], datetime] = clock.now

    def ask_fal(self, job_id: str) -> None:
        """Tell fal of a wish wherever it has not heard of it. May be repeated and may race; where fal is silent the sweep asks again."""
        job = self._jobs.get(job_id)
        for request in job.to_cancel if job else ():
            if self.stop(job_id, request) is Stopped.YES:
                self._jobs.change(job_id, lambda j, index=request.index: j.cancel_heard(index, now=self._now()))  # type: ignore[misc]

    def stop(self, job_id: str, request: FalRequest) -> Stopped:
        """Ask fal to drop a request; one that it has finished already is paid for, and collected."""
        if request.receipt is None:
            return Stopped.YES
        verdict = self._fal.cancel(request.receipt)
        if verdict is Stopped.TOO_LATE:
            log.info("finished before it could be stopped", extra={"job_id": job_id, "index": request.index})
            self._jobs.change(job_id, lambda j: j.collection_postponed(request.index, retry_at=self._now(), now=self._now()))
            self._queue.enqueue_collect(job_id, request.index, again=True)
        return verdict
