"""What is left of a job that is deleted: whose it was, what it cost, and what of it is still to be removed. Pure.

A tombstone is written before anything of its job goes, and says all that is needed to finish: whoever dies in between is followed by
another. Readers are told 410 from then on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from app.domain import keys
from app.domain.asset import REFERENCE_PREFIX
from app.domain.costs import CostSource
from app.domain.job import Job, JobStatus, Settlement


class Reason(StrEnum):
    """Why a job is deleted: somebody asked for it, its time was up, or all of its user's data go."""

    ASKED = "asked"
    RETENTION = "retention"
    USER_DATA = "user_data"


TOLD = {Reason.ASKED: "This job was deleted", Reason.RETENTION: "This job was deleted: it was kept for as long as was agreed"}


@dataclass(frozen=True, kw_only=True)
class Tombstone:
    """`image_ids` are its pictures, `upload_ids` the pictures that it was ordered with. Those from before there was more know whose only.

    `attention_at`: when the sweep goes on with what is left to remove; None where nothing is.
    """

    id: str
    user_id: str
    at: datetime
    reason: Reason = Reason.ASKED
    attention_at: datetime | None = None
    is_cleared: bool = False
    """Nothing of it is left here; somebody else may still have to be asked."""
    batch_id: str | None = None
    model: str | None = None
    status: JobStatus | None = None
    charged_micros: int = 0
    estimated_micros: int = 0
    actual_micros: int | None = None
    cost_source: CostSource = CostSource.ESTIMATE
    completed_at: datetime | None = None
    image_ids: tuple[str, ...] = ()
    upload_ids: tuple[str, ...] = ()
    kept_files: tuple[str, ...] = ()
    """Keys of files beside its folder."""
    fal_request_ids: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """Return what whoever asks for the job is told."""
        return TOLD.get(self.reason, TOLD[Reason.ASKED])


def tombstone_of(job: Job, reason: Reason, *, now: datetime, attention_at: datetime) -> Tombstone:
    return Tombstone(
        id=job.id,
        user_id=job.user_id,
        at=now,
        reason=reason,
        attention_at=attention_at,
        batch_id=job.batch_id,
        model=job.model,
        status=job.status,
        charged_micros=job.charged_micros,
        estimated_micros=job.quote.cost_micros,
        actual_micros=job.actual.micros if job.actual else None,
        cost_source=job.cost_source,
        completed_at=job.completed_at,
        image_ids=tuple(image.upload_id for image in job.images),
        upload_ids=tuple(dict.fromkeys(uploads_in(job))),
        kept_files=tuple(_kept_files(job)),
        fal_request_ids=tuple(request.receipt.request_id for request in job.requests if request.receipt),
    )


def may_be_deleted(job: Job) -> bool:
    """Tell whether nothing is to happen to a job any more: it has ended, and its money, usage and events are done."""
    return job.is_terminal and job.settlement is Settlement.DONE and not job.unanswered


def is_past(job: Job, *, retention_days: int, now: datetime) -> bool:
    """Tell whether a job's time is up: so many days after its end by the settings (0: never), or by its order, whichever ends first."""
    days = [days for days in (retention_days, job.retain_days) if days]
    return job.completed_at is not None and bool(days) and job.completed_at + timedelta(days=min(days)) <= now


def uploads_in(job: Job) -> Iterator[str]:
    """Yield the ids of the uploads that a job names."""
    for pointer in job.image_pointers:
        value: Any = job.arguments
        for part in pointer.split("/")[1:]:
            value = value[int(part)] if isinstance(value, list) else value[part]
        if isinstance(value, str) and value.startswith(REFERENCE_PREFIX):
            yield value.removeprefix(REFERENCE_PREFIX)


def _kept_files(job: Job) -> Iterator[str]:
    """Yield where bytes of fal's may be that nobody could read: in the place of each picture that is missing."""
    if any(request.receipt for request in job.requests):
        there = {image.number for image in job.images}
        yield from (keys.unreadable_file(job.created_at.date(), job.id, n) for n in range(job.num_images) if n not in there)
