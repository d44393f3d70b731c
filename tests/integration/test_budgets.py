"""Monthly budgets on a real store: held before anything is bought, spent by what was charged, never overspent, whatever races or crashes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from app import clock
from app.budget import Budget
from app.errors import BudgetExceeded, InsufficientTokens, InvalidRequest, NotFound
from app.job import Job, JobStatus, Settlement
from app.services.budgets import HOLD_PATIENCE, Budgets
from app.services.orders import Order
from app.services.web_generation import TextRequest
from app.stores.budgets import BudgetStore
from app.stores.database import Document
from app.stores.keys import KeyStore
from tests.support.factories import certain, completed_job, make_job
from tests.support.gateway import SMALL, Gateway
from tests.support.services import Backing

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


@pytest.fixture
def till(gateway: Gateway) -> Till:
    return Till(gateway)


def order(**fields: object) -> Order:
    defaults: dict[str, object] = {
        "model": "flux-dev",
        "inputs": {"prompt": "a red bicycle"},
        "options": {"image_size": SMALL},
        "user_id": "user-1",
    }
    return Order(**{**defaults, **fields})  # type: ignore[arg-type]


def test_a_job_is_held_for_at_its_quote_and_spent_by_what_it_is_charged(gateway: Gateway, till: Till) -> None:
    till.set("1.00")

    job = gateway.order(num_images=2)
    during = till.amounts()
    done = gateway.generated(job)

    assert job.budgets == (USER,)
    assert (during, till.amounts()) == ([(0.0, 2 * UNIT)], [(2 * UNIT, 0.0)])
    assert done.settlement is Settlement.DONE
    assert till.room() == 950_000


@pytest.mark.parametrize("end", ["failed", "canceled"])
def test_a_job_that_delivers_nothing_leaves_the_budget_as_it_was(gateway: Gateway, till: Till, end: str) -> None:
    till.set("1.00")
    job = gateway.order()

    if end == "canceled":
        gateway.services.lifecycle.cancel(job.id, user_id=None)
        gateway.services.recovery.settle(job.id)
    else:
        gateway.sweep(gateway.wait(job, 1000))

    assert gateway.job(job.id).is_terminal
    assert till.amounts() == [(0.0, 0.0)]


def test_an_order_beyond_the_budget_is_refused_and_leaves_no_trace(gateway: Gateway, till: Till) -> None:
    till.set("0.06")
    gateway.generated(gateway.order())
    gateway.order()

    with pytest.raises(BudgetExceeded) as refused:
        gateway.order()

    assert refused.value.details == {"limit": 0.06, "spent": UNIT, "held": UNIT}
    assert "wait until" in refused.value.message
    assert gateway.services.database["jobs"].count_documents({}) == 2
    assert till.amounts() == [(UNIT, UNIT)]


def test_fifty_orders_at_once_never_overspend(gateway: Gateway, till: Till) -> None:
    till.set("0.25")

    def tried(_: int) -> bool:
        try:
            gateway.services.generation.submit(order())
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(50) as threads:
        accepted = list(threads.map(tried, range(50)))

    assert sum(accepted) == 10
    assert gateway.services.database["jobs"].count_documents({}) == 10
    assert till.amounts() == [(0.0, 0.25)]
    assert till.room() == 0


def test_a_user_and_a_key_both_pay_and_either_may_refuse(gateway: Gateway, till: Till) -> None:
    key, _ = gateway.services.accounts.make_key("nightly")
    till.set("1.00")
    till.set("0.05", f"key:{key.id}")

    first = gateway.services.generation.submit(order(caller_key=key.id)).job
    gateway.services.generation.submit(order(caller_key=key.id, user_id="user-2"))
    with pytest.raises(BudgetExceeded):
        gateway.services.generation.submit(order(caller_key=key.id))
    without = gateway.services.generation.submit(order(user_id="user-2")).job

    assert first.budgets == (f"key:{key.id}", USER)
    assert without.budgets == ()
    assert till.amounts() == [(0.0, 2 * UNIT), (0.0, UNIT)]


def test_the_hold_itself_refuses_when_the_second_budget_is_full_and_frees_the_first(till: Till) -> None:
    till.set("1.00")
    till.set("0.01", "user:full")
    job = till.job(budgets=(USER, "user:full"))

    with pytest.raises(BudgetExceeded):
        till.gateway.services.funds.hold([job])

    assert sorted(till.amounts()) == [(0.0, 0.0), (0.0, 0.0)]
    assert till.room() == 1_000_000


def test_tokens_that_do_not_suffice_free_the_budget_again(gateway: Gateway, till: Till) -> None:
    till.set("1.00")
    job = till.job(user_id="nobody", tokens_per_image=100)

    with pytest.raises(InsufficientTokens):
        gateway.services.funds.hold([job])
    again = till.job(id=clock.new_id())
    gateway.services.funds.hold([again])

    assert till.amounts() == [(0.0, UNIT)]


def test_signed_in_users_and_retries_draw_on_the_same_budget(gateway: Gateway, till: Till) -> None:
    ada = gateway.services.accounts.register("ada@example.com", "correct horse")
    wanted = TextRequest(prompt="a red bicycle", aspect_ratio="1:1", number_of_images=1, model="flux-dev")
    till.set("0.06", f"user:{ada.id}")

    first = gateway.services.web_generation.text_to_image(ada.id, wanted).job
    gateway.services.lifecycle.cancel(first.id, user_id=ada.id)
    gateway.services.lifecycle.retry(first.id, user_id=ada.id, key=None)
    gateway.services.recovery.settle(first.id)
    gateway.services.web_generation.text_to_image(ada.id, wanted)
    for refused in (
        lambda: gateway.services.web_generation.text_to_image(ada.id, wanted),
        lambda: gateway.services.lifecycle.retry(first.id, user_id=ada.id, key=None),
    ):
        with pytest.raises(BudgetExceeded):
            refused()

    assert till.amounts() == [(0.0, 2 * UNIT)]
    assert gateway.services.billing.balance(ada.id).held == 200


def test_a_retry_is_paid_by_the_key_that_asks_for_it(gateway: Gateway, till: Till) -> None:
    keys = [gateway.services.accounts.make_key(name)[0].id for name in ("one", "two")]
    for key in keys:
        till.set("1.00", f"key:{key}")
    first = gateway.services.generation.submit(order(caller_key=keys[0])).job
    gateway.services.lifecycle.cancel(first.id, user_id=None)

    by_two = gateway.services.lifecycle.retry(first.id, user_id=None, key=None, caller_key=keys[1]).job
    by_nobody = gateway.services.lifecycle.retry(first.id, user_id=None, key=None).job

    assert (by_two.budgets, by_nobody.budgets) == ((f"key:{keys[1]}",), (f"key:{keys[0]}",))


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


def test_a_budget_lowered_below_what_is_spent_refuses_until_it_is_raised(gateway: Gateway, till: Till) -> None:
    till.set("1.00")
    gateway.generated(gateway.order(num_images=2))

    lowered = till.set("0.01")
    with pytest.raises(BudgetExceeded):
        gateway.order()
    till.set("0.075")
    gateway.order()

    assert lowered.room_micros == -40_000
    assert till.amounts() == [(2 * UNIT, UNIT)]


def test_a_budget_of_nothing_lets_nothing_through(gateway: Gateway, till: Till) -> None:
    till.set("0")

    with pytest.raises(BudgetExceeded):
        gateway.order()


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


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "-Infinity", "1000000001", "0.0000001", "much", "", "1e400"])
def test_an_amount_that_cannot_be_a_budget_is_refused(till: Till, amount: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        till.gateway.services.budgets.set_monthly(USER, amount)

    assert refused.value.errors[0].pointer == "/monthly"
    assert till.amounts() == []


def test_a_key_that_does_not_exist_gets_no_budget(till: Till) -> None:
    with pytest.raises(NotFound):
        till.set("1.00", "key:0123456789abcdef")


class Heard(CommandListener):
    """Notes the commands a client sends."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


def test_a_job_without_a_budget_costs_one_read_in_all_its_life(gateway: Gateway, backing: Backing) -> None:
    heard = Heard()
    client: MongoClient[Document] = MongoClient(backing.database_uri("test_none"), event_listeners=[heard])
    with client:
        budgets = Budgets(
            budgets=BudgetStore(client["test_none"]), keys=KeyStore(client["test_none"]), jobs=gateway.services.jobs, now=clock.now
        )
        job = completed_job(budgets=tuple(each.id for each in budgets.in_force("user-1", "some-key")))
        budgets.hold([job])
        held = budgets.is_held(job)
        budgets.settle(job)

    assert held
    assert [name for name in heard.names if name != "endSessions"] == ["find"]


def test_a_job_whose_web_process_died_before_the_hold_is_given_up_unpaid(gateway: Gateway, till: Till) -> None:
    till.set("1.00")
    written = till.job(patience=gateway.order().patience, now=clock.now() - timedelta(seconds=20), deadline_at=clock.now() + timedelta(60))

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
    till.at(clock.now() + HOLD_PATIENCE + timedelta(seconds=1)).mend()

    assert early == [(0.0, 0.075)]
    assert till.amounts() == [(0.0, UNIT)]
    assert till.room() == 975_000
