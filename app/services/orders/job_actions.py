"""What a user may do to a job: look, cancel, order again, delete."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from attrs import define

from app.clients.queue import TaskQueue
from app.domain import clock
from app.domain.account import Whose, is_among
from app.domain.api_key import NO_LIMITS, OrderLimits
from app.domain.endpoint import OrderHook
from app.domain.errors import AlreadyFinished, Gone, NotFinished, NotFound, QueueUnavailable
from app.domain.job import Job
from app.domain.tombstone import Reason, may_be_deleted
from app.services.erasure.jobs import Eraser
from app.services.events.announcements import Announcer
from app.services.orders.order import Order, OrderKey
from app.services.orders.submit import Accepted, Orders
from app.stores.jobs import Glimpse, JobStore
from app.stores.tombstones import Tombstones

log = logging.getLogger(__name__)


@define(eq=False, slots=False, kw_only=True)
class JobActions:
    """`user_id` is whose jobs the caller may see. Somebody else's job is NotFound."""

    _jobs: JobStore
    _tombstones: Tombstones
    _eraser: Eraser
    _queue: TaskQueue
    _orders: Orders
    _announcer: Announcer
    _now: Callable[[], datetime] = clock.now

    def job(self, job_id: str, *, user_id: Whose) -> Job:
        """Return a job. Raises NotFound, or Gone for a deleted one."""
        job = self._jobs.get(job_id) if clock.is_id(job_id) else None
        if job is not None and is_among(job.user_id, user_id):
            return job
        stone = self._tombstones.get(job_id) if job is None and clock.is_id(job_id) else None
        if stone is not None and is_among(stone.user_id, user_id):
            raise Gone(stone.told)
        raise NotFound("No such job")

    def glimpse(self, job_id: str, *, user_id: Whose, with_history: bool = False) -> Glimpse:
        """Return what a poll asks of a job, for one small read. Raises NotFound, for a deleted one too."""
        found = self._jobs.glimpse(job_id, with_history=with_history) if clock.is_id(job_id) else None
        if found is None or not is_among(found.user_id, user_id):
            raise NotFound("No such job")
        return found

    def cancel(self, job_id: str, *, user_id: Whose) -> Job:
        """Cancel a live job: it has ended when fal had not begun it, else fal is asked and its answer decides. Raises AlreadyFinished.

        The wish is in the job before anybody acts on it; a worker then settles what has ended, or asks fal. If none is told, the sweep
        does it. Repeating the wish changes nothing.
        """
        job = self._jobs.change(self.job(job_id, user_id=user_id), lambda j: j.cancel_requested(now=self._now()))
        if job is None:
            job = self.job(job_id, user_id=user_id)
            if job.is_terminal:
                raise AlreadyFinished("The job has finished already")
            return job
        try:
            self._queue.enqueue_settle(job.id) if job.is_terminal else self._queue.enqueue_cancel(job.id)
        except QueueUnavailable:
            log.warning("a canceled job is attended to by the sweep", extra={"job_id": job.id})
        if not job.is_terminal:
            self._announcer.announce(job)
        return job

    def note(self, job_id: str, *, user_id: Whose, favorite: bool | None, tags: tuple[str, ...] | None) -> Job:
        """Note that a job is a favorite, and its tags; None leaves what is noted. Raises NotFound, Gone."""
        job = self.job(job_id, user_id=user_id)
        return self._jobs.change(job, lambda j: j.noted(favorite=favorite, tags=tags)) or self.job(job_id, user_id=user_id)

    def retry(
        self,
        job_id: str,
        *,
        user_id: Whose,
        key: OrderKey | None,
        caller_key: str | None = None,
        limits: OrderLimits = NO_LIMITS,
        hook: OrderHook | None = None,
    ) -> Accepted:
        """Order the same again as a new job, at today's price. Raises NotFinished for a live one.

        The budget of the caller's own API key pays; where it has none, that of the key which ordered the first. A user (who sees only
        its own jobs) pays tokens, for a job too that a script ordered for it.
        """
        order = self.order_again(job_id, user_id=user_id, key=key, caller_key=caller_key, limits=limits, hook=hook)
        return self._orders.submit(order)

    def order_again(
        self,
        job_id: str,
        *,
        user_id: Whose,
        key: OrderKey | None = None,
        caller_key: str | None = None,
        limits: OrderLimits = NO_LIMITS,
        hook: OrderHook | None = None,
    ) -> Order:
        """Return the order that asks for an ended job's pictures again. Raises NotFinished, NotFound, Gone."""
        job = self.job(job_id, user_id=user_id)
        order = order_again(job, pays_tokens=bool(job.tokens_per_image) or isinstance(user_id, str))
        return replace(order, caller_key=caller_key or job.caller_key, limits=limits, key=key, hook=hook or job.hook)

    def delete(self, job_id: str, *, user_id: Whose) -> None:
        """Remove a finished job and its images for good; what it cost stays on record. Raises NotFinished for a live one.

        Where this is cut off, or storage is away, the sweep finishes it.
        """
        job = self.job(job_id, user_id=user_id)
        if not may_be_deleted(job):
            raise NotFinished("The job is still being worked on; cancel it first, or wait for it")
        self._eraser.erase(job, Reason.ASKED)


def order_again(job: Job, *, pays_tokens: bool) -> Order:
    """Return the order that asks for an ended job's pictures again. Raises NotFinished for a live one."""
    if not job.is_terminal:
        raise NotFinished("The job is still being worked on; cancel it first, or wait for it")
    return Order(
        model=job.model,
        inputs=_restored(job.inputs),
        options=_restored(job.options),
        user_id=job.user_id,
        operation=job.operation,
        project_id=job.project_id,
        metadata=job.metadata,
        retain_days=job.retain_days,
        web=job.web,
        caller_key=job.caller_key,
        retry_of=job.id,
        hook=job.hook,
        pays_tokens=pays_tokens,
    )


def _restored(values: dict[str, object]) -> dict[str, object]:
    """Return parameters as they were asked for: a seed too large for the store was kept as text."""
    seed = values.get("seed")
    return {**values, "seed": int(seed)} if isinstance(seed, str) and seed.isdigit() else values
