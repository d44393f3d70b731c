"""Below `/api/admin` everybody but administrators is refused, at each route, before anything is read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.api.application import build
from app.bootstrap import Services
from app.domain import clock
from app.domain.account import Role
from app.domain.api_key import KeyTerms, Scope

AN_ID = "01a1fbb9-ae99-76ef-85b8-99f0e4849dc8"


@pytest.fixture
def app(services: Services) -> Flask:
    return build(services.settings, services)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def admin_calls(app: Flask) -> Iterator[tuple[str, str]]:
    """Yield method and path of every route of administrators."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/admin"):
            path = rule.build(dict.fromkeys(rule.arguments, AN_ID))
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, path[1] if path else rule.rule


def bearer(services: Services, role: Role) -> dict[str, str]:
    account = services.accounts.register(f"{clock.new_id()}@example.com", "correct horse battery")
    return {"Authorization": f"Bearer {services.bearer_tokens.issue(services.accounts.change(account.id, role=role))}"}


def key(services: Services, *scopes: Scope) -> dict[str, str]:
    return {"X-API-Key": services.accounts.make_key("a key", KeyTerms(scopes=scopes))[1]}


def test_every_admin_route_refuses_whoever_is_no_administrator(services: Services, app: Flask, client: FlaskClient) -> None:
    strangers = [{}, {"X-API-Key": "igk_0_nonsense"}]
    others = [bearer(services, Role.USER), key(services, Scope.READ, Scope.GENERATE), key(services, Scope.READ)]
    calls = list(admin_calls(app))

    for method, path in calls:
        # What cannot be read: it is not looked at.
        unknown = [client.open(path, method=method, headers=headers, data="not JSON") for headers in strangers]
        refused = [client.open(path, method=method, headers=headers, data="not JSON") for headers in others]

        assert [answer.status_code for answer in unknown] == [401, 401], (method, path)
        assert [answer.status_code for answer in refused] == [403, 403, 403], (method, path)
        for answer in refused:
            assert answer.json is not None
            assert answer.json.keys() <= {"success", "status", "code", "message", "retryable", "requestId", "details"}
            assert answer.json.get("details") in (None, {"scope": "admin"})
    assert len(calls) >= 2


def test_an_administrator_and_a_key_of_that_scope_alone_are_let_in(services: Services, app: Flask, client: FlaskClient) -> None:
    for headers in (bearer(services, Role.ADMIN), key(services, Scope.ADMIN)):
        statuses = [client.open(path, method=method, headers=headers).status_code for method, path in admin_calls(app) if method == "GET"]

        assert not {401, 403} & set(statuses)


def test_the_log_is_listed_page_by_page_and_exported(services: Services, client: FlaskClient) -> None:
    headers = bearer(services, Role.ADMIN)
    for user in ("ada", "grace", "=1+1"):
        client.put("/api/budgets", json={"userId": user, "monthly": 2.5}, headers=headers)

    first = client.get("/api/admin/audit?limit=2", headers=headers).json
    assert first is not None
    second = client.get(f"/api/admin/audit?limit=2&cursor={first['cursor']['next']}", headers=headers).json
    lines = client.get("/api/admin/audit/export?format=ndjson&action=budget.set", headers=headers).text.splitlines()
    table = client.get("/api/admin/audit/export?format=csv&subject=user:ada", headers=headers).text

    assert second is not None
    assert [entry["subject"] for entry in first["entries"] + second["entries"]] == ["user:=1+1", "user:grace", "user:ada"]
    assert first["entries"][0].keys() == {
        *("id", "at", "actor", "actorName", "action", "subject", "details", "outcome", "result", "endedAt"),
    }
    assert (first["cursor"]["hasMore"], second["cursor"]["hasMore"]) == (True, False)
    assert len(lines) == 3
    assert '{""monthly"": 2.5}' in table


def test_forged_questions_to_the_log_are_refused(services: Services, client: FlaskClient) -> None:
    headers = key(services, Scope.ADMIN)
    queries = (
        "cursor=forged",
        "actor=",
        "action=anything",
        "subject[$ne]=1",
        "from=2026-02-01&to=2026-01-01",
        "limit=101",
        "from=1026-01-01",
    )

    for query in queries:
        answer = client.get(f"/api/admin/audit?{query}", headers=headers)

        assert (answer.status_code, answer.json and answer.json["code"]) == (400, "invalid_request"), query


def test_operators_read_names_and_not_ids(services: Services, client: FlaskClient) -> None:
    headers = bearer(services, Role.ADMIN)
    ada = services.accounts.register("ada@example.com", "correct horse battery")
    script, _ = services.accounts.make_key("nightly")
    ids = [f"user:{ada.id}", f"key:{script.id}", "user:nobody", "job:1"]

    names = client.get("/api/admin/names", query_string={"id": ids}, headers=headers).json
    refused = [client.get("/api/admin/names", query_string={"id": each}, headers=headers) for each in ([], ["user:x"] * 101, ["\0"])]

    assert names == {"names": {f"user:{ada.id}": "ada@example.com", f"key:{script.id}": "nightly"}}
    assert [answer.status_code for answer in refused] == [400, 400, 400]
