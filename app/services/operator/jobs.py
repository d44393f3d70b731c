"""One job as an operator sees it, whoever's it is, and what an operator may do to it. Each change is in the audit log before it is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from attrs import define

from app.clients.fal.queue import FalQueue
from app.clients.fal.status import FalState, FalStatus
from app.clients.queue import TaskQueue
from app.domain import clock
from app.domain.audit import Action, Actor
from app.domain.delivery import Delivery
from app.domain.errors import GatewayError, ProviderBusy
from app.domain.fal_request import FalRequest, FinishedNotice, Receipt, RequestState
from app.domain.job import Job, JobStatus
from app.domain.ledger import Entry
from app.domain.pricing import usd
from app.domain.trouble import Trouble, trouble_of
from app.services.money.billing import Billing
from app.services.operator.audit import Audit
from app.services.orders.job_actions import JobActions, order_again
from app.services.orders.order import Order, OrderKey
from app.services.orders.submit import Accepted, Orders
from app.stores.deliveries import DeliveryStore
from app.stores.jobs import JobStore

#: So many of a job's requests are asked for in one call, since somebody waits for it.
MAX_ASKED = 10


#: How a job must have ended to be ordered again by many at once, or twice.
RETRIED = (JobStatus.FAILED, JobStatus.CANCELED)


class Payer(StrEnum):
    """`user`: in tokens, where the first job was paid in tokens. `operator`: nobody's tokens. Budgets are charged in any case."""

    USER = "user"
    OPERATOR = "operator"


@dataclass(frozen=True)
class RetryOffer:
    """What it would cost to order a job again now, in micro-USD and the user's tokens; `refusal` says why it cannot be ordered."""

    micros: int = 0
    tokens: int = 0
    payer: Payer = Payer.OPERATOR
    refusal: str | None = None


@dataclass(frozen=True)
class JobFile:
    """Everything that is known of a job."""

    job: Job
    trouble: Trouble | None
    entries: Sequence[Entry]
    deliveries: Sequence[Delivery]
    retries: Sequence[Job]
    offer: RetryOffer


@dataclass(frozen=True)
class Asked:
    """What fal says of one request at this moment; `status` None where it does not answer."""

    index: int
    request_id: str
    status: FalStatus | None


@define(eq=False, slots=False, kw_only=True)
class OperatorJobs:
    _jobs: JobStore
    _job_actions: JobActions
    _orders: Orders
    _billing: Billing
    _deliveries: DeliveryStore
    _queue: TaskQueue
    _fal: FalQueue
    _audit: Audit
    _now: Callable[[], datetime] = clock.now

    def file(self, job_id: str) -> JobFile:
        """Return all that is known of a job. Raises NotFound, Gone."""
        job = self._job_actions.job(job_id, user_id=None)
        return JobFile(
            job=job,
            trouble=trouble_of(job, self._now()),
            entries=self._billing.of_job(job.id),
            deliveries=self._deliveries.of_job(job.id),
            retries=self._jobs.retries_of([job.id]),
            offer=self.offer(job),
        )

    def offer(self, job: Job, payer: Payer | None = None) -> RetryOffer:
        """Price a job's retry, and say who pays for it: who paid for the first, unless told otherwise."""
        payer = payer or usual_payer(job)
        try:
            priced = self._orders.check(again(job, payer))
        except GatewayError as exc:
            return RetryOffer(payer=payer, refusal=exc.message)
        return RetryOffer(priced.quote.micros, priced.tokens, payer)

    # -- changes --------------------------------------------------------------------------------------------------------------------

    def cancel(self, actor: Actor, job_id: str) -> Job:
        """Cancel a live job, as its user could. Raises NotFound, Gone, AlreadyFinished."""
        job = self._job_actions.job(job_id, user_id=None)
        with self._audit.record(actor, Action.JOB_CANCEL, f"job:{job.id}", {"userId": job.user_id}) as result:
            canceled = self._job_actions.cancel(job.id, user_id=None)
            result |= {"status": canceled.status.value}
        return canceled

    def delete(self, actor: Actor, job_id: str) -> None:
        """Remove a finished job and its pictures for good. Raises NotFound, Gone, NotFinished."""
        job = self._job_actions.job(job_id, user_id=None)
        details = {"userId": job.user_id, "model": job.model, "images": len(job.images), "charged": usd(job.charged_micros)}
        with self._audit.record(actor, Action.JOB_DELETE, f"job:{job.id}", details):
            self._job_actions.delete(job.id, user_id=None)

    def retry(self, actor: Actor, job_id: str, *, payer: Payer | None = None, key: OrderKey | None = None) -> Accepted:
        """Order a finished job's pictures again; one that has been ordered again and not failed gives the job of that: it is bought once.

        With a `key` of the caller's own it is ordered in any case, once for each key. Raises NotFound, Gone, NotFinished, and as every
        order does.
        """
        job = self._job_actions.job(job_id, user_id=None)
        retries = self._jobs.retries_of([job.id])
        if key is None and retries and retries[0].status not in RETRIED:
            return Accepted(retries[0], replayed=True)
        payer = payer or usual_payer(job)
        order = replace(again(job, payer), key=key or retry_key(job, len(retries)))
        details = {"userId": job.user_id, "model": job.model, "payer": payer.value}
        with self._audit.record(actor, Action.JOB_RETRY, f"job:{job.id}", details) as result:
            accepted = self._orders.submit(order)
            result |= {"jobId": accepted.job.id, "cost": usd(accepted.job.quote.micros), "replayed": accepted.replayed}
        return accepted

    def refresh(self, actor: Actor, job_id: str) -> list[Asked]:
        """Ask fal how far a job's requests are, and have fetched what has ended. Raises NotFound, Gone, QueueUnavailable."""
        job = self._job_actions.job(job_id, user_id=None)
        with self._audit.record(actor, Action.JOB_REFRESH, f"job:{job.id}") as result:
            bought = [request for request in job.requests if request.receipt and request.state is not RequestState.COLLECTED]
            asked = [self._asked(job, request, request.receipt) for request in bought[:MAX_ASKED] if request.receipt]
            result |= {"states": [found.status.state.value if found.status else None for found in asked]}
        return asked

    def _asked(self, job: Job, request: FalRequest, receipt: Receipt) -> Asked:
        try:
            status = self._fal.status(receipt)
        except ProviderBusy:
            return Asked(request.index, receipt.request_id, None)
        if not request.is_closed and status.state in (FalState.COMPLETED, FalState.GONE):
            self._queue.enqueue_collect(job.id, request.index, FinishedNotice(noticed_at=self._now()), again=True)
        return Asked(request.index, receipt.request_id, status)


def usual_payer(job: Job) -> Payer:
    return Payer.USER if job.tokens_per_image else Payer.OPERATOR


def again(job: Job, payer: Payer) -> Order:
    """Return the order that repeats a job; nobody pays in tokens for what was not paid in tokens."""
    return order_again(job, pays_tokens=payer is Payer.USER and bool(job.tokens_per_image))


def retry_key(job: Job, number: int) -> OrderKey:
    """Return what makes one order of a job's retries by operators, however many ask at once: they all name the same one."""
    said = json.dumps(["operator's retry", job.id, number])
    return OrderKey(hashlib.sha256(said.encode()).hexdigest(), job.id)
