"""What ended jobs come to for the operator: charged, paid and billed, and what failed. Pure.

charged   what users pay.
paid      what the operator pays fal, by the best figure there is: the bill, else the units of fal's results, else the quote.
billed    what fal's bill says, of the jobs it has been read for; `quoted` is what was expected of the same jobs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from operator import add, attrgetter, sub

from app.domain.job import Job, JobStatus
from app.domain.usage import day_of, tally_of

#: A message's shape is a label, not a text.
MAX_SHAPE_CHARS = 160
#: What tells two messages of one kind apart: addresses, quotations, ids, numbers. Quotations may be anybody's words, and are not kept.
_VARYING = re.compile(
    r"(?P<address>https?://\S+)"
    r"|(?P<quotation>\"[^\"]*\"|'[^']*'|`[^`]*`|“[^”]*”)"
    r"|(?P<id>\b(?=[\w-]*\d)[0-9A-Za-z_]+(?:-[0-9A-Za-z_]+){2,}\b|\b(?=\w*\d)[0-9A-Fa-f]{8,}\b)"
    r"|(?P<number>\d+(?:[.,]\d+)*)"
)
_STANDS_FOR = {"address": "<address>", "quotation": "<…>", "id": "<id>", "number": "<n>"}


class SpendBy(StrEnum):
    DAY = "day"
    MODEL = "model"
    USER = "user"
    KEY = "key"
    PROJECT = "project"


@dataclass(frozen=True)
class Figures:
    """Sums of ended jobs. Money is micro-USD."""

    jobs: int = 0
    completed: int = 0
    failed: int = 0
    images: int = 0
    charged: int = 0
    paid: int = 0
    lost: int = 0
    """What was paid for jobs that were charged nothing because they failed."""
    billed: int = 0
    billed_jobs: int = 0
    quoted: int = 0
    """What the jobs on the bill were expected to cost."""

    def __add__(self, other: Figures) -> Figures:
        return Figures(*map(add, _VALUES(self), _VALUES(other)))

    def __sub__(self, other: Figures) -> Figures:
        return Figures(*map(sub, _VALUES(self), _VALUES(other)))

    @property
    def margin(self) -> int:
        return self.charged - self.paid

    @property
    def drift(self) -> int:
        """How much more fal has billed than was expected."""
        return self.billed - self.quoted

    @property
    def success_rate(self) -> float | None:
        """Return the share of jobs that were delivered, of those that were not canceled; None where there are none."""
        decided = self.completed + self.failed
        return self.completed / decided if decided else None


#: Field by field: the library's own way copies deeply, and takes twenty times as long.
_VALUES = attrgetter(*(field.name for field in fields(Figures)))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is kept of an ended job for the reports. `billed` None: its bill has not been read."""

    user_id: str
    model: str
    status: JobStatus
    at: datetime
    key_id: str | None = None
    project_id: str | None = None
    images: int = 0
    charged: int = 0
    paid: int = 0
    quoted: int = 0
    billed: int | None = None
    code: str | None = None
    shape: str | None = None

    @property
    def day(self) -> str:
        return day_of(self.at)

    @property
    def figures(self) -> Figures:
        has_failed = self.status is JobStatus.FAILED
        return Figures(
            jobs=1,
            completed=int(self.status is JobStatus.COMPLETED),
            failed=int(has_failed),
            images=self.images,
            charged=self.charged,
            paid=self.paid,
            lost=self.paid if has_failed else 0,
            billed=self.billed or 0,
            billed_jobs=int(self.billed is not None),
            quoted=self.quoted if self.billed is not None else 0,
        )

    @property
    def groups(self) -> Iterator[tuple[SpendBy, str | None]]:
        """Yield what it counts for, in each of the ways in which sums are kept."""
        yield SpendBy.DAY, self.day
        yield SpendBy.MODEL, self.model
        yield SpendBy.USER, self.user_id
        yield SpendBy.KEY, self.key_id
        yield SpendBy.PROJECT, self.project_id


@dataclass(frozen=True)
class FailureKind:
    """Failures that look alike: the same code, model, and message but for its numbers, ids and quotations."""

    code: str
    model: str
    shape: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.code}\0{self.model}\0{self.shape}".encode()).hexdigest()[:24]


def outcome_of(job: Job) -> Outcome:
    """Return what an ended job comes to, as far as it is known now. What nobody knows the price of counts as nothing paid."""
    is_completed = job.status is JobStatus.COMPLETED
    failure = job.failure if job.status is JobStatus.FAILED else None
    return Outcome(
        user_id=job.user_id,
        model=job.model,
        status=job.status,
        at=job.completed_at or job.updated_at,
        key_id=job.caller_key,
        project_id=job.project_id,
        images=tally_of(job).images,
        charged=job.charged_micros,
        paid=job.actual.micros if job.actual else job.quote.cost_micros if is_completed else 0,
        quoted=job.quote.cost_micros,
        billed=job.invoiced_micros,
        code=failure.code if failure else None,
        shape=shape_of(failure.message) if failure else None,
    )


def shape_of(message: str) -> str:
    """Return what messages of one kind have in common, on one line."""
    replaced = _VARYING.sub(lambda found: _STANDS_FOR[str(found.lastgroup)], " ".join(message.split()))
    return replaced if len(replaced) <= MAX_SHAPE_CHARS else replaced[: MAX_SHAPE_CHARS - 1] + "…"


def minute_of(moment: datetime) -> str:
    """Return the UTC minute, "2026-11-26T16:40": as text these sort by time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")
