"""What operators grant and take away: accounts, roles, tokens, budgets, keys. Each change is in the audit log before it is made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Any

from attrs import define

from app.domain import budget
from app.domain.account import Account, Role
from app.domain.api_key import ApiKey, KeyTerms
from app.domain.audit import Action, Actor, changes_of
from app.domain.budget import Budget
from app.domain.errors import LastAdministrator, NotFound
from app.domain.ledger import Entry
from app.domain.pricing import usd
from app.services.money.billing import Billing
from app.services.money.budgets import Budgets
from app.services.operator.audit import Audit
from app.services.people.accounts import Accounts


class KeptType(Enum):
    """A budget that stays as it is: None would be none."""

    KEPT = "kept"


KEPT = KeptType.KEPT


@define(eq=False, slots=False, kw_only=True)
class Grants:
    _accounts: Accounts
    _billing: Billing
    _budgets: Budgets
    _audit: Audit

    # -- users ----------------------------------------------------------------------------------------------------------------------

    def change_user(
        self, actor: Actor, account: Account, *, role: Role | None = None, disabled: bool | None = None, even_last: bool = False
    ) -> Account:
        """Set a user's role, and whether it is shut out; None leaves it. Raises NotFound.

        Raises LastAdministrator where nobody would be left to undo it, unless `even_last`: whoever has a shell on the machine can.
        """
        asked = {name: value for name, value in {"role": role and role.value, "disabled": disabled}.items() if value is not None}
        with self._audit.record(actor, Action.USER_CHANGE, f"user:{account.id}", {"address": account.email, **asked}) as result:
            change = self._accounts.change if even_last else self._change_but_not_last
            changed = change(account.id, role=role, disabled=disabled)
            result |= {"changes": changes_of(_standing(account), _standing(changed))}
        return changed

    def _change_but_not_last(self, user_id: str, *, role: Role | None, disabled: bool | None) -> Account:
        """Change a user while another administrator is left: asked before, and again after, when two may have shut out each other."""
        before = self._accounts.account(user_id)
        takes = before.is_administrator and (role is Role.USER or disabled is True)
        if takes and not self._accounts.has_administrator_beside(user_id):
            raise LastAdministrator
        changed = self._accounts.change(user_id, role=role, disabled=disabled)
        if takes and not self._accounts.has_administrator_beside(user_id):
            self._accounts.change(user_id, role=before.role, disabled=before.disabled)
            raise LastAdministrator
        return changed

    def create_user(self, actor: Actor, email: str, password: str, *, role: Role = Role.USER) -> Account:
        """Open an account, also while registration is closed. Raises EmailTaken, InvalidRequest for a common password, Busy."""
        with self._audit.record(actor, Action.USER_CREATE, f"address:{email}", {"role": role.value}) as result:
            account = self._accounts.create(email, password)
            if role is not account.role:
                account = self._accounts.change(account.id, role=role)
            result |= {"userId": account.id}
        return account

    def topup(self, actor: Actor, user_id: str, tokens: int, *, key: str, notes: str | None) -> tuple[Entry, bool]:
        """Add tokens once per key; returns the entry, and whether an earlier call has made it. Raises as `Billing.topup_once` does."""
        details = {"tokens": tokens, "key": key, "notes": notes}
        with self._audit.record(actor, Action.TOKENS_TOPUP, f"user:{user_id}", details) as result:
            entry, replayed = self._billing.topup_once(user_id, tokens, key=key, notes=notes)
            result |= {"replayed": replayed}
        return entry, replayed

    # -- budgets --------------------------------------------------------------------------------------------------------------------

    def set_budget(self, actor: Actor, budget_id: str, monthly: Decimal | str) -> Budget:
        """Set a budget of a user (`user:<id>`) or a key (`key:<id>`). Raises as `Budgets.set_monthly` does."""
        with self._audit.record(actor, Action.BUDGET_SET, budget_id, {"monthly": usd(budget.limit_of(monthly))}):
            return self._budgets.set_monthly(budget_id, monthly)

    def remove_budget(self, actor: Actor, budget_id: str) -> None:
        """Take a budget out of force. Raises NotFound."""
        with self._audit.record(actor, Action.BUDGET_REMOVE, budget_id):
            self._budgets.remove(budget_id)

    # -- keys -----------------------------------------------------------------------------------------------------------------------

    def make_key(self, actor: Actor, name: str, terms: KeyTerms, monthly: Decimal | str | None = None) -> tuple[ApiKey, str]:
        """Make a key with what it may spend in a month; its text is returned this once. Raises InvalidRequest for impossible terms."""
        limit = None if monthly is None else usd(budget.limit_of(monthly))
        key, text = self._accounts.drafted_key(name, terms)
        details = {"name": name, **spelled(key.terms), **({} if limit is None else {"monthlyBudget": limit})}
        with self._audit.record(actor, Action.KEY_CREATE, f"key:{key.id}", details):
            self._accounts.keep_key(key, text)
            if monthly is not None:  # Nobody knows the text yet: nothing is spent before it is limited.
                self._budgets.set_monthly(budget.of_key(key.id), monthly)
        return key, text

    def change_key(
        self, actor: Actor, key_id: str, evolve: Callable[[ApiKey], ApiKey], monthly: Decimal | str | KeptType | None = KEPT
    ) -> None:
        """Change a key's name, its limits, and with `monthly` its budget (None: none any more). Raises NotFound, InvalidRequest.

        What is asked for is looked at whole before any of it is changed.
        """
        limit = None if isinstance(monthly, KeptType) or monthly is None else usd(budget.limit_of(monthly))
        with self._audit.record(actor, Action.KEY_CHANGE, f"key:{key_id}", {} if monthly is KEPT else {"monthlyBudget": limit}) as result:
            before, after = self._accounts.change_key(key_id, evolve)
            result |= {"changes": changes_of(_told(before), _told(after))}
            if monthly is None:
                with contextlib.suppress(NotFound):
                    self._budgets.remove(budget.of_key(key_id))
            elif not isinstance(monthly, KeptType):
                self._budgets.set_monthly(budget.of_key(key_id), monthly)

    def revoke_key(self, actor: Actor, key_id: str) -> None:
        """Revoke a key at once and for good. Raises NotFound."""
        with self._audit.record(actor, Action.KEY_REVOKE, f"key:{key_id}"):
            self._accounts.revoke_key(key_id)


def _told(key: ApiKey) -> dict[str, Any]:
    nothing = dict.fromkeys(("users", "models", "expiresAt", "ratePerMinute", "maxCostPerOrder", "ipRanges"))
    return {"name": key.name, **nothing, **spelled(key.terms)}


def spelled(terms: KeyTerms) -> dict[str, Any]:
    """Return what limits a key, as the API spells it; what is not limited is left out."""
    orders = terms.orders
    said = {
        "users": list(terms.users),
        "scopes": [scope.value for scope in terms.scopes],
        "models": list(orders.models),
        "expiresAt": terms.expires_at,
        "ratePerMinute": terms.rate_per_minute,
        "maxCostPerOrder": None if orders.max_micros is None else usd(orders.max_micros),
        "ipRanges": list(terms.ip_ranges),
    }
    return {name: value for name, value in said.items() if value not in (None, [])}


def _standing(account: Account) -> dict[str, Any]:
    return {"role": account.role.value, "disabled": account.disabled}
