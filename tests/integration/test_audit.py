"""The audit log: what operators change is written down before it is changed, whichever way they change it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from pymongo import MongoClient

from app.bootstrap import Services
from app.domain import budget, clock
from app.domain.account import Account, Role
from app.domain.api_key import KeyTerms, Scope
from app.domain.audit import Action, Actor, AuditEntry, AuditFilter, Outcome
from app.domain.errors import InvalidRequest, LastAdministrator, NotFound, StoreUnavailable
from app.services.operator.audit import Audit
from app.stores.audit import AuditStore
from app.stores.database import Database

ADA = Actor("user:ada", "ada@example.com")


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(audit_store=AuditStore(database))


def entries(audit: Audit, **wanted: Any) -> list[AuditEntry]:
    return list(audit.all(AuditFilter(**wanted)))


def an_admin(services: Services, name: str) -> Account:
    account = services.accounts.register(f"{name}-{clock.new_id()}@example.com", "correct horse battery")
    return services.accounts.change(account.id, role=Role.ADMIN)


@pytest.fixture
def alone(services: Services) -> Account:
    """The one administrator there is."""
    return an_admin(services, "alone")


def test_an_entry_is_there_before_the_change_and_its_outcome_after(audit: Audit) -> None:
    with audit.record(ADA, Action.USER_CHANGE, "user:1", {"role": "admin"}) as result:
        (before,) = entries(audit)
        result |= {"changes": 1}

    (after,) = entries(audit)
    assert (before.outcome, before.ended_at, before.details) == (None, None, {"role": "admin"})
    assert (after.outcome, after.result, after.actor_id, after.actor_name) == (Outcome.DONE, {"changes": 1}, "user:ada", "ada@example.com")
    assert after.ended_at is not None


@pytest.mark.parametrize(
    ("error", "outcome", "result"),
    [
        (NotFound("no"), Outcome.REFUSED, {"code": "not_found"}),
        (StoreUnavailable("away"), Outcome.FAILED, {}),
        (KeyError(), Outcome.FAILED, {}),
    ],
)
def test_a_change_that_is_refused_or_fails_is_told_as_such(
    audit: Audit, error: Exception, outcome: Outcome, result: dict[str, Any]
) -> None:
    with pytest.raises(type(error)), audit.record(ADA, Action.KEY_REVOKE, "key:1"):
        raise error

    (entry,) = entries(audit)
    assert (entry.outcome, entry.result) == (outcome, result)


def test_nothing_is_changed_where_the_log_cannot_be_written() -> None:
    changed = []
    with MongoClient[dict[str, Any]]("mongodb://127.0.0.1:1/x", serverSelectionTimeoutMS=50) as client:
        audit = Audit(audit_store=AuditStore(client["x"]))

        with pytest.raises(StoreUnavailable), audit.record(ADA, Action.BUDGET_SET, "user:1"):
            changed.append(1)

    assert changed == []


def test_an_outcome_is_noted_once(audit: Audit, database: Database) -> None:
    with audit.record(ADA, Action.BUDGET_SET, "user:1"):
        pass
    (entry,) = entries(audit)

    AuditStore(database).conclude(entry.id, Outcome.FAILED, {"forged": True}, at=clock.now())

    assert entries(audit) == [entry]


def test_entries_are_found_by_who_what_whom_and_when(audit: Audit) -> None:
    grace, start = Actor("key:grace"), clock.now()
    for actor, action, subject in (
        (ADA, Action.KEY_CREATE, "key:1"),
        (grace, Action.KEY_CREATE, "key:2"),
        (ADA, Action.JOB_DELETE, "job:1"),
    ):
        with audit.record(actor, action, subject):
            pass

    found = {
        "actor": [entry.subject for entry in entries(audit, actor="user:ada")],
        "action": [entry.subject for entry in entries(audit, action=Action.KEY_CREATE)],
        "both": [entry.subject for entry in entries(audit, action=Action.KEY_CREATE, actor="user:ada")],
        "subject": [entry.action for entry in entries(audit, subject="job:1")],
        "outcome": entries(audit, outcome=Outcome.FAILED),
        "since": len(entries(audit, created_from=start)),
        "later": entries(audit, created_from=start + timedelta(hours=1)),
        "earlier": entries(audit, created_to=start),
    }

    assert found == {
        "actor": ["job:1", "key:1"],
        "action": ["key:2", "key:1"],
        "both": ["key:1"],
        "subject": [Action.JOB_DELETE],
        "outcome": [],
        "since": 3,
        "later": [],
        "earlier": [],
    }


def test_all_entries_come_newest_first_in_pieces(database: Database) -> None:
    audit = Audit(audit_store=AuditStore(database), read_at_once=2)
    for number in range(5):
        with audit.record(ADA, Action.KEY_CREATE, f"key:{number}"):
            pass

    assert [entry.subject for entry in entries(audit)] == [f"key:{number}" for number in (4, 3, 2, 1, 0)]
    assert all(newer.id > older.id for newer, older in pairwise(entries(audit)))


def test_a_user_who_is_changed_is_told_from_what_to_what(services: Services) -> None:
    user = services.accounts.register(f"{clock.new_id()}@example.com", "correct horse battery")

    changed = services.grants.change_user(ADA, user, role=Role.ADMIN, disabled=True)

    (entry,) = services.audit.all(AuditFilter(subject=f"user:{user.id}"))
    assert (changed.role, changed.disabled) == (Role.ADMIN, True)
    assert entry.details == {"address": user.email, "role": "admin", "disabled": True}
    assert entry.result == {"changes": {"role": {"from": "user", "to": "admin"}, "disabled": {"from": False, "to": True}}}


@pytest.mark.parametrize("change", [{"role": Role.USER}, {"disabled": True}])
def test_the_last_administrator_stays_one(services: Services, alone: Account, change: dict[str, Any]) -> None:
    with pytest.raises(LastAdministrator):
        services.grants.change_user(ADA, alone, **change)

    assert services.accounts.account(alone.id).is_administrator
    assert next(services.audit.all(AuditFilter(subject=f"user:{alone.id}"))).outcome is Outcome.REFUSED


def test_two_administrators_do_not_shut_out_each_other(services: Services, alone: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    other = an_admin(services, "other")
    ask = services.accounts.has_administrator_beside
    answers = iter([True])  # What was true when it was asked; the other has been shut out since.
    services.accounts.change(other.id, disabled=True)
    monkeypatch.setattr(services.accounts, "has_administrator_beside", lambda user_id: next(answers, None) or ask(user_id))

    with pytest.raises(LastAdministrator):
        services.grants.change_user(ADA, alone, disabled=True)

    assert services.accounts.account(alone.id).is_administrator


def test_who_has_the_machine_may_shut_out_even_the_last_administrator(services: Services, alone: Account) -> None:
    assert services.grants.change_user(Actor("cli:root"), alone, role=Role.USER, even_last=True).role is Role.USER


def test_a_topup_is_told_once_for_each_time_it_is_asked_for(services: Services) -> None:
    user = services.accounts.register(f"{clock.new_id()}@example.com", "correct horse battery")
    key = clock.new_id()

    for _ in range(2):
        services.grants.topup(ADA, user.id, 500, key=key, notes="a gift")
    with pytest.raises(NotFound):
        services.grants.topup(ADA, "nobody", 500, key=clock.new_id(), notes=None)

    again, first = services.audit.all(AuditFilter(subject=f"user:{user.id}"))
    assert first.details == {"tokens": 500, "key": key, "notes": "a gift"}
    assert (first.result, again.result) == ({"replayed": False}, {"replayed": True})
    assert services.billing.balance(user.id).tokens == 1500
    assert next(services.audit.all(AuditFilter(subject="user:nobody"))).result == {"code": "not_found"}


def test_no_secret_of_a_key_is_in_the_log(services: Services) -> None:
    key, text = services.grants.make_key(ADA, "nightly", KeyTerms(scopes=(Scope.READ,), users=("ada",)), "2.5")

    services.grants.revoke_key(ADA, key.id)

    revoked, made = services.database["audit"].find({"subject": f"key:{key.id}"}).sort("_id", -1)
    assert made["details"] == {"name": "nightly", "users": ["ada"], "scopes": ["read"], "monthlyBudget": 2.5}
    assert (revoked["action"], revoked["outcome"]) == ("key.revoke", "done")
    assert not re.search(re.escape(text.split("_", 2)[2]), str([made, revoked]))
    assert services.budgets.in_force("nobody", key.id)[0].limit_micros == 2_500_000


def test_what_is_noted_of_a_change_is_json_whatever_it_holds(audit: Audit) -> None:
    day = datetime(2026, 11, 26, 12, tzinfo=UTC)

    with audit.record(ADA, Action.KEY_CHANGE, "key:1", {"since": day}) as result:
        result |= {"changes": {"expiresAt": {"from": None, "to": day}}, "users": ("ada", "bob")}

    (entry,) = entries(audit, subject="key:1")
    said = "2026-11-26T12:00:00.000Z"
    assert entry.details == {"since": said}
    assert entry.result == {"changes": {"expiresAt": {"from": None, "to": said}}, "users": ["ada", "bob"]}
    json.dumps([entry.details, entry.result])


def test_a_key_that_cannot_be_is_not_made_and_an_absurd_budget_makes_none(services: Services) -> None:
    before = len(services.accounts.all_keys())

    for terms, monthly in ((KeyTerms(ip_ranges=("nonsense",)), None), (KeyTerms(), "-1"), (KeyTerms(), "1e12")):
        with pytest.raises(InvalidRequest):
            services.grants.make_key(ADA, "wrong", terms, monthly)

    assert len(services.accounts.all_keys()) == before


def test_budgets_are_told_with_what_was_set(services: Services) -> None:
    budget_id = budget.of_user(clock.new_id())

    services.grants.set_budget(ADA, budget_id, "12.50")
    services.grants.remove_budget(ADA, budget_id)

    removed, made = services.audit.all(AuditFilter(subject=budget_id))
    assert (made.action, made.details) == (Action.BUDGET_SET, {"monthly": 12.5})
    assert (removed.action, removed.outcome) == (Action.BUDGET_REMOVE, Outcome.DONE)
