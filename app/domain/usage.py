"""What users have used: jobs that have ended, pictures delivered, money charged; per user, UTC day, model and status. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from app.domain.job import Job, JobStatus

ONE_DAY = timedelta(days=1)


class GroupBy(StrEnum):
    MODEL = "model"
    DAY = "day"
    STATUS = "status"
    USER = "user"
    PROJECT = "project"


@dataclass(frozen=True)
class Tally:
    jobs: int = 0
    images: int = 0
    micros: int = 0
    """Micro-USD charged."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.jobs + other.jobs, self.images + other.images, self.micros + other.micros)


@dataclass(frozen=True)
class UsageRow:
    day: str
    user_id: str
    model: str
    status: JobStatus
    tally: Tally


@dataclass(frozen=True)
class Period:
    """Whole UTC days as "2026-10-01": `first` to before `end`; `end` None is without end."""

    first: str
    end: str | None = None


def period_of(start: datetime, end: datetime | None) -> Period:
    """Return the days a time belongs to: one that begins or ends within a day has the whole of it."""
    last_moment = end - timedelta(microseconds=1) if end else None
    return Period(day_of(start), day_of(last_moment + ONE_DAY) if last_moment else None)


def start_of(day: str) -> datetime:
    """Return the moment a UTC day begins."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def day_of(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d")


def day_of_job(job: Job) -> str:
    """Return the day an ended job counts for: the one it ended on."""
    return day_of(job.completed_at or job.updated_at)


def tally_of(job: Job) -> Tally:
    """Return what an ended job adds. Pictures count where they were delivered: what came before a cancel is not kept."""
    return Tally(1, len(job.images) if job.status is JobStatus.COMPLETED else 0, job.charged_micros)
