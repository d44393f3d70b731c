"""Monthly budgets in one process, at a time that a test chooses, and jobs that draw on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from app.domain import clock
from app.domain.budget import Budget
from app.domain.job import Job
from app.services.money.budgets import Budgets
from app.services.orders.order import Order
from app.stores.accounts import KeyStore
from app.stores.budgets import BudgetStore
from tests.support.factories import make_job
from tests.support.gateway import SMALL, Gateway

USER = "user:user-1"
OCTOBER = datetime(2026, 10, 31, 23, 59, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, 0, 1, tzinfo=UTC)
UNIT = 0.025
"""USD of one picture of flux-dev, and of one of the factories' jobs."""


class Till:
    """Budgets of user-1 at a time that a test chooses, and jobs that draw on them."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.store = BudgetStore(gateway.services.database)

    def at(self, moment: datetime) -> Budgets:
        services = self.gateway.services
        return Budgets(budgets=self.store, keys=KeyStore(services.database), jobs=services.jobs, now=lambda: moment)

    def set(self, monthly: str, budget_id: str = USER) -> Budget:
        return self.gateway.services.budgets.set_monthly(budget_id, Decimal(monthly))

    def amounts(self, moment: datetime | None = None) -> list[tuple[float, float]]:
        """Return what is spent and held in each budget in force, in USD."""
        found = self.at(moment or clock.now()).all()
        return [(each.spent_micros / 1e6, each.held_micros / 1e6) for each in found]

    def job(self, make: Callable[..., Job] = make_job, budgets: Sequence[str] = (USER,), **fields: object) -> Job:
        job = make(budgets=tuple(budgets), **fields)
        self.gateway.services.jobs.insert(job)
        return job

    def room(self) -> int:
        """Return what the document itself says is left, in micro-USD."""
        doc = self.gateway.services.database["budgets"].find_one({"_id": USER})
        assert doc is not None
        return int(doc["roomMicros"])


def order(**fields: object) -> Order:
    defaults: dict[str, object] = {
        "model": "flux-dev",
        "inputs": {"prompt": "a red bicycle"},
        "options": {"image_size": SMALL},
        "user_id": "user-1",
    }
    return Order(**{**defaults, **fields})  # type: ignore[arg-type]
