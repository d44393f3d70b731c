"""Many orders accepted as one: how its jobs wait for their turn, and what it looks like as a whole. Pure.

accepting -> open -> closed      its jobs are released one after another, in turn with other users' batches
    |          `-> canceling -> closed
    `-> undoing -> (gone)        the web process died before all was written and paid: nobody was told of it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.fal_request import RequestState
from app.domain.job import TERMINAL, Job, JobStatus

MAX_ITEMS = 500
#: A job that has waited this long for its turn fails; nothing is charged for it.
LONGEST_WAIT = timedelta(hours=24)


class BatchState(StrEnum):
    ACCEPTING = "accepting"
    OPEN = "open"
    CANCELING = "canceling"
    CLOSED = "closed"
    UNDOING = "undoing"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """`waiting` are the jobs whose turn has not come, in order. `turn_at` is when it, or another of its user's, last had a turn."""

    id: str
    user_id: str
    job_ids: tuple[str, ...]
    waiting: tuple[str, ...]
    budgets: tuple[str, ...]
    quoted_micros: int
    state: BatchState
    turn_at: datetime
    created_at: datetime
    order_key: str | None = None
    fingerprint: str | None = None
    canceled_at: datetime | None = None
    max_cost_micros: int | None = None


@dataclass(frozen=True)
class StatusSum:
    """What the jobs of one status in a batch come to."""

    jobs: int
    charged_micros: int
    progress: int


@dataclass(frozen=True)
class BatchView:
    """A batch with what its jobs say together; `jobs` counts them by status."""

    batch: Batch
    jobs: Mapping[JobStatus, int] = field(default_factory=dict)
    charged_micros: int = 0
    progress_sum: int = 0

    @classmethod
    def of(cls, batch: Batch, sums: Mapping[JobStatus, StatusSum]) -> BatchView:
        return cls(
            batch,
            jobs={status: each.jobs for status, each in sums.items()},
            charged_micros=sum(each.charged_micros for each in sums.values()),
            progress_sum=sum(100 * each.jobs if status in TERMINAL else each.progress for status, each in sums.items()),
        )

    @property
    def id(self) -> str:
        return self.batch.id

    @property
    def is_over(self) -> bool:
        return not any(self.jobs.get(status, 0) for status in (JobStatus.PENDING, JobStatus.PROCESSING))

    @property
    def status(self) -> JobStatus:
        """Return the whole's status: completed when all have ended and one at least delivered, unless it was canceled meanwhile."""
        counts, total = self.jobs, sum(self.jobs.values())
        if not self.is_over:
            return JobStatus.PENDING if counts.get(JobStatus.PENDING) == total else JobStatus.PROCESSING
        canceled = counts.get(JobStatus.CANCELED, 0)
        if canceled and (self.batch.canceled_at or canceled == total):
            return JobStatus.CANCELED
        return JobStatus.FAILED if counts.get(JobStatus.FAILED) and not counts.get(JobStatus.COMPLETED) else JobStatus.COMPLETED

    @property
    def progress(self) -> int:
        """Return the percentage that is done: a job that has ended counts whole, however it ended."""
        total = sum(self.jobs.values())
        return 100 if self.is_over else min(99, self.progress_sum // max(1, total))


def waiting(job: Job, batch_id: str, *, now: datetime) -> Job:
    """Return a fresh job as part of a batch: the sweep leaves it alone until it is released."""
    requests = tuple(replace(request, next_at=None) for request in job.requests)
    return replace(job, batch_id=batch_id, requests=requests, deadline_at=now + LONGEST_WAIT)


def released(job: Job, *, deadline: timedelta, now: datetime) -> Job | None:
    """Let a waiting job go: its deadline runs from now. None where it was released, or has ended."""
    if not is_waiting(job):
        return None
    lost_at = now + timedelta(seconds=job.timeouts.task_s)
    requests = tuple(replace(request, next_at=lost_at) for request in job.requests)
    return replace(job, requests=requests, deadline_at=now + deadline, updated_at=now)


def is_waiting(job: Job) -> bool:
    untouched = all(request.state is RequestState.NEW and request.next_at is None for request in job.requests)
    return job.batch_id is not None and job.status is JobStatus.PENDING and untouched


def takes_slot(job: Job) -> bool:
    """Tell whether a job is one of the batch jobs that are in the works now, whose number is limited."""
    return job.batch_id is not None and not job.is_terminal and not is_waiting(job)
