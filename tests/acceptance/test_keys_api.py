"""API keys that are narrower than the service, as their holders meet them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import socketio

from app.api.application import build
from app.api.http.access import access_of
from app.bootstrap import Services
from app.domain import clock
from app.domain.api_key import KeyTerms, OrderLimits, Scope
from tests.acceptance.people import accounts_of
from tests.acceptance.service import Answer, Service, a_prompt, order, wait_until
from tests.support.listeners import listening

SMALL_MICROS = 50_000


class Script:
    """Somebody who calls with a key."""

    def __init__(self, service: Service, terms: KeyTerms = KeyTerms()) -> None:  # noqa: B008 - a frozen value
        self.service = service
        self.key, self.text = accounts_of(service).make_key("a script", terms)
        self.headers = {"X-API-Key": self.text}

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.service.client.get(path, headers=self.headers, params=query)

    def post(self, path: str, body: Answer | None = None) -> httpx.Response:
        return self.service.client.post(path, headers=self.headers, json=body)

    def generate(self, **change: Any) -> httpx.Response:
        body = {**order(a_prompt()), "async": True, **change}
        return self.post("/api/images/generate", {name: value for name, value in body.items() if value is not None})

    def ordered(self, **change: Any) -> str:
        answer = self.generate(**change)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["jobId"])


def a_user() -> str:
    return f"user-{uuid.uuid4().hex[:12]}"


def refused(answer: httpx.Response, status: int, code: str) -> Answer:
    body: Answer = answer.json()
    assert (answer.status_code, body["code"], body["status"]) == (status, code, status), answer.text
    return body


def test_a_key_acts_for_its_users_only_and_for_the_first_where_none_is_named(service: Service) -> None:
    users = (a_user(), a_user())
    script = Script(service, KeyTerms(users=users))

    unnamed, named = script.ordered(userId=None), script.ordered(userId=users[1])
    other = script.generate(userId=a_user())

    assert [service.document(job_id)["userId"] for job_id in (unnamed, named)] == list(users)
    refused(other, 403, "forbidden")


def test_a_key_sees_the_jobs_of_its_users_and_nobody_elses(service: Service) -> None:
    users, stranger = (a_user(), a_user()), a_user()
    narrow, wide = Script(service, KeyTerms(users=users)), Script(service)
    own = [wide.ordered(userId=user) for user in users]
    foreign = wide.ordered(userId=stranger)
    for job_id in (*own, foreign):
        service.ended(job_id)

    listed = narrow.get("/api/jobs", count="true").json()
    exported = narrow.get("/api/jobs/export", format="ndjson").text
    reads = {job_id: narrow.get(f"/api/jobs/{job_id}").status_code for job_id in (*own, foreign)}
    touched = [narrow.post(f"/api/jobs/{foreign}/{action}") for action in ("cancel", "retry")]
    deleted = service.client.delete(f"/api/jobs/{foreign}", headers=narrow.headers)
    streamed = narrow.get(f"/api/jobs/{foreign}/events")

    assert ({job["jobId"] for job in listed["jobs"]}, listed["total"]) == (set(own), 2)
    assert {own_id in exported for own_id in own} == {True}
    assert foreign not in exported
    assert reads == {own[0]: 200, own[1]: 200, foreign: 404}
    for answer in (*touched, deleted, streamed):
        refused(answer, 404, "not_found")
    for path in ("/api/jobs", "/api/jobs/export", "/api/usage", "/api/usage/export"):
        refused(narrow.get(path, userId=stranger), 403, "forbidden")


def test_a_key_sees_the_usage_of_its_users_together(service: Service) -> None:
    users, stranger = (a_user(), a_user()), a_user()
    narrow, wide = Script(service, KeyTerms(users=users)), Script(service)
    for user in (*users, stranger):
        job_id = wide.ordered(userId=user)
        wait_until(lambda job_id=job_id: service.document(job_id)["settlement"] == "done", 30, "settlement")  # type: ignore[misc]

    usage = narrow.get("/api/usage", groupBy="user").json()
    rows = narrow.get("/api/usage/export", format="csv").text

    assert usage["totals"]["jobs"] == 2
    assert {group["key"] for group in usage["groups"]} == set(users)
    assert all(user in rows for user in users)
    assert stranger not in rows


def test_a_batch_of_another_user_is_not_there_for_a_key(service: Service) -> None:
    narrow, wide = Script(service, KeyTerms(users=(a_user(),))), Script(service)
    item = {name: value for name, value in order(a_prompt()).items() if name != "userId"}
    foreign = wide.post("/api/images/batch", {"items": [item], "userId": a_user()}).json()["batchId"]
    own = narrow.post("/api/images/batch", {"items": [item]}).json()["batchId"]

    assert narrow.get(f"/api/batches/{own}").status_code == 200
    refused(narrow.get(f"/api/batches/{foreign}"), 404, "not_found")
    refused(narrow.post(f"/api/batches/{foreign}/cancel"), 404, "not_found")
    refused(narrow.post("/api/images/batch", {"items": [item], "userId": a_user()}), 403, "forbidden")


def test_a_key_that_only_reads_may_not_order_cancel_retry_or_delete(service: Service) -> None:
    reader, writer = Script(service, KeyTerms(scopes=(Scope.READ,))), Script(service, KeyTerms(scopes=(Scope.GENERATE,)))
    job_id = writer.ordered()
    service.ended(job_id)

    answers = [
        reader.generate(),
        reader.post("/api/images/batch", {"items": [order()], "userId": "user123"}),
        reader.post(f"/api/jobs/{job_id}/cancel"),
        reader.post(f"/api/jobs/{job_id}/retry"),
        service.client.delete(f"/api/jobs/{job_id}", headers=reader.headers),
    ]

    for answer in answers:
        assert "generate" in refused(answer, 403, "forbidden")["message"]
    assert reader.get(f"/api/jobs/{job_id}").status_code == 200
    assert "read" in refused(writer.get(f"/api/jobs/{job_id}"), 403, "forbidden")["message"]


def test_only_a_key_of_scope_admin_does_what_administrators_do(service: Service) -> None:
    usual, admin = Script(service), Script(service, KeyTerms(scopes=(Scope.ADMIN,)))

    assert "admin" in refused(usual.get("/api/budgets"), 403, "forbidden")["message"]
    assert admin.get("/api/budgets").status_code == 200
    refused(admin.get("/api/jobs"), 403, "forbidden")


def test_a_key_orders_its_models_only_also_in_a_batch_and_by_a_retry(service: Service) -> None:
    narrow, wide = Script(service, KeyTerms(orders=OrderLimits(models=("flux-d*",)))), Script(service)
    job_id = wide.ordered()
    service.ended(job_id)
    item = {"model": "flux-pro", "inputs": {"prompt": a_prompt()}}

    answers = [
        narrow.generate(),
        narrow.post("/api/images/batch", {"items": [{**item, "model": "flux-dev"}, item], "userId": "user123"}),
        narrow.post(f"/api/jobs/{job_id}/retry"),
        narrow.post("/api/images/estimate-cost", {"model": "flux-pro"}),
    ]

    for answer in answers:
        assert "flux-pro" in refused(answer, 403, "forbidden")["message"]
    assert narrow.generate(model="flux-dev").status_code == 202


def test_no_order_of_a_key_costs_more_than_it_allows_and_a_batch_is_one_order(service: Service) -> None:
    script = Script(service, KeyTerms(orders=OrderLimits(max_micros=SMALL_MICROS)))
    item = {"model": "flux-pro", "inputs": {"prompt": a_prompt()}}

    fits = script.generate(options={"image_size": "square", "num_images": 1})
    dear = script.generate(options={"image_size": "square", "num_images": 2})
    batch = script.post("/api/images/batch", {"items": [item, item], "userId": "user123"})

    assert fits.status_code == 202
    assert refused(dear, 400, "max_cost_exceeded")["details"] == {"cost": 0.1, "maxCost": 0.05}
    refused(batch, 400, "max_cost_exceeded")


def test_a_key_makes_so_many_requests_a_minute_and_is_told_when_to_go_on(service: Service) -> None:
    script = Script(service, KeyTerms(rate_per_minute=3))

    answers = [script.get("/api/images/models") for _ in range(5)]

    statuses = [answer.status_code for answer in answers]
    # A minute may turn between two of them.
    assert statuses.count(200) >= 3
    last = next(answer for answer in answers if answer.status_code == 429)
    assert refused(last, 429, "rate_limited")["retryable"] is True
    assert 1 <= int(last.headers["Retry-After"]) <= 60


def test_a_key_that_has_expired_is_401(service: Service) -> None:
    script = Script(service, KeyTerms(expires_at=clock.now() + timedelta(hours=1)))
    before = script.get("/api/images/models")
    service.database["apiKeys"].update_one({"_id": script.key.id}, {"$set": {"expiresAt": datetime.now(UTC)}})

    refused(script.get("/api/images/models"), 401, "unauthorized")
    assert before.status_code == 200


def test_a_key_is_refused_outside_of_its_networks(service: Service) -> None:
    here, elsewhere = (Script(service, KeyTerms(ip_ranges=(network,))) for network in ("127.0.0.0/8", "203.0.113.0/24"))

    assert here.get("/api/images/models").status_code == 200
    refused(elsewhere.get("/api/images/models"), 403, "forbidden")


def test_a_keys_last_use_is_written_once_a_minute(service: Service) -> None:
    script = Script(service)

    def last_used() -> Any:
        return service.database["apiKeys"].find_one({"_id": script.key.id})["lastUsedAt"]  # type: ignore[index]

    unused = last_used()
    script.get("/api/images/models")
    first = last_used()
    script.get("/api/images/models")

    assert unused is None
    assert first is not None
    assert last_used() == first


@pytest.mark.parametrize(
    "auth",
    [lambda script: {"apiKey": script.text, "userId": a_user()}, lambda script: {"token": script.text, "userId": a_user()}],
    ids=["apiKey", "token"],
)
def test_a_key_hears_only_its_own_users(service: Service, auth: Callable[[Script], Answer]) -> None:
    script = Script(service, KeyTerms(users=(a_user(),)))

    with pytest.raises(socketio.exceptions.ConnectionError), listening(service.stack.base_urls[0], auth(script)):
        pass
    with listening(service.stack.base_urls[0], {"apiKey": script.text}) as heard:
        assert heard.until_end_of(script.ordered(userId=None))


def test_every_route_states_what_it_needs(services: Services) -> None:
    app = build(services.settings, services)

    stated = {rule.endpoint: access_of(app, rule.endpoint) for rule in app.url_map.iter_rules()}
    unstated = [endpoint for endpoint, access in stated.items() if access is None]
    open_rules = {rule.rule for rule in app.url_map.iter_rules() if (access := stated[rule.endpoint]) and access.is_open}

    assert unstated == []
    assert open_rules == {
        "/",
        "/api-docs/",
        "/api-docs/<path:path>",
        "/api/auth/login",
        "/api/auth/options",
        "/api/auth/register",
        "/api/prompt-templates",
        "/api/webhooks/fal/<job_id>/<int:index>",
        "/fal/.well-known/jwks.json",
        "/fal/cdn/files/<ticket>",
        "/fal/cdn/files/upload",
        "/files/<path:key>",
        "/healthz",
        "/llms.txt",
        "/metrics",
        "/models/<name>.md",
        "/openapi.json",
        "/operator",
        "/operator/<path:_screen>",
        "/pictures/<look>/<path:key>",
        "/readyz",
        "/studio",
        "/studio/<path:_screen>",
        "/ui/<version>/<path:name>",
    }


def test_a_route_that_states_nothing_is_for_administrators(services: Services) -> None:
    app = build(services.settings, services)
    app.add_url_rule("/forgotten", "forgotten", lambda: "secret")

    assert app.test_client().get("/forgotten").status_code == 401


def test_a_credential_is_asked_for_before_the_body_is_read(services: Services) -> None:
    client = build(services.settings, services).test_client()
    rules = [("POST", "/api/images/generate"), ("POST", "/api/images/batch"), ("PUT", "/api/budgets"), ("POST", "/api/tokens/topup")]

    answers = [client.open(path, method=method, data="not JSON") for method, path in rules]

    assert [answer.status_code for answer in answers] == [401] * 4
