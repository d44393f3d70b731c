"""Users and keys in the hands of an operator: found, changed, topped up, limited, shut out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.api.application import build
from app.api.http.paging import opaque
from app.bootstrap import Services
from app.domain import clock
from app.domain.account import Account, Role
from app.domain.audit import Action, AuditFilter
from app.domain.errors import Unauthorized
from tests.support.gateway import Gateway

PRICE = 0.025


class Admin:
    """A key of scope admin in the hands of somebody who calls the API, beside an administrator who signs in."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.client: FlaskClient = build(services.settings, services).test_client()
        self.account = self.a_user("admin", role=Role.ADMIN)
        self.headers = {"Authorization": f"Bearer {services.bearer_tokens.issue(self.account)}"}

    def a_user(self, name: str = "ada", role: Role = Role.USER) -> Account:
        account = self.services.accounts.register(f"{name}-{clock.new_id()[-12:]}@example.com", "correct horse battery")
        return self.services.accounts.change(account.id, role=role)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        return self.client.open(f"/api/admin{path}", method=method, json=body, headers={**self.headers, **headers})

    def said(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        answer = self.call(method, path, body)
        assert answer.status_code == status, answer.text
        return answer.json

    def users(self, query: str = "") -> list[str]:
        return [user["id"] for user in self.said("GET", f"/users?{query}")["users"]]


@pytest.fixture
def admin(services: Services) -> Admin:
    return Admin(services)


def spent(gateway: Gateway, user_id: str, images: int, key_id: str | None = None) -> None:
    """Have a user charged for so many pictures, and counted."""
    job = gateway.order(user_id=user_id, num_images=images)
    gateway.services.database["jobs"].update_one({"_id": job.id}, {"$set": {"callerKey": key_id}})
    gateway.generated(job)
    gateway.services.spend.advance()


def test_users_are_found_by_address_and_id_and_sorted_by_what_they_have_and_spend(gateway: Gateway, admin: Admin) -> None:
    ada, grace = admin.a_user("ada.lovelace"), admin.a_user("grace")
    spent(gateway, ada.id, 1)
    spent(gateway, "script-7", 3)
    gateway.services.billing.topup(grace.id, 500, key="k", notes=None)

    assert admin.users() == [grace.id, ada.id, admin.account.id]
    assert admin.users("q=LOVELACE") == [ada.id]
    assert admin.users(f"q={grace.id}") == [grace.id]
    assert admin.users("q=script") == ["script-7"]
    assert admin.users("q=nobody%24") == []
    assert admin.users("sort=balance")[0] == grace.id
    assert admin.users("sort=address") == [ada.id, admin.account.id, grace.id]
    assert admin.users("sort=spend") == ["script-7", ada.id]
    assert admin.users("sort=spend&q=ada") == [ada.id]
    assert admin.users("role=admin") == [admin.account.id]
    assert admin.users("disabled=true") == []


def test_users_come_page_by_page_in_every_sort(gateway: Gateway, admin: Admin) -> None:
    for number in range(4):
        spent(gateway, admin.a_user(f"user{number}").id, number % 2 + 1)

    for sort in ("newest", "address", "balance", "spend"):
        whole, path, pages = admin.users(f"sort={sort}&limit=100"), f"/users?sort={sort}&limit=2", []
        cursor = ""
        while True:
            page = admin.said("GET", path + cursor)
            pages += [user["id"] for user in page["users"]]
            if not page["cursor"]["hasMore"]:
                break
            cursor = f"&cursor={page['cursor']['next']}"

        assert pages == whole, sort
        assert len(set(pages)) == len(pages) >= 4


def test_a_user_is_shown_with_balance_spend_budget_and_ledger(gateway: Gateway, admin: Admin) -> None:
    ada = admin.a_user()
    spent(gateway, ada.id, 2)
    gateway.services.budgets.set_monthly(f"user:{ada.id}", "5")

    by_id, by_address = admin.said("GET", f"/users/{ada.id}"), admin.said("GET", f"/users/{ada.email}")

    assert by_id == by_address
    assert by_id["user"] | {"createdAt": None} == {
        "id": ada.id,
        "registered": True,
        "email": ada.email,
        "role": "user",
        "disabled": False,
        "balance": 1000,
        "held": 0,
        "month": {"jobs": 1, "images": 2, "charged": 2 * PRICE},
        "budget": {"userId": ada.id, "keyId": None, "monthly": 5.0, "spent": 0.0, "held": 0.0},
        "createdAt": None,
    }
    assert [entry["type"] for entry in by_id["ledger"]] == ["signup"]


def test_a_user_whom_only_scripts_have_named_is_shown_without_an_account_and_nobody_is_not_there(gateway: Gateway, admin: Admin) -> None:
    spent(gateway, "script-7", 1)

    shown = admin.said("GET", "/users/script-7")["user"]

    assert (shown["registered"], shown["email"], shown["month"]["charged"]) == (False, None, PRICE)
    for method, path in (("GET", "/users/nobody"), ("PATCH", "/users/script-7"), ("POST", "/users/nobody@example.com/topup")):
        body = {"amount": 1, "idempotencyKey": "k"} if method == "POST" else {"disabled": True} if method == "PATCH" else None
        assert admin.call(method, path, body).status_code == 404


def test_a_user_is_shut_out_and_let_in_and_the_last_administrator_stays(admin: Admin) -> None:
    services, ada = admin.services, admin.a_user()
    token = services.bearer_tokens.issue(ada)

    shut = admin.said("PATCH", f"/users/{ada.email}", {"disabled": True})
    with pytest.raises(Unauthorized):
        services.sessions.of(token)
    let_in = admin.said("PATCH", f"/users/{ada.id}", {"disabled": False, "role": "admin"})
    own = admin.said("PATCH", f"/users/{admin.account.id}", {"role": "user"})

    assert (shut["disabled"], let_in["disabled"], let_in["role"], own["role"]) == (True, False, "admin", "user")
    headers = {"Authorization": f"Bearer {token}"}
    last = admin.call("PATCH", f"/users/{ada.id}", {"disabled": True}, **headers)
    assert last.json is not None
    assert (last.status_code, last.json["code"]) == (409, "last_administrator")


def test_tokens_are_added_by_id_or_address_once_for_a_key(admin: Admin) -> None:
    ada = admin.a_user()

    first = admin.call("POST", f"/users/{ada.email}/topup", {"amount": 500, "idempotencyKey": "k-1"})
    again = admin.call("POST", f"/users/{ada.id}/topup", {"amount": 500}, **{"Idempotency-Key": "k-1"})
    other = admin.call("POST", f"/users/{ada.id}/topup", {"amount": 7, "idempotencyKey": "k-1"})
    keyless = admin.call("POST", f"/users/{ada.id}/topup", {"amount": 7})

    assert first.json is not None
    assert (first.status_code, first.json["userId"], first.json["balance"]) == (201, ada.id, 1500)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, keyless.status_code) == (400, 400)
    assert admin.services.billing.balance(ada.id).tokens == 1500


