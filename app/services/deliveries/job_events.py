"""What happens to jobs and batches, as events: who hears of it, and what is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define

from app.domain.batch import BatchView
from app.domain.clock import rfc3339
from app.domain.endpoint import ANONYMOUS, BATCH_COMPLETED, OPERATOR
from app.domain.event import Event
from app.domain.job import HistoryEntry, Job, JobStatus
from app.domain.pricing import usd
from app.services.deliveries.bodies import job_body
from app.services.deliveries.produce import Producer
from app.services.pictures.links import PictureLinks
from app.stores.batches import BatchStore
from app.stores.jobs import BatchJobStore

STARTED = "job.started"


@define(eq=False, slots=False, kw_only=True)
class JobEvents:
    _producer: Producer
    _links: PictureLinks
    _batches: BatchStore
    _batch_jobs: BatchJobStore
    _own_url: str

    def started(self, job: Job) -> None:
        """Tell that fal works on a job. What a crash, or an endpoint of less than a second, lets be missed, `ended` tells late."""
        if job.hook or self._producer.is_heard():
            self._producer.produce(*self._started(job))

    def ended(self, job: Job) -> None:
        """Tell that a job has ended, and its batch if it was the last one. Repeating it changes nothing. Raises StoreUnavailable."""
        ended = self._event(f"job.{job.status.value}", job, job.history[-1])
        batch = (self._batch_completed(job, job.batch_id),) if job.batch_id else ()
        self._producer.produce(*self._started(job), ended, *batch)

    def _started(self, job: Job) -> list[Event]:
        entry = next((entry for entry in job.history if entry.status is JobStatus.PROCESSING), None)
        return [self._event(STARTED, job, entry)] if entry else []

    def _event(self, name: str, job: Job, entry: HistoryEntry) -> Event:
        def data() -> Mapping[str, Any]:
            return {**job_body(job, self._links, own_url=self._own_url), "seq": entry.seq}

        return Event(type=name, key=job.id, owners=owners_of(job), at=entry.at, data=data, hook=job.hook, job=job)

    def _batch_completed(self, job: Job, batch_id: str) -> Event:
        """Return the event of a job's batch; every job that ends asks, and only the last one finds that there is something to tell."""

        def data() -> Mapping[str, Any] | None:
            if self._batch_jobs.is_any_open(batch_id) or (batch := self._batches.get(batch_id)) is None:
                return None
            return _batch_body(BatchView.of(batch, self._batch_jobs.sums(batch)), own_url=self._own_url)

        at = job.completed_at or job.updated_at
        return Event(type=BATCH_COMPLETED, key=batch_id, owners=owners_of(job), at=at, data=data, hook=job.hook)


def owners_of(job: Job) -> tuple[str, ...]:
    """Return whose endpoints hear of a job: its user's, those of the key that ordered it, and the operator's.

    Where anybody may order, what nobody signed in or sent a key for is everybody's.
    """
    caller = f"key:{job.caller_key}" if job.caller_key else ANONYMOUS if not job.tokens_per_image else None
    return (f"user:{job.user_id}", *([caller] if caller else []), OPERATOR)


def _batch_body(view: BatchView, *, own_url: str) -> dict[str, Any]:
    """Return what `GET /api/batches/{batchId}` answers, with `batchUrl`."""
    return {
        "batchId": view.batch.id,
        "userId": view.batch.user_id,
        "status": view.status.value,
        "cancelRequested": view.batch.canceled_at is not None,
        "counts": {status.value: view.jobs.get(status, 0) for status in JobStatus},
        "cost": usd(view.charged_micros),
        "estimatedCost": usd(view.batch.quoted_micros),
        "progress": view.progress,
        "createdAt": rfc3339(view.batch.created_at),
        "batchUrl": f"{own_url}/api/batches/{view.batch.id}",
    }
