"""Many orders at once: checked together, priced together, paid for together, accepted all or none."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from attrs import define

from app.clients.queue import TaskQueue
from app.domain import clock
from app.domain.account import Whose, is_among
from app.domain.asset import Upload
from app.domain.batch import Batch, BatchState, BatchView, waiting
from app.domain.errors import (
    AlreadyFinished,
    FieldError,
    GatewayError,
    IdempotencyMismatch,
    InvalidRequest,
    MaxCostExceeded,
    NotFinished,
    NotFound,
    QueueUnavailable,
    StoreUnavailable,
    UnknownModelName,
)
from app.domain.job import Job
from app.domain.pricing import usd, usd_text
from app.services.events.announcements import Announcer
from app.services.money.funds import Funds
from app.services.orders.fair_share import FairShare
from app.services.orders.order import KEY_LIFETIME, Order, OrderKey, PricedOrder, Prices
from app.services.orders.references import References
from app.services.orders.submit import Orders
from app.stores.batches import BatchStore
from app.stores.jobs import BatchJobStore, JobStore
from app.stores.readiness import Readiness

log = logging.getLogger(__name__)

#: A batch that is not accepted after this long is undone: its web process died.
ACCEPT_WITHIN = timedelta(seconds=30)
#: How long a repeated request waits for its first to be accepted, and how often it looks. Seconds.
REPEAT_WAIT_S, REPEAT_LOOK_S = 5.0, 0.1
SWEEP_BATCH = 50
CANCEL_PAGE = 100


@dataclass(frozen=True)
class AcceptedBatch:
    """The batch of a request; `replayed` where an earlier one with the same idempotency key made it."""

    batch: Batch
    replayed: bool


@define(eq=False, slots=False, kw_only=True)
class Batches:
    """`user_id` is whose batches the caller may see. Somebody else's is NotFound."""

    _prices: Prices
    _orders: Orders
    _references: References
    _readiness: Readiness
    _jobs: JobStore
    _batch_jobs: BatchJobStore
    _batches: BatchStore
    _funds: Funds
    _fair_share: FairShare
    _queue: TaskQueue
    _announcer: Announcer
    _now: Callable[[], datetime] = clock.now
    _repeat_wait_s: float = REPEAT_WAIT_S

    # -- accepting, in order --------------------------------------------------------------------------------------------------------

    def submit(self, orders: Sequence[Order], *, key: OrderKey | None, max_cost_micros: int | None) -> AcceptedBatch:
        """Accept orders of one user all or none. The batch is written first, then its jobs, then what pays for them is held.

        Opening the batch is the moment it is accepted; whatever is cut off before is undone by the sweep. Raises InvalidRequest naming
        every bad item, MaxCostExceeded, InsufficientTokens, BudgetExceeded, IdempotencyMismatch, StoreNotReady.
        """
        self._readiness.require()
        if earlier := self._earlier(key):
            return AcceptedBatch(earlier, replayed=True)
        priced = self.priced(orders)
        budgets = self._affordable(priced, max_cost_micros)
        new: list[Upload] = []
        batch, jobs = self._drafted(priced, budgets, key, new)
        batch = replace(batch, max_cost_micros=max_cost_micros)
        if not self._batches.insert(batch, attention_at=self._now() + ACCEPT_WITHIN):
            return self.submit(orders, key=key, max_cost_micros=max_cost_micros)  # Another request with the same key was first.
        try:
            self._write(batch, jobs)
        except GatewayError:
            if self._undone_quietly(batch):
                self._references.discard(new)
            raise
        self._fair_share.ask_for_turns()
        return AcceptedBatch(batch, replayed=False)

    def _earlier(self, key: OrderKey | None) -> Batch | None:
        """Return the batch that this key has ordered. Raises IdempotencyMismatch, or NotFinished while its first request is at work."""
        give_up_at = time.monotonic() + self._repeat_wait_s
        while key is not None and (batch := self._batches.by_order_key(key.id)):
            if self._now() - batch.created_at > KEY_LIFETIME:
                self._batches.free_order_key(batch)
                return None
            if batch.fingerprint != key.fingerprint:
                raise IdempotencyMismatch("This Idempotency-Key was used for another request; use a new key for a new order")
            if _is_known(batch):
                return batch
            if time.monotonic() > give_up_at:
                raise NotFinished("The first request with this Idempotency-Key is still being worked on; send it again in a while")
            time.sleep(REPEAT_LOOK_S)
        return None

    def priced(self, orders: Sequence[Order]) -> list[PricedOrder]:
        """Check and price every order, accepting none. Raises InvalidRequest with what is wrong in each, by its place in the list."""
        now, priced, errors = self._now(), list[PricedOrder](), list[FieldError]()
        details: dict[str, list[str]] = {}
        for place, order in enumerate(orders):
            try:
                priced.append(self._prices.price(order, now))
            except UnknownModelName as exc:
                errors.append(FieldError(f"/items/{place}/model", exc.message))
                details |= exc.details or {}
            except InvalidRequest as exc:
                errors += _placed(exc, place)
        if errors:
            raise InvalidRequest(_summary(errors), errors, details=details)
        return priced

    def _affordable(self, priced: Sequence[PricedOrder], max_cost_micros: int | None) -> tuple[str, ...]:
        """Return the budgets that pay. Raises MaxCostExceeded; InsufficientTokens or BudgetExceeded early, the hold decides."""
        micros = sum(each.quote.micros for each in priced)
        first = priced[0].order
        first.limits.require_cost(micros)
        if max_cost_micros is not None and micros > max_cost_micros:
            details = {"cost": usd(micros), "maxCost": usd(max_cost_micros)}
            raise MaxCostExceeded(
                f"The batch may cost {usd_text(micros)} USD, more than maxCost ({usd_text(max_cost_micros)}); nothing was ordered",
                details=details,
            )
        tokens = sum(each.tokens for each in priced)
        return self._funds.required(first.user_id, first.caller_key, tokens=tokens, micros=micros)

    def _drafted(
        self, priced: Sequence[PricedOrder], budgets: tuple[str, ...], key: OrderKey | None, new: list[Upload]
    ) -> tuple[Batch, list[Job]]:
        now, batch_id, jobs = self._now(), clock.new_id(), list[Job]()
        for place, each in enumerate(priced):
            try:
                kept = self._references.kept(each, new=new)
            except InvalidRequest as exc:
                errors = _placed(exc, place)
                raise InvalidRequest(_summary(errors), errors, details=exc.details) from exc
            jobs.append(waiting(self._orders.draft(kept, budgets=budgets), batch_id, now=now))
        ids = tuple(job.id for job in jobs)
        batch = Batch(
            id=batch_id,
            user_id=priced[0].order.user_id,
            job_ids=ids,
            waiting=ids,
            budgets=budgets,
            quoted_micros=sum(job.quote.micros for job in jobs),
            state=BatchState.ACCEPTING,
            turn_at=now,
            created_at=now,
            order_key=key.id if key else None,
            fingerprint=key.fingerprint if key else None,
        )
        return batch, jobs

    def _write(self, batch: Batch, jobs: Sequence[Job]) -> None:
        self._batch_jobs.insert_all(jobs)
        self._funds.hold(jobs)
        if not self._batches.move(batch.id, BatchState.ACCEPTING, to=BatchState.OPEN, attention_at=None):
            raise StoreUnavailable("Accepting the batch took too long and it was undone; send it again")

    def _undone_quietly(self, batch: Batch) -> bool:
        try:
            return self._undo(batch)
        except GatewayError:
            log.warning("a refused batch could not be undone, the sweep will", extra={"batch_id": batch.id}, exc_info=True)
            return False

    def _undo(self, batch: Batch) -> bool:
        """Make a batch that was not accepted as if it had never been. False where it is accepted, or undone elsewhere. Repeatable."""
        fresh = self._batches.move(batch.id, BatchState.ACCEPTING, to=BatchState.UNDOING, attention_at=self._now())
        if not fresh and (now_is := self._batches.get(batch.id)) is not None and now_is.state is not BatchState.UNDOING:
            return False
        self._batch_jobs.remove_unstarted(batch.id)
        self._funds.take_back(batch.user_id, batch.budgets, batch.job_ids)
        self._batches.remove(batch.id)
        return True

    # -- afterwards -----------------------------------------------------------------------------------------------------------------

    def view(self, batch_id: str, *, user_id: Whose) -> BatchView:
        """Return a batch with what its jobs say together. Raises NotFound."""
        batch = self._batches.get(batch_id) if clock.is_id(batch_id) else None
        if batch is None or not _is_known(batch) or not is_among(batch.user_id, user_id):
            raise NotFound("No such batch")
        return BatchView.of(batch, self._batch_jobs.sums(batch))

    def page(self, *, user_id: Whose, before_id: str | None, limit: int) -> list[BatchView]:
        """Return batches, newest first, each with what its jobs say together."""
        found = self._batches.page(user_id, before_id=before_id, limit=limit)
        return [BatchView.of(batch, self._batch_jobs.sums(batch)) for batch in found]

    def cancel(self, batch_id: str, *, user_id: Whose) -> BatchView:
        """Cancel every job of a batch that has not finished, each as a single one is. Raises NotFound, AlreadyFinished."""
        view = self.view(batch_id, user_id=user_id)
        if view.is_over:
            raise AlreadyFinished("Every job of the batch has finished already")
        self._batches.cancel(batch_id, now=self._now())
        self._cancel_jobs(replace(view.batch, state=BatchState.CANCELING))
        return self.view(batch_id, user_id=user_id)

    def sweep(self) -> None:
        """Finish what was cut off: undo what was never accepted, go on canceling, give turns. May be repeated and may race."""
        for batch in self._batches.due(now=self._now(), limit=SWEEP_BATCH):
            try:
                if batch.state is BatchState.CANCELING:
                    self._cancel_jobs(batch)
                else:
                    log.warning("a batch was never accepted and is undone", extra={"batch_id": batch.id})
                    self._undo(batch)
            except GatewayError:
                log.warning("batch could not be attended to, later", extra={"batch_id": batch.id}, exc_info=True)
        try:
            self._fair_share.give_turns()
        except QueueUnavailable:
            log.warning("no turns given, later", exc_info=True)

    def _cancel_jobs(self, batch: Batch) -> None:
        last = ""
        while page := self._batch_jobs.open_after(batch.id, last, limit=CANCEL_PAGE):
            wished = [found for job in page if (found := self._jobs.change(job, lambda j: j.cancel_requested(now=self._now())))]
            at_fal = [job for job in wished if not job.is_terminal]
            try:
                self._queue.enqueue_batch_cancels(over=[j.id for j in wished if j.is_terminal], at_fal=[j.id for j in at_fal])
            except QueueUnavailable:
                log.warning("canceled jobs are attended to by the sweep", extra={"batch_id": batch.id})
            for job in at_fal:
                self._announcer.announce(job)
            last = page[-1].id
        self._batches.move(batch.id, BatchState.CANCELING, to=BatchState.CLOSED, attention_at=None)


def _is_known(batch: Batch) -> bool:
    """Tell whether anybody has been told of a batch."""
    return batch.state not in (BatchState.ACCEPTING, BatchState.UNDOING)


def _placed(exc: InvalidRequest, place: int) -> list[FieldError]:
    """Return a single order's errors with pointers into the list of orders."""
    return [FieldError(f"/items/{place}{error.pointer}", error.detail) for error in exc.errors] or [
        FieldError(f"/items/{place}", exc.message)
    ]


def _summary(errors: Sequence[FieldError]) -> str:
    told = "; ".join(f"{error.pointer.lstrip('/')}: {error.detail}" for error in errors[:5])
    return told if len(errors) <= 5 else f"{told}; and {len(errors) - 5} more"
