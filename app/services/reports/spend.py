"""What is spent, and what fails, for the operator: read from sums of days, never from jobs. And how these sums come about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from attrs import define

from app.domain import budget, clock
from app.domain.errors import FieldError, InvalidRequest
from app.domain.spend import FailureKind, Figures, SpendBy, outcome_of
from app.domain.usage import ONE_DAY, Period, day_of, period_of
from app.stores.jobs import JobStore
from app.stores.spend import FailureRow, SpendStore, SpendSum

USUAL_PERIOD = timedelta(days=30)
MAX_PERIOD = timedelta(days=731)
#: So many jobs are counted at once.
PLANNED_AT_ONCE = 200
#: A bound of one call, so that its caller gets to do something else.
MAX_PLANS = 20
LAST_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class SpendReport:
    totals: Figures
    groups: list[SpendSum]
    """By day, and then those that were charged most."""
    others: Figures
    """What the groups that were left out come to."""
    left_out: int


@dataclass(frozen=True)
class FailureGroup:
    """`kind` has the fields that were asked for; the others are empty. `job_id` is the latest example."""

    kind: FailureKind
    count: int
    lost: int
    first: datetime
    last: datetime
    job_id: str


@define(eq=False, slots=False, kw_only=True)
class Spend:
    _sums: SpendStore
    _jobs: JobStore
    _now: Callable[[], datetime] = clock.now
    _at_once: int = PLANNED_AT_ONCE

    def advance(self) -> int:
        """Count what has ended or been billed since the last time; returns how many jobs. May be repeated, and by several at once."""
        counted = 0
        for _ in range(MAX_PLANS):
            done = self._sums.advance(limit=self._at_once)
            counted += done
            if done < self._at_once and not self._complete_old():
                break
        return counted

    def _complete_old(self) -> bool:
        """Have records from before there were sums counted, too; tells whether there may be more."""
        ids = self._sums.unfigured(limit=self._at_once)
        for job_id in ids or ():
            if job := self._jobs.get(job_id):
                self._jobs.note_cost_step(job)
            self._sums.figure(job_id, outcome_of(job) if job and job.is_terminal else None)
        return ids is not None

    def period(self, start: datetime | None, end: datetime | None) -> Period:
        """Return the days of a period; without a start, the 30 days before its end. Raises InvalidRequest for one that is too long."""
        end = end or self._now()
        start = start or end - USUAL_PERIOD
        if end - start > MAX_PERIOD:
            detail = f"A period has {MAX_PERIOD.days} days at most; choose a later start, or an earlier end."
            raise InvalidRequest(f"from: {detail}", [FieldError("/from", detail)])
        if start >= end:
            raise InvalidRequest("from: Must be earlier than the end.", [FieldError("/from", "Must be earlier than the end.")])
        return period_of(start, end)

    def report(self, period: Period, by: SpendBy, *, each_day: bool = False, limit: int | None = None) -> SpendReport:
        """Return the sums of a period by one thing, for each day apart or not; only the `limit` that were charged most, if told so."""
        each_day = each_day or by is SpendBy.DAY
        found = self._sums.most(by, period, each_day=each_day, today=day_of(self._now()), limit=limit)
        others = found.totals - sum((each.figures for each in found.sums), Figures())
        return SpendReport(found.totals, sorted(found.sums, key=lambda each: each.day or ""), others, found.left_out)

    def days(self, first: date, end: date) -> dict[str, Figures]:
        """Return the sums of each day from `first` to before `end`."""
        found = self._sums.sums(SpendBy.DAY, Period(first.isoformat(), end.isoformat()), each_day=True)
        return {each.day or "": each.figures for each in found}

    def month_of(self, by: SpendBy, keys: Collection[str]) -> dict[str, Figures]:
        """Return what some users, or keys, come to in the current month; those without any spend are left out."""
        return self._sums.sums_of(by, keys, budget.month_of(self._now()))

    def month_by(self, by: SpendBy) -> list[tuple[str, Figures]]:
        """Return what all users, or keys, come to in the current month, those that were charged most first."""
        today = self._now().date()
        found = self._sums.sums(by, Period(today.replace(day=1).isoformat()), today=today.isoformat())
        spent = ((each.key, each.figures) for each in found if each.key is not None)
        return sorted(spent, key=lambda each: (-each[1].charged, each[0]))

    def pace(self, by: SpendBy, *, days: int) -> dict[str | None, int]:
        """Return what each was charged in the whole days before today, in micro-USD."""
        today = self._now()
        period = Period(day_of(today - days * ONE_DAY), day_of(today))
        return {each.key: each.figures.charged for each in self._sums.sums(by, period, today=day_of(today))}

    def failures(self, period: Period, fields: Sequence[str]) -> list[FailureGroup]:
        """Return the failures of a period by some of `code`, `model` and `shape`, most frequent first."""
        found: dict[FailureKind, list[FailureRow]] = defaultdict(list)
        for row in self._sums.failures(period):
            found[FailureKind(*(getattr(row.kind, name) if name in fields else "" for name in ("code", "model", "shape")))].append(row)
        return sorted((_failures(kind, rows) for kind, rows in found.items()), key=lambda group: (-group.count, group.kind.digest))

    def failed_lately(self) -> dict[str, int]:
        """Return how many jobs have failed within the last hour, by code, most frequent first."""
        found = self._sums.failed_since(self._now() - LAST_HOUR)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _failures(kind: FailureKind, rows: Sequence[FailureRow]) -> FailureGroup:
    latest = max(rows, key=lambda row: row.last)
    return FailureGroup(
        kind=kind,
        count=sum(row.count for row in rows),
        lost=sum(row.lost for row in rows),
        first=min(row.first for row in rows),
        last=latest.last,
        job_id=latest.job_id,
    )
