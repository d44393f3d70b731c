"""Who there is, for operators: users with balance and spend, also those whom only scripts have named, and API keys with theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from attrs import define

from app.domain import budget, clock
from app.domain.account import Account, UserFilter, UserPlace, UserSort
from app.domain.api_key import ApiKey
from app.domain.budget import Budget
from app.domain.errors import NotFound
from app.domain.ledger import Balance, Entry
from app.domain.spend import Figures, SpendBy
from app.services.reports.spend import Spend
from app.stores.accounts import AccountStore, KeyStore, place_of
from app.stores.budgets import BudgetStore
from app.stores.ledger import LedgerStore
from app.stores.usage import UsageDayStore

#: Entries of the ledger beside a user.
ENTRIES = 20
#: Users whom only scripts have named, beside the accounts that a search finds.
MAX_UNREGISTERED = 20
#: Accounts whose addresses are compared with a search where all users are sorted by what they spend.
MAX_MATCHING = 1000
NO_BALANCE = Balance(0, 0)
NOBODY = "No such user"


@dataclass(frozen=True)
class Member:
    """A user; `account` None: only scripts have named it. `month` is of the current UTC month."""

    id: str
    account: Account | None
    balance: Balance
    month: Figures
    budget: Budget | None


@dataclass(frozen=True)
class KeyEntry:
    """An API key with what it was charged this month."""

    key: ApiKey
    month: Figures
    budget: Budget | None


@define(eq=False, slots=False, kw_only=True)
class Directory:
    _accounts: AccountStore
    _keys: KeyStore
    _ledger: LedgerStore
    _budgets: BudgetStore
    _usage_days: UsageDayStore
    _spend: Spend
    _now: Callable[[], datetime] = clock.now

    # -- users ----------------------------------------------------------------------------------------------------------------------

    def users(self, wanted: UserFilter, *, after: UserPlace | None, limit: int) -> tuple[list[Member], UserPlace | None]:
        """Return a page of users, and where it ends; None at the end of all."""
        if wanted.sort is UserSort.SPEND:
            return self._by_spend(wanted, after, limit)
        found = self._accounts.page(wanted, after=after, limit=limit + 1)
        end = place_of(found[limit - 1], wanted.sort) if len(found) > limit else None
        strangers = self._unregistered(wanted) if after is None else []
        return self._members([*strangers, *(account.id for account in found[:limit])], found[:limit]), end

    def user(self, name: str) -> Member:
        """Return a user by its id or its address. Raises NotFound for one that has no account and never used anything."""
        account = self.account_of(name)
        user_id = account.id if account else name
        if account is None and not self._usage_days.has(user_id):
            raise NotFound(NOBODY)
        return self._members([user_id], [account] if account else [])[0]

    def account(self, name: str) -> Account:
        """Return the account of an id, or else of an address. Raises NotFound."""
        if account := self.account_of(name):
            return account
        raise NotFound(NOBODY)

    def account_of(self, name: str) -> Account | None:
        """Return the same; None where there is none: scripts name users without an account."""
        if account := self._accounts.get(name):
            return account
        found = self._accounts.by_address(name) if "@" in name else None
        return found[0] if found else None

    def entries(self, user_id: str) -> list[Entry]:
        """Return the latest entries of a user's ledger, newest first."""
        return [entry for _, entry in self._ledger.history(user_id, kind=None, before_id=None, limit=ENTRIES)]

    def _by_spend(self, wanted: UserFilter, after: UserPlace | None, limit: int) -> tuple[list[Member], UserPlace | None]:
        spenders = self._spend.month_by(SpendBy.USER)
        if after is not None:
            spenders = [(key, sums) for key, sums in spenders if (-sums.charged, key) > (-int(after.value), after.id)]
        if wanted.text is not None or wanted.role is not None or wanted.disabled is not None:
            matching = self._accounts.page(replace(wanted, sort=UserSort.NEWEST), after=None, limit=MAX_MATCHING)
            ids = {account.id for account in matching}
            is_any = wanted.role is None and wanted.disabled is None
            spenders = [(key, sums) for key, sums in spenders if key in ids or (is_any and wanted.text is not None and wanted.text in key)]
        page = spenders[:limit]
        end = UserPlace(page[-1][1].charged, page[-1][0]) if len(spenders) > limit else None
        ids_of_page = [key for key, _ in page]
        return self._members(ids_of_page, self._accounts.of(ids_of_page)), end

    def _unregistered(self, wanted: UserFilter) -> list[str]:
        """Return the users without an account that a search means: one by its whole id, others by a part, of those of this month."""
        text = wanted.text
        if text is None or wanted.role is not None or wanted.disabled is not None:
            return []
        named = [text] if self._usage_days.has(text) else []
        found = dict.fromkeys([*named, *(key for key, _ in self._spend.month_by(SpendBy.USER) if text in key)])
        known = {account.id for account in self._accounts.of(list(found))}
        return [user_id for user_id in found if user_id not in known][:MAX_UNREGISTERED]

    def _members(self, ids: Sequence[str], accounts: Iterable[Account]) -> list[Member]:
        known = {account.id: account for account in accounts}
        balances, month = self._ledger.balances(list(known)), self._spend.month_of(SpendBy.USER, ids)
        budgets = self._budgets_of(map(budget.of_user, ids))
        return [
            Member(each, known.get(each), balances.get(each, NO_BALANCE), month.get(each, Figures()), budgets.get(budget.of_user(each)))
            for each in ids
        ]

    # -- keys -----------------------------------------------------------------------------------------------------------------------

    def keys(
        self, text: str | None = None, *, live: bool | None = None, after_id: str | None = None, limit: int
    ) -> tuple[list[KeyEntry], str | None]:
        """Return a page of keys, the newest first, and the id that the next one begins after; None at the end.

        By a part of the name or the whole id; those that let somebody in (`live`), or the others.
        """
        now = self._now()
        found = [
            key
            for key in sorted(self._keys.list(), key=lambda key: (key.created_at, key.id), reverse=True)
            if (text is None or text.casefold() in key.name.casefold() or text == key.id) and live in (None, key.is_live(now))
        ]
        start = next((place + 1 for place, key in enumerate(found) if key.id == after_id), 0)
        page = found[start : start + limit]
        return self._entries_of(page), page[-1].id if len(found) > start + limit else None

    def key(self, key_id: str) -> KeyEntry:
        """Raises NotFound."""
        found = self._keys.get(key_id)
        if found is None:
            raise NotFound("No such key")
        return self._entries_of([found[0]])[0]

    def _entries_of(self, keys: Sequence[ApiKey]) -> list[KeyEntry]:
        month = self._spend.month_of(SpendBy.KEY, [key.id for key in keys])
        budgets = self._budgets_of(budget.of_key(key.id) for key in keys)
        return [KeyEntry(key, month.get(key.id, Figures()), budgets.get(budget.of_key(key.id))) for key in keys]

    def _budgets_of(self, budget_ids: Iterable[str]) -> dict[str, Budget]:
        found = self._budgets.in_force(budget_ids, month=budget.month_of(self._now()))
        return {each.id: each for each in found}
