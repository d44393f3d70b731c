"""The sweep: finds what a crash, a lost task or a silent fal left behind, or what is out of time, and goes on from there.

MongoDB alone knows enough; Redis may come back empty. Each job is looked at when its `attentionAt` has come, longest waiting first.

At a job's deadline, fal is asked and not guessed at: after a downtime its requests may have been finished long ago. Whatever it has
finished by then is paid for and is still fetched; only the rest is given up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define

from app.clients.fal.queue import Stopped
from app.clients.queue import TaskQueue
from app.domain import clock
from app.domain.errors import GatewayError
from app.domain.fal_request import Failure, FalRequest, RequestState
from app.domain.job import DEADLINE_CODE, Job, JobStatus
from app.services.fulfilment.cancellation import Cancellation
from app.services.fulfilment.collection import GIVE_UP_AFTER
from app.services.fulfilment.settlement import Settler
from app.services.money.funds import Funds
from app.stores.jobs import JobStore

log = logging.getLogger(__name__)

BATCH = 200
#: A task the sweep enqueued is given this long before it counts as lost.
TASK_LOST_AFTER = timedelta(seconds=30)

EXPIRY_LOST_AFTER = timedelta(seconds=60)
#: Whoever collects gives up after a day and says why. After this nobody does: each of its tasks is cut off before it can tell.
COLLECT_LIMIT = GIVE_UP_AFTER + timedelta(hours=1)

DEADLINE = Failure(DEADLINE_CODE, "The generation did not finish in time; nothing was charged")
UNFETCHED = Failure("result_unavailable", "The finished picture could not be fetched for a day; nothing was charged")
UNPAID = Failure("not_accepted", "The service was interrupted before the job was paid for; nothing was charged. Send it again")
UNKNOWN = Failure(
    "submit_outcome_unknown",
    "The request was sent to fal, but no answer came back; nothing was charged. It was not sent again, so as not to be bought twice",
)


@define(eq=False, slots=False, kw_only=True)
class Recovery:
    _jobs: JobStore
    _queue: TaskQueue
    _cancellation: Cancellation
    _settler: Settler
    _funds: Funds
    _now: Callable[[], datetime] = clock.now

    def sweep(self) -> int:
        """Attend to the jobs that are due, a bounded batch; returns how many. One job's trouble does not keep the others waiting."""
        due = self._jobs.due(now=self._now(), limit=BATCH)
        for job in due:
            try:
                self.attend(job)
            except GatewayError:
                log.warning("job could not be attended to, later", extra={"job_id": job.id}, exc_info=True)
            except Exception:
                # As at a task's boundary: what one job does to our code must not keep all others from being mended.
                log.exception("our own code fails at a job", extra={"job_id": job.id})
        return len(due)

    def settle(self, job_id: str) -> None:
        """Settle a job that has just ended; does nothing for a live or settled one."""
        self._settle_if_over(self._jobs.get(job_id))

    def attend(self, job: Job) -> None:
        """Do the next thing a job needs. May be repeated and may race."""
        if job.is_terminal:
            self._settler.settle(job)
            return
        if job.waits_on_fal and self._jobs.change(job, lambda j: j.expiring(until=self._now() + EXPIRY_LOST_AFTER, now=self._now())):
            # Ending it means asking fal, which may be slow: a worker does that.
            self._queue.enqueue_expire(job.id)
            return
        if job.status is JobStatus.PENDING and not self._funds.is_held(job):
            # Its web process died between writing the job and holding what pays for it: nobody was told of this job.
            self._settle_if_over(self._jobs.change(job, lambda j: j.given_up(UNPAID, now=self._now())))
            return
        if self._jobs.change(job, lambda j: j.cancel_claimed(until=self._now() + TASK_LOST_AFTER, now=self._now())):
            self._queue.enqueue_cancel(job.id)
        for request in job.requests:
            if not request.is_closed and request.next_at is not None and request.next_at <= self._now():
                self._attend_request(job, request)

    def expire(self, job_id: str) -> None:
        """End an overdue job: stop at fal what runs there, collect what is finished, fail the rest. May be repeated and may race."""
        job = self._jobs.get(job_id)
        if job is None or job.is_terminal or self._now() < job.deadline_at:
            return
        if job.unanswered:
            log.error("out of time without an answer to its submit: look for it in fal's dashboard", extra={"job_id": job.id})
        verdicts = [self._cancellation.stop(job.id, r) for r in job.requests if r.state is RequestState.SUBMITTED]
        # Results are kept for days, but a job must end.
        if Stopped.SILENT in verdicts and self._now() - job.created_at < GIVE_UP_AFTER:
            log.warning("overdue, but fal does not answer: what may be paid for is not given up yet", extra={"job_id": job.id})
            return
        self._settle_if_over(self._jobs.change(job.id, lambda j: j.deadline_passed(DEADLINE, now=self._now())))

    def _attend_request(self, job: Job, request: FalRequest) -> None:
        index, now = request.index, self._now()
        if request.state is RequestState.NEW and self._claim(job, request):
            self._queue.enqueue_submit(job.id, in_batch=job.waits_for_others)
        elif request.state is RequestState.ENDED and now - (request.ended_at or now) > COLLECT_LIMIT:
            log.error("a finished request is given up: nobody could fetch it", extra={"job_id": job.id, "index": index})
            self._settle_if_over(self._jobs.change(job.id, lambda j: j.request_failed(index, UNFETCHED, now=now)))
        elif request.state is RequestState.ENDED and self._claim(job, request):
            self._queue.enqueue_collect(job.id, index, again=True)
        elif request.state is RequestState.SUBMITTING:
            log.error("a submit was cut off: look for it in fal's dashboard", extra={"job_id": job.id, "index": index})
            self._jobs.change(job.id, lambda j: j.outcome_unknown(index, now=now) if _is_overdue(j.requests[index], now) else None)
        elif request.state is RequestState.UNKNOWN:
            log.error("a submit stayed unknown: look for it in fal's dashboard", extra={"job_id": job.id, "index": index})
            self._settle_if_over(self._jobs.change(job.id, lambda j: j.unknown_expired(index, UNKNOWN, now=now)))

    def _claim(self, job: Job, request: FalRequest) -> bool:
        """Win the right to enqueue a request's task, so that one sweep does and not every one."""
        until = self._now() + TASK_LOST_AFTER
        unchanged = (request.state, request.next_at)

        def put_off(current: Job) -> Job | None:
            found = current.requests[request.index]
            if (found.state, found.next_at) != unchanged:
                return None
            return current.claimed(request.index, until=until, now=self._now())

        return self._jobs.change(job.id, put_off) is not None

    def _settle_if_over(self, job: Job | None) -> None:
        if job is not None and job.is_terminal:
            self._settler.settle(job)


def _is_overdue(request: FalRequest, now: datetime) -> bool:
    """Tell whether it is still the attempt that was cut off, and not a fresh one that somebody has just begun."""
    return request.next_at is not None and request.next_at <= now
