"""Monthly budgets on a real store: held before anything is bought, spent by what was charged, refused when they are full."""

from __future__ import annotations

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from app.domain import clock
from app.domain.errors import BudgetExceeded, InsufficientTokens, InvalidRequest, NotFound
from app.domain.job import Settlement
from app.services.money.budgets import Budgets
from app.services.orders.web_generation import TextRequest
from app.stores.accounts import KeyStore
from app.stores.budgets import BudgetStore
from app.stores.database import Document
from tests.support.factories import completed_job
from tests.support.gateway import Gateway
from tests.support.services import Backing
from tests.support.till import UNIT, USER, Till, order


@pytest.fixture
def till(gateway: Gateway) -> Till:
    return Till(gateway)


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
        gateway.services.job_actions.cancel(job.id, user_id=None)
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

    assert refused.value.details == {"scope": "user", "limit": 0.06, "spent": UNIT, "held": UNIT}
    assert "wait until" in refused.value.message
    assert gateway.services.database["jobs"].count_documents({}) == 2
    assert till.amounts() == [(UNIT, UNIT)]


def test_a_user_and_a_key_both_pay_and_either_may_refuse(gateway: Gateway, till: Till) -> None:
    key, _ = gateway.services.accounts.make_key("nightly")
    till.set("1.00")
    till.set("0.05", f"key:{key.id}")

    first = gateway.services.orders.submit(order(caller_key=key.id)).job
    gateway.services.orders.submit(order(caller_key=key.id, user_id="user-2"))
    with pytest.raises(BudgetExceeded):
        gateway.services.orders.submit(order(caller_key=key.id))
    without = gateway.services.orders.submit(order(user_id="user-2")).job

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
    gateway.services.job_actions.cancel(first.id, user_id=ada.id)
    gateway.services.job_actions.retry(first.id, user_id=ada.id, key=None)
    gateway.services.recovery.settle(first.id)
    gateway.services.web_generation.text_to_image(ada.id, wanted)
    for refused in (
        lambda: gateway.services.web_generation.text_to_image(ada.id, wanted),
        lambda: gateway.services.job_actions.retry(first.id, user_id=ada.id, key=None),
    ):
        with pytest.raises(BudgetExceeded):
            refused()

    assert till.amounts() == [(0.0, 2 * UNIT)]
    assert gateway.services.billing.balance(ada.id).held == 200


def test_a_retry_is_paid_by_the_key_that_asks_for_it(gateway: Gateway, till: Till) -> None:
    keys = [gateway.services.accounts.make_key(name)[0].id for name in ("one", "two")]
    for key in keys:
        till.set("1.00", f"key:{key}")
    first = gateway.services.orders.submit(order(caller_key=keys[0])).job
    gateway.services.job_actions.cancel(first.id, user_id=None)

    by_two = gateway.services.job_actions.retry(first.id, user_id=None, key=None, caller_key=keys[1]).job
    by_nobody = gateway.services.job_actions.retry(first.id, user_id=None, key=None).job

    assert (by_two.budgets, by_nobody.budgets) == ((f"key:{keys[1]}",), (f"key:{keys[0]}",))


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
