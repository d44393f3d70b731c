"""Monthly budgets through races, repeats, crashes and the end of a month: never overspent, nothing lost, nothing left held."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest

from app.domain import clock
from app.domain.errors import BudgetExceeded, NotFound
from app.domain.job import Job, JobStatus
from app.services.money.budgets import HOLD_LOST_AFTER
from tests.support.factories import certain, completed_job, make_job
from tests.support.gateway import Gateway
from tests.support.till import NOVEMBER, OCTOBER, UNIT, USER, Till, order


@pytest.fixture
def till(gateway: Gateway) -> Till:
    return Till(gateway)


def test_fifty_orders_at_once_never_overspend(gateway: Gateway, till: Till) -> None:
    till.set("0.25")

    def tried(_: int) -> bool:
        try:
            gateway.services.orders.submit(order())
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(50) as threads:
        accepted = list(threads.map(tried, range(50)))

    assert sum(accepted) == 10
    assert gateway.services.database["jobs"].count_documents({}) == 10
    assert till.amounts() == [(0.0, 0.25)]
    assert till.room() == 0


def test_holding_and_settling_again_changes_nothing_even_after_the_end(till: Till) -> None:
    till.set("1.00")
    job = till.job(completed_job)
    funds = till.gateway.services.funds

    for _ in range(2):
        funds.hold([job])
    held = till.amounts()
    for _ in range(2):
        funds.settle(job)
    funds.hold([job])
    funds.settle(job)

    assert (held, till.amounts()) == ([(0.0, UNIT)], [(UNIT, 0.0)])
    assert till.room() == 975_000


def test_many_settlements_of_one_job_at_once_spend_it_once(till: Till) -> None:
    till.set("1.00")
    job = till.job(completed_job)
    till.gateway.services.funds.hold([job])

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(till.gateway.services.funds.settle, [job] * 20))

    assert till.amounts() == [(UNIT, 0.0)]


def test_a_new_month_starts_at_nothing_spent_and_carries_what_is_held(till: Till) -> None:
    october, november = till.at(OCTOBER), till.at(NOVEMBER)
    october.set_monthly(USER, Decimal("0.075"))
    spent, carried, new = till.job(completed_job), till.job(completed_job), till.job()
    october.hold([spent, carried])
    october.settle(spent)

    seen = till.amounts(NOVEMBER)
    november.hold([new])
    before = till.amounts(NOVEMBER)
    november.settle(carried)
    with pytest.raises(BudgetExceeded):
        november.hold([till.job(), till.job(), till.job()])

    assert till.amounts(OCTOBER) == till.amounts(NOVEMBER) == [(UNIT, UNIT)]
    assert (seen, before) == ([(0.0, UNIT)], [(0.0, 2 * UNIT)])
    assert till.room() == 25_000


def test_what_a_job_of_last_month_is_charged_counts_in_the_month_it_ends_in(till: Till) -> None:
    october, november = till.at(OCTOBER), till.at(NOVEMBER)
    october.set_monthly(USER, Decimal(1))
    job = till.job(completed_job)
    october.hold([job])

    november.settle(job)

    assert till.amounts(NOVEMBER) == [(UNIT, 0.0)]


def test_a_month_that_changes_under_fifty_holds_neither_loses_nor_invents_money(till: Till) -> None:
    october, november = till.at(OCTOBER), till.at(NOVEMBER)
    october.set_monthly(USER, Decimal("0.75"))
    jobs = [till.job(completed_job) for _ in range(50)]
    for job in jobs[:10]:
        october.hold([job])

    def turned(numbered: tuple[int, Job]) -> bool:
        number, job = numbered
        if number < 10:
            (october if number % 2 else november).settle(job)
            return True
        try:
            (october if number % 2 else november).hold([job])
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(25) as threads:
        done = list(threads.map(turned, enumerate(jobs)))

    ((spent, held),) = till.amounts(NOVEMBER)
    assert held == pytest.approx(UNIT * sum(done[10:]))
    assert spent <= 10 * UNIT
    assert till.room() == 750_000 - round((spent + held) * 1e6)
    assert till.room() >= 0


def test_a_removed_budget_limits_nothing_and_keeps_what_live_jobs_hold(gateway: Gateway, till: Till) -> None:
    till.set("0.05")
    job = gateway.order(num_images=2)

    gateway.services.budgets.remove(USER)
    free = gateway.order()
    none_left = till.amounts()
    with pytest.raises(NotFound):
        gateway.services.budgets.remove(USER)
    till.set("0.06")
    set_anew = till.amounts()
    gateway.services.recovery.attend(gateway.wait(job, 20))

    assert (free.budgets, none_left, set_anew) == ((), [], [(0.0, 2 * UNIT)])
    assert gateway.job(job.id).status is JobStatus.PENDING


def test_a_job_whose_web_process_died_before_the_hold_is_given_up_unpaid(gateway: Gateway, till: Till) -> None:
    till.set("1.00")
    written = till.job(timeouts=gateway.order().timeouts, now=clock.now() - timedelta(seconds=20), deadline_at=clock.now() + timedelta(60))

    swept = gateway.sweep(written)

    assert (swept.status, swept.failure and swept.failure.code) == (JobStatus.FAILED, "not_accepted")
    assert till.amounts() == [(0.0, UNIT)]


def test_a_job_whose_web_process_died_after_the_hold_goes_on(gateway: Gateway, till: Till) -> None:
    till.set("1.00")
    job = gateway.order()
    gateway.tasks()

    gateway.sweep(gateway.wait(job, 20))

    assert gateway.tasks() == [("submit", [job.id])]


def test_a_hold_whose_job_is_gone_or_long_settled_is_freed(gateway: Gateway, till: Till) -> None:
    till.set("1.00")
    live, gone, done = till.job(), make_job(budgets=(USER,)), till.job(completed_job)
    settled = certain(gateway.services.jobs.change(done, lambda j: j.settled(now=clock.now())))
    for job in (live, gone, settled):
        gateway.services.funds.hold([job])

    till.at(clock.now()).mend()
    early = till.amounts()
    till.at(clock.now() + HOLD_LOST_AFTER + timedelta(seconds=1)).mend()

    assert early == [(0.0, 0.075)]
    assert till.amounts() == [(0.0, UNIT)]
    assert till.room() == 975_000
