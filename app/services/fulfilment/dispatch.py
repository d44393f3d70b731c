"""Posts a job's requests to fal. One submit is one purchase: who wins `new -> submitting` posts, once, and nobody posts again."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from attrs import define

from app.clients.events import EventPublisher, request_in_flight
from app.clients.fal.breaker import Breaker
from app.clients.fal.queue import FalQueue
from app.clients.metrics import Metrics
from app.clients.receipt_box import KeptReceipt
from app.domain import alert, clock
from app.domain.alert import Alert
from app.domain.errors import (
    GatewayError,
    InternalError,
    NotFound,
    ProviderBadKey,
    ProviderBusy,
    ProviderError,
    ProviderForbidden,
    ProviderLocked,
    StorageUnavailable,
    StoreUnavailable,
    SubmitOutcomeUnknown,
)
from app.domain.fal_request import Failure, FalRequest, Receipt, RequestState
from app.domain.job import Job
from app.services.deliveries.job_events import JobEvents
from app.services.events.announcements import Announcer
from app.services.fulfilment.receipts import Receipts, RetryingWrites
from app.services.fulfilment.settlement import Settler
from app.services.fulfilment.stages import Stage, StageTimes
from app.services.orders.references import References
from app.stores.jobs import JobStore
from app.stores.readiness import Readiness

log = logging.getLogger(__name__)

MAX_SUBMITS = 5
LOCKED_PAUSE_S = 30.0
#: What the claim, the post and the receipt of one request may take together while the database is silent.
ONE_SUBMIT_S = 200.0


@define(eq=False, slots=False, kw_only=True)
class Dispatcher:
    _jobs: JobStore
    _fal: FalQueue
    _breaker: Breaker
    _references: References
    _announcer: Announcer
    _publisher: EventPublisher
    _settler: Settler
    _receipts: Receipts
    _writes: RetryingWrites
    _readiness: Readiness
    _public_url: str | None
    _metrics: Metrics
    _stages: StageTimes
    _job_events: JobEvents
    _warn: Callable[[Alert], None] = alert.nobody
    _now: Callable[[], datetime] = clock.now

    def post(self, job_id: str) -> None:
        """Post every request of the job that is due. May be repeated and may race: only `new` requests are posted."""
        self._readiness.prove()
        with self._writes.task():
            self._post_due(job_id)

    def replay(self) -> int:
        """Go on with requests whose receipts could not be written down when they came; returns how many. May be repeated and may race."""
        return self._receipts.replay(self._go_on)

    def _post_due(self, job_id: str) -> None:
        job = self._jobs.get(job_id)
        if job is None or job.is_terminal:
            return
        for index in range(len(job.requests)):
            if not self._writes.has_time_for(ONE_SUBMIT_S):
                log.warning("a task has no time for more submits, the sweep enqueues the rest", extra={"job_id": job_id})
                return
            if (current := self._submit_one(job, index)) is not None:
                job = current
            if job.is_terminal:
                return

    def _submit_one(self, job: Job, index: int) -> Job | None:
        request = job.requests[index]
        if request.state is not RequestState.NEW or not self._is_due(request):
            return None
        if pause := self._breaker.pause_left_s(job.endpoint):
            return self._wait(job, index, pause)
        claimed = self._claimed(job, index)
        return self._post(claimed, index) if claimed else None

    def _claimed(self, job: Job, index: int) -> Job | None:
        """Win the right to post, confirmed by the database: as long as it withholds that, nothing is posted. Raises StoreUnavailable."""
        by = f"{socket.gethostname()}:{os.getpid()}:{clock.new_id()}"
        return self._writes.write(job, lambda target: self._jobs.change(target, lambda j: j.submitting(index, by=by, now=self._now())))

    def _is_due(self, request: FalRequest) -> bool:
        return request.not_before is None or request.not_before <= self._now()

    def _wait(self, job: Job, index: int, pause_s: float) -> Job | None:
        until = self._now() + timedelta(seconds=pause_s + random.uniform(0, 2))  # noqa: S311
        return self._jobs.change(job, lambda j: j.claimed(index, until=until, now=self._now()))

    def _post(self, job: Job, index: int) -> Job | None:
        try:
            receipt = self._fal.submit(
                job.endpoint, self._arguments(job, index), webhook_url=self._webhook_url(job, index), headers=job.fal_headers
            )
        except (ProviderBusy, StorageUnavailable, StoreUnavailable, InternalError) as exc:
            # Of ours, only what the arguments need can be away or fail here: nothing was sent yet.
            self._counted(exc.code)
            return self._put_back(job, index, exc)
        except SubmitOutcomeUnknown as exc:
            self._counted(exc.code)
            log.error(  # noqa: TRY400 - no trace: it is news about fal, not about our code
                "submit outcome unknown: look for it in fal's dashboard", extra={"job_id": job.id, "index": index}
            )
            return self._written(job, lambda j: j.outcome_unknown(index, now=self._now()))
        except (ProviderError, NotFound) as exc:
            self._counted(exc.code)
            return self._fail(job, index, Failure(exc.code, exc.message, exc.details))
        self._counted("ok")
        self._breaker.succeeded(job.endpoint)
        return self._keep(job, index, receipt)

    def _arguments(self, job: Job, index: int) -> dict[str, Any]:
        """Return what is posted. Raises InternalError where our own code fails at it: then surely nothing was sent."""
        try:
            arguments = self._references.for_provider(job)
        except GatewayError:
            raise
        except Exception as exc:
            log.exception("a request cannot be made ready", extra={"job_id": job.id, "index": index})
            raise InternalError("Something went wrong here; the operator's log has the details") from exc
        return arguments | ({"num_images": job.requests[index].num_images} if job.takes_num_images else {})

    def _counted(self, outcome: str) -> None:
        self._metrics.count("imagegw_provider_requests_total", provider="fal", outcome=outcome)

    def _webhook_url(self, job: Job, index: int) -> str | None:
        return f"{self._public_url.rstrip('/')}/api/webhooks/fal/{job.id}/{index}" if self._public_url else None

    def _put_back(self, job: Job, index: int, exc: GatewayError) -> Job | None:
        """Return the request to `new`, to be posted later: fal surely did not take it."""
        now, attempts = self._now(), job.requests[index].attempts
        account_trouble = isinstance(exc, ProviderLocked | ProviderBadKey | ProviderForbidden)
        if isinstance(exc, ProviderBusy):
            self._pause(job.endpoint, exc)
        if not account_trouble and attempts >= MAX_SUBMITS:
            return self._fail(job, index, Failure(exc.code, exc.message, exc.details))
        delay = LOCKED_PAUSE_S if account_trouble else min(60.0, 2.0**attempts) * random.uniform(0.75, 1.25)  # noqa: S311
        retry_at = now + timedelta(seconds=delay)
        log.warning("submit put back", extra={"job_id": job.id, "index": index, "code": exc.code, "attempts": attempts})
        counts, by = not account_trouble, job.requests[index].claimed_by
        put_back = self._written(job, lambda j: j.put_back(index, retry_at=retry_at, counts=counts, by=by, now=now))
        if put_back and put_back.is_terminal:
            self._settler.settle(put_back)  # It was canceled meanwhile.
        if put_back and account_trouble:
            noted = self._jobs.change(put_back, lambda j: j.progressed(j.progress, exc.message, now=self._now()))
            if noted:
                self._announcer.announce(noted)
            return noted or put_back
        return put_back

    def _pause(self, endpoint: str, exc: ProviderBusy) -> None:
        """Keep other orders from the same refusal: all of them where the account or the key is meant, or fal is not to be reached."""
        if isinstance(exc, ProviderLocked | ProviderBadKey):
            self._breaker.open(exc.code, LOCKED_PAUSE_S)
            self._warn(alert.provider_locked(exc.code, exc.message, endpoint=None, now=self._now()))
        elif isinstance(exc, ProviderForbidden):
            self._breaker.forbidden(exc.code, LOCKED_PAUSE_S, endpoint)
            self._warn(alert.provider_locked(exc.code, exc.message, endpoint=endpoint, now=self._now()))
        else:
            answered = exc.details is not None
            self._breaker.failed(exc.code, endpoint if answered else None)

    def _fail(self, job: Job, index: int, failure: Failure) -> Job | None:
        failed = self._written(job, lambda j: j.request_failed(index, failure, now=self._now()))
        if failed and failed.is_terminal:
            self._settler.settle(failed)
        return failed

    def _written(self, job: Job, evolve: Callable[[Job], Job | None]) -> Job | None:
        """Write what came of a post, also where the database is away for a while: else the order would end as unknown."""
        return self._writes.write(job, lambda target: self._jobs.change(target, evolve))

    def _keep(self, job: Job, index: int, receipt: Receipt) -> Job | None:
        """Save the receipt before anything else happens: it is the only handle on something that is paid for."""
        kept = self._receipts.save(job, KeptReceipt(job.id, index, receipt))
        log.info("submitted", extra={"job_id": job.id, "index": index, "fal_request_id": receipt.request_id})
        if kept is not None:
            self._count(kept, kept.requests[index])
            self._go_on(kept, index, is_news=kept.seq > job.seq)
        return kept

    def _go_on(self, job: Job, index: int, *, is_news: bool = True) -> None:
        """Have a request followed whose receipt is saved; where its job ended meanwhile, nobody waits for this picture."""
        receipt = job.requests[index].receipt
        if receipt is not None and job.requests[index].state is not RequestState.SUBMITTED:
            self._fal.cancel(receipt)
        elif is_news:
            self._announcer.announce(job, in_flight=True)
            with contextlib.suppress(StoreUnavailable):  # Then the job's end tells it.
                self._job_events.started(job)
        else:
            self._publisher.publish(request_in_flight(job.id))

    def _count(self, job: Job, request: FalRequest) -> None:
        if request.attempts == 1:  # What was put back has waited for fal, not in our queue.
            self._stages.between(job.model, Stage.QUEUE, job.created_at, request.submitting_at)
        self._stages.between(job.model, Stage.SUBMIT, request.submitting_at, request.submitted_at)