def test_the_web_apps_own_topup_takes_an_address_too_and_tells_the_log(admin: Admin) -> None:
    ada = admin.a_user()

    def topped_up(user: str, key: str) -> int:
        body = {"userId": user, "amount": 500, "idempotencyKey": key}
        return admin.client.post("/api/tokens/topup", json=body, headers=admin.headers).status_code

    assert [topped_up(str(ada.email), "k-1"), topped_up(ada.id, "k-1"), topped_up("nobody@example.com", "k-2")] == [201, 201, 404]
    assert admin.services.billing.balance(ada.id).tokens == 1500
    entries = list(admin.services.audit.all(AuditFilter(action=Action.TOKENS_TOPUP)))
    assert [entry.subject for entry in entries] == ["user:nobody@example.com", f"user:{ada.id}", f"user:{ada.id}"]
    assert entries[-1].actor_name == admin.account.email


def test_an_account_is_opened_while_registration_is_closed(admin: Admin) -> None:
    made = admin.said("POST", "/users", {"email": "Grace@Example.com", "role": "admin"}, status=201)
    taken = admin.call("POST", "/users", {"email": "grace@example.com"})

    assert admin.services.accounts.login("grace@example.com", made["password"]).role is Role.ADMIN
    assert (made["user"]["email"], made["user"]["balance"], taken.status_code) == ("Grace@example.com", 1000, 409)
    (entry,) = [entry for entry in admin.services.audit.all(AuditFilter(action=Action.USER_CREATE)) if entry.result.get("userId")]
    assert made["password"] not in str(entry)


