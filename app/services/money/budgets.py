"""Monthly budgets: set by the operator, held before fal is called, spent at the end by what was charged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from attrs import define

from app.domain import alert, budget, clock
from app.domain.alert import Alert
from app.domain.budget import Budget
from app.domain.errors import BudgetExceeded, NotFound
from app.domain.job import Job
from app.domain.pricing import usd, usd_text
from app.stores.accounts import KeyStore
from app.stores.budgets import BudgetStore
from app.stores.jobs import JobStore

log = logging.getLogger(__name__)

#: Holds older than this are compared with their jobs.
HOLD_LOST_AFTER = timedelta(seconds=60)
BATCH = 200


@define(eq=False, slots=False, kw_only=True)
class Budgets:
    """`default_micros` is the budget of each user who has none of its own, `global_micros` that of all together. None: no limit."""

    _budgets: BudgetStore
    _keys: KeyStore
    _jobs: JobStore
    _default_micros: int | None = None
    _global_micros: int | None = None
    _warn: Callable[[Alert], None] = alert.nobody
    _now: Callable[[], datetime] = clock.now

    # -- the operator's side --------------------------------------------------------------------------------------------------------

    def set_monthly(self, budget_id: str, monthly: Decimal | str) -> Budget:
        """Set a budget in USD a month. Raises InvalidRequest for an amount that cannot be one, NotFound for a key that does not exist."""
        limit = budget.limit_of(monthly)
        key_id = budget_id.removeprefix("key:") if budget_id.startswith("key:") else None
        if key_id is not None and self._keys.get(key_id) is None:
            raise NotFound("No such key")
        return self._budgets.set_limit(budget_id, limit, month=self._month())

    def remove(self, budget_id: str) -> None:
        """Take a budget out of force. Raises NotFound."""
        if not self._budgets.remove(budget_id):
            raise NotFound("No such budget")

    def after(self, last_id: str, *, limit: int) -> list[Budget]:
        """Return budgets in force by ascending id; what the settings no longer set is not."""
        without: list[dict[str, object]] = [{"_id": budget.GLOBAL}] if self._global_micros is None else []
        if self._default_micros is None:
            without.append({"isDefault": True, "_id": {"$ne": budget.GLOBAL}})
        return self._budgets.after(last_id, month=self._month(), limit=limit, without=without)

    def all(self) -> list[Budget]:
        found, last = list[Budget](), ""
        while batch := self.after(last, limit=BATCH):
            found += batch
            last = batch[-1].id
        return found

    # -- the life of a job, in order ------------------------------------------------------------------------------------------------

    def in_force(self, user_id: str, key_id: str | None) -> list[Budget]:
        """Return the budgets that an order of this user with this key draws on. One indexed read, once the settings' own are written."""
        ours = {budget.of_user(user_id): self._default_micros, budget.GLOBAL: self._global_micros}
        wanted = [
            budget.of_user(user_id),
            *([budget.of_key(key_id)] if key_id else []),
            *([budget.GLOBAL] if self._global_micros is not None else []),
        ]
        found = {each.id: each for each in self._budgets.in_force(wanted, month=self._month())}
        for budget_id, limit in ours.items():
            known = found.get(budget_id)
            if limit is None:
                if known is not None and known.is_default:
                    del found[budget_id]  # Set by a setting that is no more.
            elif known is None or (known.is_default and known.limit_micros != limit):
                found[budget_id] = self._budgets.set_limit(budget_id, limit, month=self._month(), is_default=True)
        return list(found.values())

    def require(self, found: Iterable[Budget], micros: int) -> None:
        """Raise BudgetExceeded early, before anything is stored; the hold decides all the same."""
        for each in found:
            if each.room_micros < micros:
                self._warn_of(each, refuses=True)
                raise refusal(each, micros, self._now())

    def hold(self, jobs: Sequence[Job]) -> None:
        """Hold what jobs of one order may cost in each budget they name, all or none; repeatable. Raises BudgetExceeded."""
        amounts = {job.id: job.quote.micros for job in jobs}
        for place, budget_id in enumerate(jobs[0].budgets):
            is_held, found = self._budgets.hold(budget_id, amounts, month=self._month(), at=self._now())
            if found is not None:
                self._warn_of(found, refuses=not is_held)
            if not is_held and found is not None:
                self.take_back(jobs[0].budgets[:place], amounts)
                raise refusal(found, sum(amounts.values()), self._now())

    def is_held(self, job: Job) -> bool:
        return not job.budgets or self._budgets.holds_for(job.budgets, job.id)

    def take_back(self, budget_ids: Iterable[str], job_ids: Iterable[str]) -> None:
        """Free what is held for jobs that are not accepted after all."""
        ids = list(job_ids)
        for budget_id in budget_ids:
            self._budgets.take_back(budget_id, ids, month=self._month())

    def settle(self, job: Job) -> None:
        """End a terminal job's holds: what it is charged is spent, the rest is free. Doing it again changes nothing."""
        for budget_id in job.budgets:
            self._budgets.end_hold(budget_id, job.id, charged=job.charged_micros, month=self._month())

    def mend(self) -> None:
        """Free holds whose job has been settled, or never was: left by a late repeat, or by a crash."""
        now = self._now()
        for budget_id, job_ids in self._budgets.old_holds(before=now - HOLD_LOST_AFTER, limit=BATCH):
            live = self._jobs.unsettled_among(job_ids)
            for job_id in job_ids:
                if job_id not in live:
                    log.warning("a budget's hold outlived its job", extra={"job_id": job_id, "budget": budget_id})
                    self._budgets.end_hold(budget_id, job_id, charged=0, month=self._month())
            self._budgets.holds_seen(budget_id, at=now)

    def _warn_of(self, found: Budget, *, refuses: bool) -> None:
        if warning := alert.budget_threshold(found, now=self._now(), refuses=refuses):
            self._warn(warning)

    def _month(self) -> str:
        return budget.month_of(self._now())


def refusal(full: Budget, micros: int, at: datetime) -> BudgetExceeded:
    """Return the error that says which budget is full, how full, and what can be done."""
    whose = {"user": "this user", "key": "this API key"}.get(full.scope, "all users together")
    limit, spent, held = (usd(amount) for amount in (full.limit_micros, full.spent_micros, full.held_micros))
    month_end = (at.replace(day=28) + timedelta(days=4)).replace(day=1)
    used = f"{usd_text(full.spent_micros)} are spent, {usd_text(full.held_micros)} are held for running jobs"
    advice = "let running jobs end, or " if held else ""
    return BudgetExceeded(
        f"The monthly budget of {whose} is {limit:.2f} USD; {used}, and this may cost {usd_text(micros)}. Order less, {advice}have the "
        f"budget raised, or wait until {month_end:%Y-%m-%d}",
        details={"scope": full.scope, "limit": limit, "spent": spent, "held": held},
    )
