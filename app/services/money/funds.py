"""What pays for jobs: a user's tokens and the monthly budgets, together. Both are held or neither; both are settled at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import define

from app.domain.budget import Budget
from app.domain.errors import InsufficientTokens
from app.domain.job import Job
from app.services.money.billing import Billing
from app.services.money.budgets import Budgets


@define(eq=False, slots=False, kw_only=True)
class Funds:
    _billing: Billing
    _budgets: Budgets

    def require_tokens(self, user_id: str, tokens: int) -> None:
        """Raise InsufficientTokens early, before an order's reference picture is stored. The budgets are asked when its price is known."""
        self._billing.require(user_id, tokens)

    def required(self, user_id: str, key_id: str | None, *, tokens: int, micros: int) -> tuple[str, ...]:
        """Return the ids of the budgets that an order draws on. Raises InsufficientTokens or BudgetExceeded early: the hold decides."""
        self._billing.require(user_id, tokens)
        found: list[Budget] = self._budgets.in_force(user_id, key_id)
        self._budgets.require(found, micros)
        return tuple(sorted(each.id for each in found))

    def hold(self, jobs: Sequence[Job]) -> bool:
        """Hold what jobs of one order need, all or none. Raises InsufficientTokens or BudgetExceeded, and then nothing is held.

        Repeatable. False where the tokens were held before: whoever held them goes on with the jobs.
        """
        self._budgets.hold(jobs)
        if not jobs[0].tokens_held:
            return True
        try:
            return self._billing.hold(jobs)
        except InsufficientTokens:
            self._budgets.take_back(jobs[0].budgets, [job.id for job in jobs])
            raise

    def is_held(self, job: Job) -> bool:
        """Tell whether all that a job needs is held; a job that needs nothing always may go on."""
        return self._billing.is_held(job) and self._budgets.is_held(job)

    def take_back(self, user_id: str, budget_ids: Iterable[str], job_ids: Sequence[str]) -> None:
        """Free what is held for jobs that are not accepted after all. Repeatable."""
        self._budgets.take_back(budget_ids, job_ids)
        self._billing.take_back(user_id, job_ids)

    def settle(self, job: Job) -> None:
        """Capture what a terminal job used and free the rest. Doing it again changes nothing."""
        self._billing.settle(job)
        self._budgets.settle(job)

    def mend(self) -> None:
        """Finish what crashes cut off."""
        self._billing.mend()
        self._budgets.mend()
