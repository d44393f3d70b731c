"""Budgets that the settings set: one for each user without one, and one for all together."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from app.domain import clock
from app.domain.budget import GLOBAL, Budget
from app.domain.errors import BudgetExceeded
from app.domain.job import Job
from app.services.money.budgets import Budgets
from app.services.money.funds import Funds
from app.services.orders.submit import Orders
from app.stores.accounts import KeyStore
from app.stores.budgets import BudgetStore
from tests.support.gateway import Gateway
from tests.support.shop import UNIT_MICROS, Shop, orders
from tests.support.till import order


class Limited:
    """The service as it is with these two settings, in micro-USD."""

    def __init__(self, gateway: Gateway, *, default: int | None = None, together: int | None = None) -> None:
        self.gateway = gateway
        self.services = gateway.services
        self.budgets = Budgets(
            budgets=BudgetStore(self.services.database),
            keys=KeyStore(self.services.database),
            jobs=self.services.jobs,
            default_micros=default,
            global_micros=together,
        )
        self.funds = Funds(billing=self.services.billing, budgets=self.budgets)
        self.orders: Orders = copy.copy(self.services.orders)
        self.orders._funds = self.funds

    def order(self, user_id: str = "user-1", **fields: Any) -> Job:
        return self.orders.submit(order(user_id=user_id, **fields)).job

    def refused(self, user_id: str = "user-1", **fields: Any) -> str:
        with pytest.raises(BudgetExceeded) as refused:
            self.order(user_id, **fields)
        assert refused.value.details is not None
        return str(refused.value.details["scope"])

    def of(self, budget_id: str) -> Budget:
        return next(each for each in self.budgets.all() if each.id == budget_id)


def test_without_the_settings_nothing_is_held_or_written(gateway: Gateway) -> None:
    job = Limited(gateway).order()

    assert job.budgets == ()
    assert gateway.services.database["budgets"].count_documents({}) == 0


def test_every_user_has_the_default_budget_each_for_itself(gateway: Gateway) -> None:
    limited = Limited(gateway, default=UNIT_MICROS)

    job = limited.order("user-1")
    other = limited.order("user-2")

    assert (job.budgets, other.budgets, limited.refused("user-1")) == (("user:user-1",), ("user:user-2",), "user")
    assert limited.of("user:user-1") == Budget(
        id="user:user-1", limit_micros=UNIT_MICROS, spent_micros=0, held_micros=UNIT_MICROS, is_default=True
    )


def test_a_budget_of_its_own_takes_the_defaults_place_and_gives_it_back(gateway: Gateway) -> None:
    limited = Limited(gateway, default=UNIT_MICROS)
    limited.order()

    limited.budgets.set_monthly("user:user-1", Decimal("0.075"))
    own = [limited.order() for _ in range(2)]
    full = limited.refused()
    limited.budgets.remove("user:user-1")

    assert (len(own), full, limited.refused()) == (2, "user", "user")
    assert limited.of("user:user-1").limit_micros == UNIT_MICROS


def test_the_default_follows_its_setting_and_ends_with_it(gateway: Gateway) -> None:
    Limited(gateway, default=UNIT_MICROS).order()

    Limited(gateway, default=2 * UNIT_MICROS).order()
    full = Limited(gateway, default=2 * UNIT_MICROS).refused()
    free = Limited(gateway)

    assert (full, free.order().budgets, free.budgets.all()) == ("user", (), [])


def test_all_together_do_not_pass_the_global_budget_whoever_orders(gateway: Gateway) -> None:
    limited = Limited(gateway, together=2 * UNIT_MICROS)

    jobs = [limited.order(f"user-{number}") for number in range(2)]

    assert {job.budgets for job in jobs} == {(GLOBAL,)}
    assert limited.refused("user-3") == "global"
    assert limited.of(GLOBAL).held_micros == 2 * UNIT_MICROS
    assert Limited(gateway).budgets.all() == []


def test_of_many_orders_at_once_the_global_budget_takes_what_fits(gateway: Gateway) -> None:
    limited = Limited(gateway, default=10 * UNIT_MICROS, together=7 * UNIT_MICROS)

    def tried(number: int) -> bool:
        try:
            limited.order(f"user-{number}")
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        won = list(pool.map(tried, range(24)))

    assert won.count(True) == 7
    assert limited.of(GLOBAL).held_micros == 7 * UNIT_MICROS
    assert sum(each.held_micros for each in limited.budgets.all() if each.user_id) == 7 * UNIT_MICROS


def test_each_budget_is_settled_as_the_job_ended(gateway: Gateway) -> None:
    limited = Limited(gateway, default=100 * UNIT_MICROS, together=100 * UNIT_MICROS)
    delivered = limited.gateway.generated(limited.order(options={"num_images": 2, "image_size": {"width": 64, "height": 64}}))
    given_up = limited.order()
    gateway.services.job_actions.cancel(given_up.id, user_id=None)
    gateway.services.recovery.settle(given_up.id)

    assert delivered.charged_micros == 2 * UNIT_MICROS
    for budget_id in ("user:user-1", GLOBAL):
        assert (limited.of(budget_id).spent_micros, limited.of(budget_id).held_micros) == (2 * UNIT_MICROS, 0)


def test_a_batch_and_a_retry_draw_on_the_global_budget_as_any_order(gateway: Gateway) -> None:
    shop, limited = Shop(gateway), Limited(gateway, together=3 * UNIT_MICROS)
    batches, job_actions = copy.copy(shop.batches), copy.copy(shop.services.job_actions)
    batches._funds, batches._orders, job_actions._orders = limited.funds, limited.orders, limited.orders

    batch = batches.submit(orders(3), key=None, max_cost_micros=None).batch
    with pytest.raises(BudgetExceeded):
        batches.submit(orders(1), key=None, max_cost_micros=None)
    job_actions.cancel(batch.job_ids[0], user_id=None)
    with pytest.raises(BudgetExceeded):
        job_actions.retry(batch.job_ids[0], user_id=None, key=None)
    shop.services.recovery.settle(batch.job_ids[0])
    retried = job_actions.retry(batch.job_ids[0], user_id=None, key=None).job

    assert (batch.budgets, retried.budgets, limited.of(GLOBAL).held_micros) == ((GLOBAL,), (GLOBAL,), 3 * UNIT_MICROS)


def test_a_hold_whose_process_died_is_freed(gateway: Gateway) -> None:
    limited = Limited(gateway, together=3 * UNIT_MICROS)
    limited.order()
    gateway.services.database["jobs"].delete_many({})
    gateway.services.database["budgets"].update_many({}, {"$set": {"holdsAt": clock.now().replace(year=2020)}})

    limited.budgets.mend()

    assert limited.of(GLOBAL).held_micros == 0
