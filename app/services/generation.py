"""The life of a job, from here on: a request becomes a priced job, is written down, and is left to the workers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from app import clock
from app.clients.queue import TaskQueue
from app.errors import NotFound, QueueUnavailable
from app.job import Job, Patience, new_job
from app.pricing import Quote
from app.services.announcements import Announcer
from app.services.orders import Order, PricedOrder, estimate, price_order
from app.services.references import References
from app.stores.jobs import JobFilter, JobStore
from registry.loader import Registry
from registry.request import split_images

log = logging.getLogger(__name__)


class Generation:
    def __init__(
        self,
        *,
        registry: Registry,
        jobs: JobStore,
        queue: TaskQueue,
        announcer: Announcer,
        references: References,
        patience: Patience,
        deadline_s: float,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._registry = registry
        self._jobs = jobs
        self._queue = queue
        self._announcer = announcer
        self._references = references
        self._patience = patience
        self._deadline = timedelta(seconds=deadline_s)
        self._now = now

    def estimate(self, model: str, inputs: dict[str, Any] | None, options: dict[str, Any]) -> Quote:
        """Price a request without asking for anything."""
        return estimate(self._registry, model, inputs, options, self._now())

    def submit(self, order: Order) -> Job:
        """Accept an order: check, price, write the job, leave it to the workers. Returns the pending job.

        The job is written before it is enqueued. Where the queue does not answer the order stands all the same: the sweep enqueues it.
        """
        priced = price_order(self._registry, order, self._now())
        job = self._drafted(self._references.kept(order, priced))
        self._jobs.insert(job)
        self._announcer.announce(job)
        self.enqueue(job)
        return job

    def enqueue(self, job: Job) -> None:
        try:
            self._queue.enqueue_submit(job.id)
        except QueueUnavailable:
            log.warning("job not enqueued, the sweep will", extra={"job_id": job.id}, exc_info=True)

    def job(self, job_id: str, *, user_id: str | None) -> Job:
        """Return a job of this user (None: of anybody). Raises NotFound, for somebody else's too."""
        job = self._jobs.get(job_id) if clock.is_id(job_id) else None
        if job is None or (user_id is not None and job.user_id != user_id):
            raise NotFound("No such job")
        return job

    def jobs(self, wanted: JobFilter, *, before_id: str | None, limit: int) -> list[Job]:
        return self._jobs.page(wanted, before_id=before_id, limit=limit)

    def count(self, wanted: JobFilter) -> int:
        return self._jobs.count(wanted)

    def _drafted(self, kept: tuple[Order, PricedOrder]) -> Job:
        order, priced = kept
        checked, now = priced.checked, self._now()
        return new_job(
            requests=split_images(checked.num_images, checked.spec.max_images_per_call),
            now=now,
            patience=self._patience,
            id=clock.new_id(),
            user_id=order.user_id,
            operation=order.operation,
            model=order.model,
            endpoint=checked.spec.fal_endpoint,
            takes_num_images="num_images" in checked.spec.params,
            inputs=dict(checked.inputs),
            options=dict(checked.options),
            arguments=dict(checked.arguments),
            image_pointers=tuple(checked.image_inputs),
            quote=priced.quote,
            deadline_at=now + self._deadline,
            project_id=order.project_id,
            metadata=dict(order.metadata),
            reference=dict(order.reference) if order.reference else None,
            ai_metadata=dict(order.ai_metadata) if order.ai_metadata else None,
            tokens_per_image=order.tokens_per_image,
        )
