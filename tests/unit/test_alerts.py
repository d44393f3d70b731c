"""When there is something to warn of, whom, and how often: the key is what is told once."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from app.domain import alert
from app.domain.budget import Budget
from app.domain.endpoint import EVENTS, Endpoint, EndpointStatus

NOW = datetime(2026, 11, 26, 14, 30, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 27, tzinfo=UTC)
DOLLAR = 1_000_000


def budget(spent: float, held: float = 0, budget_id: str = "user:ada") -> Budget:
    return Budget(id=budget_id, limit_micros=10 * DOLLAR, spent_micros=int(spent * DOLLAR), held_micros=int(held * DOLLAR))


@pytest.mark.parametrize(
    ("spent", "held", "threshold"),
    [(4.99, 0, None), (5, 0, 50), (4, 1, 50), (7.99, 0, 50), (7, 1, 80), (9.99, 0, 80), (0, 10, 100), (11, 0, 100)],
)
def test_a_budget_warns_of_the_highest_threshold_that_is_spent_and_held(spent: float, held: float, threshold: int | None) -> None:
    found = alert.budget_threshold(budget(spent, held), now=NOW)

    assert (found.data["threshold"] if found else None) == threshold


def test_a_budget_that_refuses_an_order_warns_as_if_it_were_used_up() -> None:
    found = alert.budget_threshold(budget(9.99), now=NOW, refuses=True)

    assert found
    assert found.data == {
        "budget": "user:ada",
        "month": "2026-11",
        "threshold": 100,
        "refuses": True,
        "limit": 10.0,
        "spent": 9.99,
        "held": 0.0,
    }
    assert found.text.startswith("The budget of user:ada refuses orders")


def test_a_budget_warns_once_for_each_threshold_and_month() -> None:
    keys = [
        found.key
        for found in (
            alert.budget_threshold(budget(5), now=NOW),
            alert.budget_threshold(budget(6), now=NOW + timedelta(days=3)),
            alert.budget_threshold(budget(8), now=NOW),
            alert.budget_threshold(budget(5), now=NOW + timedelta(days=6)),
            alert.budget_threshold(budget(5, budget_id="user:bob"), now=NOW),
        )
        if found
    ]

    assert len(keys) == 5
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


def test_its_owner_and_the_operator_hear_of_a_budget_and_of_the_budget_of_all_only_the_operator() -> None:
    owners = [
        found.owners for name in ("user:ada", "key:0f3a", "global") if (found := alert.budget_threshold(budget(5, budget_id=name), now=NOW))
    ]

    assert owners == [("user:ada", "operator"), ("key:0f3a", "operator"), ("operator",)]


def test_tokens_are_low_where_they_do_not_pay_for_five_more_orders_and_that_is_said_once_a_day() -> None:
    enough = alert.tokens_low("ada", left=500, ordered=100, now=NOW)
    low = alert.tokens_low("ada", left=499, ordered=100, now=NOW)
    lower = alert.tokens_low("ada", left=0, ordered=300, now=NOW + timedelta(hours=9))
    tomorrow = alert.tokens_low("ada", left=0, ordered=300, now=MIDNIGHT)

    assert enough is None
    assert low
    assert lower
    assert tomorrow
    assert low.key == lower.key != tomorrow.key
    assert low.owners == ("user:ada", "operator")


def test_a_lock_is_told_once_an_hour_for_the_account_and_for_each_endpoint() -> None:
    account, later, next_hour = (
        alert.provider_locked("provider_locked", "Exhausted balance", endpoint=None, now=NOW + timedelta(minutes=minutes))
        for minutes in (0, 29, 30)
    )
    endpoint = alert.provider_locked("provider_locked", "Exhausted balance", endpoint="fal-ai/flux/dev", now=NOW)

    assert account.key == later.key
    assert len({account.key, next_hour.key, endpoint.key}) == 3
    assert account.owners == ("operator",)


@pytest.mark.parametrize(
    ("quoted", "invoiced", "warns"), [(1000, 1010, False), (1000, 1011, True), (1000, 989, True), (0, 0, False), (0, 1, True)]
)
def test_fals_bill_may_be_a_hundredth_off(quoted: int, invoiced: int, warns: bool) -> None:
    found = alert.costs_drift(since=NOW - timedelta(days=30), until=NOW, quoted=quoted, invoiced=invoiced, jobs=3, now=NOW)

    assert (found is not None) == warns


def test_a_receiver_that_was_given_up_is_named_to_people_without_its_path() -> None:
    endpoint = Endpoint(
        id="an-endpoint",
        owner="operator",
        url="https://hooks.example.com/T0/secret",
        events=("*",),
        created_at=NOW,
        updated_at=NOW,
        status=EndpointStatus.DISABLED,
        disabled_reason="nothing was delivered for 3 days",
        failing_since=NOW,
    )

    first, again = (alert.webhook_disabled(endpoint, now=NOW + timedelta(days=days)) for days in (0, 1))
    anew = alert.webhook_disabled(dataclasses.replace(endpoint, failing_since=MIDNIGHT), now=MIDNIGHT)

    assert first.key == again.key != anew.key
    assert first.owners == ("operator",)
    assert "secret" not in first.text


def test_every_alert_is_an_event_that_endpoints_may_ask_for() -> None:
    assert set(alert.ALERTS) <= set(EVENTS)
