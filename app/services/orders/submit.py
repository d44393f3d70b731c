"""The life of a job, from here on: a request becomes a priced job, is written down, and is left to the workers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from attrs import define

from app.clients.queue import TaskQueue
from app.domain import clock
from app.domain.asset import Upload
from app.domain.errors import CallerError, IdempotencyMismatch, QueueUnavailable
from app.domain.job import Job, JobStatus, Operation, SweepTimeouts, new_job
from app.domain.pricing import Quote
from app.domain.repeat import Try, made_by
from app.services.events.announcements import Announcer
from app.services.money.funds import Funds
from app.services.orders.order import KEY_LIFETIME, Order, OrderKey, PricedOrder, Prices
from app.services.orders.references import References
from app.services.orders.repeats import Repeats
from app.stores.jobs import JobStore
from app.stores.readiness import Readiness
from registry.request import split_images

log = logging.getLogger(__name__)

BEGINS_LATER = "The order stands, but the service's queue is away: the generation begins by itself when it is back"


@dataclass(frozen=True)
class Accepted:
    """The job of an order; `replayed` where an earlier request with the same idempotency key made it.

    `begins_later`: the queue does not take it now. The order stands, the sweep enqueues it; to wait for it would be idle.
    """

    job: Job
    replayed: bool
    begins_later: bool = False

    def message(self, usual: str) -> str:
        """Return what the caller is told of the order: that it begins later, or the usual."""
        return BEGINS_LATER if self.begins_later else usual


@define(eq=False, slots=False, kw_only=True)
class Orders:
    _prices: Prices
    _jobs: JobStore
    _readiness: Readiness
    _queue: TaskQueue
    _announcer: Announcer
    _references: References
    _repeats: Repeats
    _funds: Funds
    _timeouts: SweepTimeouts
    _deadline: timedelta
    _now: Callable[[], datetime] = clock.now

    def check(self, order: Order) -> PricedOrder:
        """Price an order, or refuse it where its words or its price are wrong; nothing is stored for it. Raises as `submit` does."""
        return self._prices.price(order, self._now())

    def submit(self, order: Order) -> Accepted:
        """Accept an order: check, price, write the job, hold what pays for it, leave it to the workers.

        The job is written before anything is held, so that no hold is without a job; a refused hold (InsufficientTokens, BudgetExceeded)
        takes the job back as if it had never been. Where the queue does not answer the order stands all the same: the sweep enqueues it.
        An order whose idempotency key is known gives the job of the first. Raises IdempotencyMismatch where the key is another order's,
        StoreNotReady where the database could not tell two orders with one key from each other.
        """
        with self._repeats.in_turn(order.tried):
            return self._submitted(order)

    def _submitted(self, order: Order) -> Accepted:
        self._readiness.require()
        if replayed := self.replayed(order.key) or self._of_an_earlier_try(order.tried):
            return replayed
        priced = self._prices.price(order, self._now())
        budgets = self._funds.required(order.user_id, order.caller_key, tokens=priced.tokens, micros=priced.quote.micros)
        new: list[Upload] = []
        job = self.draft(self._references.kept(priced, new=new), budgets=budgets)
        if not self._jobs.insert(job):
            return self._submitted(order)  # Another request with the same key was first.
        if (rival := self._repeats.rival_of(job)) and self._jobs.remove_unclaimed(job):
            self._references.discard(new)
            return self._submitted(order) if order.tried and order.tried.number else Accepted(rival, replayed=True)
        try:
            return self._hold_and_enqueue(job, replayed=False)
        except CallerError:
            self._references.discard(new)
            raise

    def draft(self, priced: PricedOrder, *, budgets: tuple[str, ...]) -> Job:
        """Return the job of an order, not written yet."""
        order, checked, now = priced.order, priced.checked, self._now()
        return new_job(
            requests=split_images(checked.num_images, checked.spec.max_images_per_call),
            now=now,
            timeouts=self._timeouts,
            id=clock.new_id(),
            user_id=order.user_id,
            operation=order.operation,
            model=order.model,
            endpoint=checked.spec.fal_endpoint,
            takes_num_images="num_images" in checked.spec.params,
            fal_headers=dict(order.fal_headers),
            inputs=dict(checked.inputs),
            options=dict(checked.options),
            arguments=dict(checked.arguments),
            image_pointers=tuple(checked.image_inputs),
            quote=priced.quote,
            deadline_at=now + self._deadline,
            project_id=order.project_id,
            metadata=dict(order.metadata),
            retain_days=order.retain_days,
            web=order.web,
            tokens_per_image=priced.tokens_per_image,
            caller_key=order.caller_key,
            order_key=order.key.id if order.key else None,
            fingerprint=order.key.fingerprint if order.key else None,
            retry_of=order.retry_of,
            budgets=budgets,
            repeat=made_by(order.tried) if order.tried else None,
            hook=order.hook,
        )

    def _hold_and_enqueue(self, job: Job, *, replayed: bool) -> Accepted:
        """Hold what pays for a pending job and enqueue it. For a repeated order this does what its first request did not get to."""
        accepted = Accepted(job, replayed)
        if job.status is not JobStatus.PENDING:
            return accepted
        try:
            if not self._funds.hold([job]):
                return accepted
        except CallerError:
            self._jobs.remove_unstarted(job.id)
            raise
        self._announcer.announce(job)
        try:
            self._queue.enqueue_submit(job.id, in_batch=job.waits_for_others)
        except QueueUnavailable:
            log.warning("job not enqueued, the sweep will", extra={"job_id": job.id}, exc_info=True)
            return replace(accepted, begins_later=True)
        return accepted

    def replayed(self, key: OrderKey | None) -> Accepted | None:
        """Return what this idempotency key has ordered before, paid for as its first request would have; None for a new key."""
        earlier = self._earlier(key)
        return self._again(earlier) if earlier else None

    def _of_an_earlier_try(self, tried: Try | None) -> Accepted | None:
        earlier = self._repeats.claim(tried) if tried else None
        return self._again(earlier) if earlier else None

    def _again(self, earlier: Job) -> Accepted:
        accepted = self._hold_and_enqueue(earlier, replayed=True) if earlier.is_paid_for else Accepted(earlier, replayed=True)
        return replace(accepted, begins_later=earlier.status is JobStatus.PENDING and self._queue.is_away())

    def _earlier(self, key: OrderKey | None) -> Job | None:
        """Return the job that this idempotency key has ordered, or None. Raises IdempotencyMismatch."""
        job = self._jobs.by_order_key(key.id) if key else None
        if key is None or job is None:
            return None
        if self._now() - job.created_at > KEY_LIFETIME:
            self._jobs.free_order_key(job)
            return None
        if job.fingerprint != key.fingerprint:
            raise IdempotencyMismatch("This Idempotency-Key was used for another request; use a new key for a new order")
        return job

    def estimate(self, model: str, inputs: dict[str, Any] | None, options: dict[str, Any]) -> Quote:
        """Price a request without asking for anything."""
        return self._prices.estimate(model, inputs, options, self._now())

    def tokens_of(self, model: str, quoted: Quote) -> int:
        """Return what a signed-in user pays for a request at the script API."""
        return quoted.num_images * self._prices.tokens_per_image(Operation.GENERATE, model, quoted)
