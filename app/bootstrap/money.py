"""Money: the ledger, what keys may spend, and both as one."""

from __future__ import annotations

from dataclasses import dataclass

from app.bootstrap.foundation import Foundation
from app.services.money.billing import Billing
from app.services.money.budgets import Budgets
from app.services.money.funds import Funds


@dataclass(frozen=True)
class Money:
    billing: Billing
    budgets: Budgets
    funds: Funds


def build_money(foundation: Foundation) -> Money:
    stores = foundation.stores
    billing = Billing(ledger=stores.ledger, accounts=stores.accounts, jobs=stores.jobs)
    budgets = Budgets(
        budgets=stores.budgets,
        keys=stores.keys,
        jobs=stores.jobs,
        default_micros=foundation.settings.default_budget_micros,
        global_micros=foundation.settings.global_budget_micros,
    )
    return Money(billing=billing, budgets=budgets, funds=Funds(billing=billing, budgets=budgets))
