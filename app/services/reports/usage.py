"""What was used and charged, for reports: read from the days, never from the jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from attrs import define

from app.domain import clock
from app.domain.account import Whose
from app.domain.errors import FieldError, InvalidRequest
from app.domain.usage import GroupBy, Period, Tally, UsageRow, period_of
from app.stores.usage import UsageDayStore

USUAL_PERIOD = timedelta(days=30)
#: More groups than this are not for one answer: the export has them all, day by day.
MAX_GROUPS = 10_000
READ_AT_ONCE = 200


@dataclass(frozen=True)
class Report:
    totals: Tally
    groups: list[tuple[str, Tally]]
    """Sorted by key."""


@define(eq=False, slots=False, kw_only=True)
class Usage:
    """`user_id` is whose usage. A period is whole UTC days."""

    _days: UsageDayStore
    _now: Callable[[], datetime] = clock.now
    _max_groups: int = MAX_GROUPS
    _read_at_once: int = READ_AT_ONCE

    def confirm(self) -> int:
        """Make counts of ended jobs final, a bounded number; return of how many days. May be repeated and may race."""
        return self._days.confirm(limit=READ_AT_ONCE)

    def period(self, start: datetime | None, end: datetime | None) -> Period:
        """Return the days of a period; without a start, the 30 days before its end."""
        return period_of(start or (end or self._now()) - USUAL_PERIOD, end)

    def report(self, user_id: Whose, period: Period, by: GroupBy) -> Report:
        """Return the sums. Raises InvalidRequest where there are too many groups for one answer, and for projects of all users."""
        groups = self._groups(user_id, period, by, self._max_groups + 1)
        if len(groups) > self._max_groups:
            detail = f"These are more than {self._max_groups} groups; choose a shorter period, or export the usage without groupBy"
            raise InvalidRequest(f"groupBy: {detail}", [FieldError("/groupBy", detail)])
        return Report(sum((tally for _, tally in groups), Tally()), sorted(groups))

    def _groups(self, user_id: Whose, period: Period, by: GroupBy, limit: int) -> list[tuple[str, Tally]]:
        if by is not GroupBy.PROJECT:
            return self._days.groups(user_id, period, by, limit=limit)
        if user_id is None:
            detail = "Projects are those of a user; name one"
            raise InvalidRequest(f"userId: {detail}", [FieldError("/userId", detail)])
        return self._days.projects(user_id, period, limit=limit)

    def rows(self, user_id: Whose, period: Period) -> Iterator[UsageRow]:
        """Yield every day, user, model and status, oldest first, a bounded number of them in memory. Raises StoreUnavailable on the way."""
        last: str | None = None
        while True:
            rows, last = self._days.page(user_id, period, after_id=last, limit=self._read_at_once)
            yield from rows
            if last is None:
                return
