"""Where this month's spend leads to, by the plainest of guesses: as on the average of the last seven whole days, until the month's end."""

from __future__ import annotations

import calendar
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from attrs import define

from app.domain import budget, clock
from app.domain.budget import Budget
from app.domain.spend import Figures, SpendBy
from app.services.reports.spend import Spend
from app.stores.budgets import BudgetStore

PACE_DAYS = 7
#: Budgets are looked at of those who spend most: there may be one for each user.
MOST = 100


@dataclass(frozen=True)
class Outlook:
    """What a budget, or the whole service (None), comes to. Micro-USD; `full_on` is the day on which its budget will be used up."""

    budget_id: str | None
    spent: int
    held: int
    per_day: int
    expected: int
    limit: int | None = None
    full_on: date | None = None


@dataclass(frozen=True)
class Forecast:
    month: str
    days_left: float
    charged: Outlook
    paid: Outlook
    budgets: list[Outlook]
    """Those that will be used up soonest first."""


@define(eq=False, slots=False, kw_only=True)
class Forecasts:
    _spend: Spend
    _budgets: BudgetStore
    _now: Callable[[], datetime] = clock.now

    def forecast(self) -> Forecast:
        """Return the month's outlook: of what is charged and paid, and of the budgets that are spent from most."""
        now = self._now()
        left = _days_left(now)
        days = self._spend.days(min(now.date().replace(day=1), now.date() - timedelta(days=PACE_DAYS)), now.date() + timedelta(days=1))
        month = sum((found for day, found in days.items() if day >= f"{now:%Y-%m}"), Figures())
        pace = sum((found for day, found in days.items() if _is_of_pace(day, now.date())), Figures())
        return Forecast(
            month=budget.month_of(now),
            days_left=left,
            charged=_outlook(None, month.charged, pace.charged, left),
            paid=_outlook(None, month.paid, pace.paid, left),
            budgets=self._of_budgets(now, left, pace.charged),
        )

    def _of_budgets(self, now: datetime, left: float, all_charged: int) -> list[Outlook]:
        paces = {
            **_most(self._spend.pace(SpendBy.USER, days=PACE_DAYS), budget.of_user),
            **_most(self._spend.pace(SpendBy.KEY, days=PACE_DAYS), budget.of_key),
            budget.GLOBAL: all_charged,
        }
        found = self._budgets.in_force(paces, month=budget.month_of(now))
        outlooks = [_of_budget(each, paces[each.id], left, now.date()) for each in found]
        return sorted(outlooks, key=lambda outlook: (outlook.full_on or date.max, -outlook.spent))


def _most(paces: Mapping[str | None, int], name: Callable[[str], str]) -> dict[str, int]:
    most = sorted(((micros, key) for key, micros in paces.items() if key is not None), reverse=True)[:MOST]
    return {name(key): micros for micros, key in most}


def _of_budget(found: Budget, in_pace: int, left: float, today: date) -> Outlook:
    outlook = _outlook(found.id, found.spent_micros, in_pace, left, held=found.held_micros)
    full_on = None
    if found.room_micros <= 0:
        full_on = today
    elif outlook.per_day and (days := found.room_micros / outlook.per_day) <= left:
        full_on = today + timedelta(days=int(days))
    return Outlook(**{**vars(outlook), "limit": found.limit_micros, "full_on": full_on})


def _outlook(budget_id: str | None, spent: int, in_pace: int, left: float, *, held: int = 0) -> Outlook:
    per_day = in_pace // PACE_DAYS
    return Outlook(budget_id, spent, held, per_day, spent + held + int(per_day * left))


def _is_of_pace(day: str, today: date) -> bool:
    return (today - timedelta(days=PACE_DAYS)).isoformat() <= day < today.isoformat()


def _days_left(now: datetime) -> float:
    """Return what is left of the UTC month, today's rest included, in days."""
    whole = calendar.monthrange(now.year, now.month)[1]
    return float(whole - now.day + 1 - (now.hour + now.minute / 60) / 24)