def test_a_key_is_made_with_every_limit_used_changed_and_revoked(gateway: Gateway, admin: Admin) -> None:
    limits = {
        "users": ["script-7", "script-8"],
        "scopes": ["read", "generate"],
        "models": ["flux-*"],
        "ipRanges": ["203.0.113.9/24"],
        "ratePerMinute": 60,
        "maxCostPerOrder": 0.2,
        "expiresAt": "2999-01-31",
        "monthlyBudget": 25.5,
    }

    made = admin.said("POST", "/keys", {"name": "nightly", **limits}, status=201)
    key_id = made["key"]["id"]
    used = admin.services.accounts.key_of(made["text"])
    spent(gateway, "script-7", 2, key_id)
    changed = admin.said("PATCH", f"/keys/{key_id}", {"name": "hourly", "models": [], "ratePerMinute": None, "monthlyBudget": None})
    listed = admin.said("GET", "/keys?q=HOUR&live=true")["keys"]
    revoked = admin.call("DELETE", f"/keys/{key_id}")

    assert made["key"] == {
        **{name: value for name, value in limits.items() if name != "monthlyBudget"},
        "id": key_id,
        "name": "nightly",
        "live": True,
        "ipRanges": ["203.0.113.0/24"],
        "expiresAt": "2999-01-31T00:00:00.000Z",
        "revokedAt": None,
        "lastUsedAt": None,
        "createdAt": made["key"]["createdAt"],
        "month": {"jobs": 0, "images": 0, "charged": 0.0},
        "budget": {"userId": None, "keyId": key_id, "monthly": 25.5, "spent": 0.0, "held": 0.0},
    }
    assert used.terms.expires_at == datetime(2999, 1, 31, tzinfo=UTC)
    assert (changed["name"], changed["models"], changed["ratePerMinute"], changed["budget"]) == ("hourly", [], None, None)
    assert (changed["users"], changed["maxCostPerOrder"], changed["month"]["charged"]) == (limits["users"], 0.2, 2 * PRICE)
    assert [key["id"] for key in listed] == [key_id]
    assert listed[0]["lastUsedAt"] is not None
    assert (revoked.status_code, admin.call("DELETE", f"/keys/{key_id}").status_code) == (204, 404)
    assert admin.call("PATCH", f"/keys/{key_id}", {"name": "x"}).status_code == 404
    assert [key["live"] for key in admin.said("GET", "/keys?live=false")["keys"]] == [False]
    with pytest.raises(Unauthorized):
        admin.services.accounts.key_of(made["text"])
    refused, entry = admin.services.audit.all(AuditFilter(action=Action.KEY_CHANGE, subject=f"key:{key_id}"))
    assert refused.result == {"code": "not_found"}
    assert entry.result["changes"]["models"] == {"from": ["flux-*"], "to": None}
    assert made["text"].split("_", 2)[2] not in str(list(admin.services.database["audit"].find()))


def test_keys_come_page_by_page_the_newest_first(admin: Admin) -> None:
    made = [admin.services.accounts.make_key(f"key {number}")[0].id for number in range(3)]

    first = admin.said("GET", "/keys?limit=2")
    second = admin.said("GET", f"/keys?limit=2&cursor={first['cursor']['next']}")

    assert sorted(key["id"] for key in first["keys"] + second["keys"]) == sorted(made)
    assert (first["cursor"]["hasMore"], second["cursor"]["hasMore"]) == (True, False)


FORGED: list[tuple[str, str, Any]] = [
    ("GET", "/users?sort=password", None),
    ("GET", "/users?q=", None),
    ("GET", "/users?limit=0", None),
    ("GET", "/users?cursor=" + opaque("[]"), None),
    ("GET", "/users?cursor=" + opaque('["newest", {"$ne": 1}, "x"]'), None),
    ("GET", "/users?sort=spend&cursor=" + opaque('["spend", "1", "x"]'), None),
    ("GET", "/users?role[$ne]=user", None),
    ("PATCH", "/users/x", {}),
    ("PATCH", "/users/x", {"role": {"$ne": "user"}}),
    ("PATCH", "/users/x", {"disabled": "yes"}),
    ("PATCH", "/users/x", {"tokens": 1_000_000}),
    ("POST", "/users/x/topup", {"amount": -1, "idempotencyKey": "k"}),
    ("POST", "/users/x/topup", {"amount": 10**12, "idempotencyKey": "k"}),
    ("POST", "/users/x/topup", {"amount": 1.5, "idempotencyKey": "k"}),
    ("POST", "/users/x/topup", {"amount": 1, "userId": "y", "idempotencyKey": "k"}),
    ("POST", "/users", {"email": "nonsense"}),
    ("POST", "/users", {"email": "a@example.com", "password": "chosen by the caller"}),
    ("POST", "/keys", {}),
    ("POST", "/keys", {"name": "x", "scopes": ["root"]}),
    ("POST", "/keys", {"name": "x", "scopes": ["admin"], "users": ["y"]}),
    ("POST", "/keys", {"name": "x", "expiresAt": "2001-01-01"}),
    ("POST", "/keys", {"name": "x", "ipRanges": ["nonsense"]}),
    ("POST", "/keys", {"name": "x", "monthlyBudget": -1}),
    ("POST", "/keys", {"name": "x", "maxCostPerOrder": 1e15}),
    ("POST", "/keys", {"name": "x", "ratePerMinute": 0}),
    ("POST", "/keys", {"name": "x", "users": [{"$ne": 1}]}),
    ("GET", "/keys?cursor=%24%24", None),
]


def test_what_is_forged_or_absurd_is_refused_and_changes_nothing(admin: Admin) -> None:
    for method, path, body in FORGED:
        answer = admin.call(method, path, body)

        assert answer.json is not None
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_request"), (method, path, body, answer.text)
    assert admin.services.accounts.all_keys() == []
    assert admin.services.database["accounts"].count_documents({}) == 1


def test_a_key_whose_end_has_passed_may_still_be_renamed(admin: Admin) -> None:
    key, _ = admin.services.accounts.make_key("old")
    admin.services.database["apiKeys"].update_one({"_id": key.id}, {"$set": {"expiresAt": datetime(2020, 1, 1, tzinfo=UTC)}})

    assert admin.said("PATCH", f"/keys/{key.id}", {"name": "older"})["name"] == "older"
    assert admin.call("PATCH", f"/keys/{key.id}", {"expiresAt": "2021-01-01"}).status_code == 400
