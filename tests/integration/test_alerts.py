"""Warnings where their facts arise: written once for each receiver, however many processes find them, and never in an order's way."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import pytest

from app.domain import clock
from app.domain.alert import Alert
from app.domain.delivery import Delivery, HookFormat
from app.domain.endpoint import Endpoint
from app.domain.errors import BudgetExceeded, InsufficientTokens, StoreUnavailable
from app.services.deliveries.alerts import Alerts
from app.services.money.billing import Billing
from app.services.orders.web_generation import TextRequest
from app.stores.accounts import AccountStore
from app.stores.ledger import LedgerStore
from tests.support.bank import Bank
from tests.support.gateway import Gateway
from tests.support.till import UNIT, Till


@pytest.fixture
def till(gateway: Gateway) -> Till:
    """Budgets in a process that has warned of nothing yet."""
    gateway.services.alerts._told.clear()
    return Till(gateway)


def listen(gateway: Gateway, owner: str, *events: str) -> str:
    now = clock.now()
    endpoint = Endpoint(id=clock.new_id(), owner=owner, url="https://example.com", events=events or ("*",), created_at=now, updated_at=now)
    gateway.services.endpoint_store.insert(endpoint)
    return endpoint.id


def written(gateway: Gateway) -> list[tuple[str, str, Any]]:
    """Return what was written down for receivers: whose, type, and what a rule says in its data."""
    found = [gateway.services.delivery_store.get(doc["_id"]) for doc in gateway.services.database["deliveries"].find().sort("createdAt")]
    return [(each.owner, each.type, body_of(each)) for each in found if each]


def body_of(delivery: Delivery) -> Any:
    data = json.loads(delivery.body)["data"]
    return data.get("threshold") or data.get("reason") or data.get("tokens")


def test_a_budget_warns_its_user_and_the_operator_when_an_order_reaches_a_threshold(gateway: Gateway, till: Till) -> None:
    till.set(f"{4 * UNIT:.2f}")
    for owner in ("user:user-1", "operator", "user:somebody-else"):
        listen(gateway, owner, "budget.*")

    seen = []
    for _ in range(4):
        gateway.order()
        seen.append(sorted(written(gateway)))

    assert [len(each) for each in seen] == [0, 2, 2, 4]
    assert seen[1] == [("operator", "budget.threshold", 50), ("user:user-1", "budget.threshold", 50)]
    assert seen[3][1] == ("operator", "budget.threshold", 100)


def test_a_refused_order_warns_once_however_often_and_by_however_many_processes_it_is_refused(gateway: Gateway, till: Till) -> None:
    till.set("0.01")
    listen(gateway, "operator")

    for _ in range(3):
        with pytest.raises(BudgetExceeded):
            gateway.order()
        gateway.services.alerts._told.clear()  # As another process would be.

    assert written(gateway) == [("operator", "budget.threshold", 100)]


def test_a_user_is_told_when_tokens_run_low(gateway: Gateway) -> None:
    gateway.services.alerts._told.clear()
    ada = gateway.services.accounts.register("ada@example.com", "correct horse").id
    listen(gateway, f"user:{ada}")

    for number in range(8):
        wanted = TextRequest(prompt=f"a red bicycle, {number}", aspect_ratio="1:1", number_of_images=1, model="flux-dev")
        gateway.services.web_generation.text_to_image(ada, wanted)

    assert [(owner, event) for owner, event, _ in written(gateway) if event == "tokens.low"] == [(f"user:{ada}", "tokens.low")]


def test_tokens_that_do_not_pay_for_an_order_are_low_too(gateway: Gateway) -> None:
    warned: list[Alert] = []
    bank = Bank(gateway.services.database)
    billing = Billing(ledger=LedgerStore(bank.database), accounts=AccountStore(bank.database), jobs=bank.jobs, warn=warned.append)

    billing.require(bank.ada, 200)
    with pytest.raises(InsufficientTokens):
        billing.require(bank.ada, 1001)

    assert [(found.type, found.data["tokens"]) for found in warned] == [("tokens.low", 1000)]


def test_the_operator_is_told_that_fal_has_locked_the_account(gateway: Gateway) -> None:
    gateway.services.alerts._told.clear()
    gateway.fal.fault("submit", "locked_403", times=None)
    listen(gateway, "operator", "provider.locked")

    gateway.dispatch(gateway.order())

    assert written(gateway) == [("operator", "provider.locked", "provider_locked")]


def test_slack_is_told_in_its_own_form_and_of_alerts_only(gateway: Gateway) -> None:
    alerts = Alerts(producer=gateway.services.producer, url="https://hooks.slack.example/T0")
    alert = Alert(type="costs.drift", key=clock.new_id(), owners=("operator",), data={}, text="fal has billed <more> & more")

    alerts.warn(alert)
    gateway.generated(gateway.order())

    (found,) = [gateway.services.delivery_store.get(doc["_id"]) for doc in gateway.services.database["deliveries"].find()]
    assert found
    assert (found.format, found.url) == (HookFormat.SLACK, "https://hooks.slack.example/T0")
    assert json.loads(found.body) == {"text": "fal has billed &lt;more&gt; &amp; more"}


def test_an_order_is_accepted_although_its_warning_cannot_be_written(gateway: Gateway, till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> NoReturn:
        raise StoreUnavailable("The database does not answer")

    monkeypatch.setattr(gateway.services.producer, "produce", away)
    till.set(f"{UNIT:.3f}")

    gateway.order()
    monkeypatch.undo()
    listen(gateway, "operator")
    with pytest.raises(BudgetExceeded):
        gateway.order()

    assert written(gateway) == [("operator", "budget.threshold", 100)]
