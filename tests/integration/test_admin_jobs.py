"""Everybody's jobs in the hands of an operator: found, looked into, canceled, bought again once, deleted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.api.application import build
from app.bootstrap import Services
from app.domain import clock
from app.domain.account import Role
from app.domain.api_key import KeyTerms, Scope
from app.domain.audit import Action, AuditFilter
from app.domain.fal_request import Failure
from app.domain.job import Job, JobStatus, Operation
from app.services.orders.order import Order
from tests.support.gateway import SMALL, Gateway

PRICE = 0.025


class Admin:
    """An administrator who calls the API."""

    def __init__(self, gateway: Gateway) -> None:
        self.services = gateway.services
        self.client: FlaskClient = build(self.services.settings, self.services).test_client()
        self.account = self.services.accounts.register(f"{clock.new_id()}@example.com", "correct horse battery")
        self.account = self.services.accounts.change(self.account.id, role=Role.ADMIN)
        self.headers = {"Authorization": f"Bearer {self.services.bearer_tokens.issue(self.account)}"}

    def get(self, path: str, **query: Any) -> Any:
        answer = self.client.get(path, query_string=query, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        return self.client.open(path, method=method, json=body, headers={**self.headers, **headers})

    def found(self, **query: Any) -> list[str]:
        return [job["jobId"] for job in self.get("/api/admin/jobs", **query)["jobs"]]

    def retried(self, status: int = 200, key: str | None = None, **body: Any) -> Any:
        answer = self.call("POST", "/api/admin/jobs/retry", body, **({"Idempotency-Key": key} if key else {}))
        assert answer.status_code == status, answer.text
        return answer.json


@pytest.fixture
def admin(gateway: Gateway) -> Admin:
    return Admin(gateway)


def failed(gateway: Gateway, code: str = "provider_unavailable", **order: Any) -> Job:
    """Return a job that has failed and is settled; fal was never asked."""
    job = gateway.order(**order)
    ended = gateway.services.jobs.change(job.id, lambda j: j.given_up(Failure(code, "fal was away"), now=clock.now()))
    assert ended is not None
    gateway.services.recovery.settle(job.id)
    return gateway.job(job.id)


def retries(services: Services, job: Job) -> list[Job]:
    return services.jobs.retries_of([job.id])


def audited(services: Services, action: Action) -> list[dict[str, Any]]:
    return [{**entry.details, **entry.result, "subject": entry.subject} for entry in services.audit.all(AuditFilter(action=action))]


# -- finding --------------------------------------------------------------------------------------------------------------------------


def test_an_operator_finds_any_job_by_what_is_known_of_it(gateway: Gateway, admin: Admin) -> None:
    key, _ = gateway.services.accounts.make_key("nightly")
    bought = gateway.dispatch(gateway.order(user_id="script-7", prompt="a blue whale"))
    gateway.services.database["jobs"].update_one({"_id": bought.id}, {"$set": {"callerKey": key.id}})
    away = failed(gateway, user_id=admin.account.id, prompt="A Red Bicycle in the rain")
    receipt = bought.requests[0].receipt
    assert receipt is not None

    found = {
        q: admin.found(q=q)
        for q in (
            "user:script-7",
            f"user:{admin.account.email}",
            "key:nightly",
            f"key:{key.id}",
            f"fal:{receipt.request_id}",
            f"id:{bought.id.upper()}",
            "code:provider_unavailable status:failed",
            "rain bicycle",
            '"red bicycle"',
            "model:flux-dev status:processing",
            "fal:unheard-of",
            "user:nobody@example.com",
            "id:nonsense",
            "rain whale",
        )
    }

    assert [ids for ids in found.values() if ids] == [
        [bought.id],
        [away.id],
        [bought.id],
        [bought.id],
        [bought.id],
        [bought.id],
        [away.id],
        [away.id],
        [away.id],
        [bought.id],
    ]
    assert [q for q, ids in found.items() if not ids] == ["fal:unheard-of", "user:nobody@example.com", "id:nonsense", "rain whale"]


def test_an_administrator_reads_everybodys_jobs_usage_and_exports_where_users_read_their_own(gateway: Gateway, admin: Admin) -> None:
    done = gateway.generated(gateway.order(user_id="script-7"))
    own = gateway.order(user_id=admin.account.id)

    listed = [job["jobId"] for job in admin.get("/api/jobs")["jobs"]]
    narrowed = [job["jobId"] for job in admin.get("/api/jobs", userId="script-7")["jobs"]]

    assert (listed, narrowed) == ([own.id, done.id], [done.id])
    assert admin.get(f"/api/jobs/{done.id}")["userId"] == "script-7"
    assert admin.get("/api/usage", userId="script-7")["totals"]["jobs"] == 1
    assert done.id in admin.client.get("/api/jobs/export?format=ndjson", headers=admin.headers).text
    assert done.id in admin.client.get("/api/admin/jobs/export?format=csv", headers=admin.headers).text
    for method, path in (("POST", "cancel"), ("POST", "retry"), ("DELETE", ""), ("PATCH", "")):
        body = {"favorite": True} if method == "PATCH" else None
        assert admin.call(method, f"/api/jobs/{done.id}/{path}".rstrip("/"), body).status_code == 404


def test_users_and_scripts_search_among_what_they_may_see_and_learn_of_nobody(gateway: Gateway, admin: Admin) -> None:
    ada = gateway.services.accounts.register(f"{clock.new_id()}@example.com", "correct horse battery")
    job, _ = gateway.order(user_id=ada.id), gateway.order(user_id="script-7")
    _, script = gateway.services.accounts.make_key("script", KeyTerms(scopes=(Scope.READ,)))

    def search(headers: dict[str, str], q: str) -> tuple[int, list[str]]:
        answer = admin.client.get("/api/jobs", query_string={"q": q}, headers=headers)
        assert answer.json is not None
        return answer.status_code, [found["jobId"] for found in answer.json.get("jobs", ())]

    hers = {"Authorization": f"Bearer {gateway.services.bearer_tokens.issue(ada)}"}

    assert search(hers, "bicycle") == (200, [job.id])
    assert search(hers, "user:script-7") == (403, [])
    assert search({"X-API-Key": script}, f"user:{ada.id}") == (200, [job.id])
    assert search({"X-API-Key": script}, f"user:{ada.email}") == (200, [])


def test_jobs_that_do_not_go_on_are_found_and_say_why(gateway: Gateway, admin: Admin) -> None:
    stuck, fine, gone = gateway.order(), gateway.dispatch(gateway.order()), gateway.dispatch(gateway.order())
    gateway.wait(stuck, 3600)
    gateway.services.database["jobs"].update_one({"_id": gone.id}, {"$set": {"requests.0.state": "unknown"}})

    listed = admin.get("/api/admin/jobs", attention="true", count="true")

    assert [(job["jobId"], job["trouble"]) for job in listed["jobs"]] == [(gone.id, "unknown_outcome"), (stuck.id, "overdue")]
    assert (listed["total"], fine.id in str(listed)) == (2, False)


FORGED_QUERIES = [
    {"q": "status:broken"},
    {"q": "user:a user:b"},
    {"q": "user:a", "userId": "b"},
    {"q": "x" * 501},
    {"q": "a\0b"},
    {"q": "id:1 fal:2"},
    {"minCost": "-1"},
    {"minCost": "NaN"},
    {"minCost": "1e99"},
    {"minCost[$gt]": "1"},
    {"user_id[$ne]": "x"},
    {"from": "9999-01-01"},
    {"cursor": "forged"},
    {"limit": "100000"},
]


def test_forged_and_absurd_filters_are_refused(admin: Admin) -> None:
    for query in FORGED_QUERIES:
        answer = admin.client.get("/api/admin/jobs", query_string=query, headers=admin.headers)

        assert answer.json is not None
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_request"), query


# -- one job --------------------------------------------------------------------------------------------------------------------------


def test_a_jobs_file_tells_its_life_its_calls_to_fal_and_its_money(gateway: Gateway, admin: Admin) -> None:
    done = gateway.generated(gateway.order(num_images=6))

    file = admin.get(f"/api/admin/jobs/{done.id}")

    whats, times = zip(*((moment["what"], moment["at"]) for moment in file["timeline"]), strict=True)
    assert list(times) == sorted(times)
    assert set(whats) == {"ordered", "event", "posting", "taken", "ended", "collected", "finished"}
    assert [event["message"] for event in file["events"]] == ["Waiting for a worker", "Sent to fal", "Completed"]
    assert [(each["index"], each["numImages"], each["state"]) for each in file["requests"]] == [(0, 4, "collected"), (1, 2, "collected")]
    assert all(each["requestId"] and each["billableUnits"] and each["attempts"] == 1 for each in file["requests"])
    assert (file["money"]["quoted"], file["money"]["charged"], file["money"]["settlement"]) == (0.15, 0.15, "done")
    assert file["money"]["source"] == "units"
    assert file["retry"] == {"cost": 0.15, "tokens": 0, "payer": "operator", "refusal": None}
    assert (file["job"]["jobId"], file["retries"], file["deliveries"], file["ledger"]) == (done.id, [], [], [])
    assert "queue.fal.run" not in str(file)
    assert "response_url" not in str(file)


def test_a_job_that_never_was_and_one_that_is_gone_are_told_apart(gateway: Gateway, admin: Admin) -> None:
    done = gateway.generated(gateway.order())

    deleted = admin.call("DELETE", f"/api/admin/jobs/{done.id}")
    again = [admin.call(method, f"/api/admin/jobs/{done.id}").status_code for method in ("GET", "DELETE")]
    never = [admin.call("GET", f"/api/admin/jobs/{job_id}").status_code for job_id in (clock.new_id(), "nonsense")]

    assert (deleted.status_code, again, never) == (204, [410, 410], [404, 404])
    (entry,) = audited(gateway.services, Action.JOB_DELETE)
    assert (entry["subject"], entry["userId"], entry["charged"]) == (f"job:{done.id}", "user-1", PRICE)


def test_a_job_is_canceled_as_its_user_could(gateway: Gateway, admin: Admin) -> None:
    job, bought = gateway.order(), gateway.dispatch(gateway.order())

    free, asked = (admin.call("POST", f"/api/admin/jobs/{each.id}/cancel") for each in (job, bought))
    twice = admin.call("POST", f"/api/admin/jobs/{job.id}/cancel")

    assert (free.status_code, asked.status_code, twice.status_code) == (200, 202, 409)
    assert gateway.job(job.id).status is JobStatus.CANCELED
    assert [entry.get("status") for entry in audited(gateway.services, Action.JOB_CANCEL)] == [None, "processing", "canceled"]


def test_fal_is_asked_at_once_and_what_has_ended_is_fetched(gateway: Gateway, admin: Admin) -> None:
    job = gateway.dispatch(gateway.order())
    gateway.tasks()

    asked = admin.call("POST", f"/api/admin/jobs/{job.id}/refresh").json
    while asked and asked["requests"][0]["state"] != "COMPLETED":
        asked = admin.call("POST", f"/api/admin/jobs/{job.id}/refresh").json

    assert asked is not None
    assert asked["requests"][0]["requestId"] == job.requests[0].receipt.request_id  # type: ignore[union-attr]
    assert ("collect", job.id) in [(name, arguments[0]) for name, arguments in gateway.tasks()]
    gateway.collect(job)
    assert admin.call("POST", f"/api/admin/jobs/{job.id}/refresh").json["requests"] == []  # type: ignore[index]


# -- retries --------------------------------------------------------------------------------------------------------------------------


def test_one_retry_says_who_pays_and_is_bought_once_however_often_it_is_asked_for(gateway: Gateway, admin: Admin) -> None:
    services, job = gateway.services, failed(gateway)
    path = f"/api/admin/jobs/{job.id}/retry"

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: admin.call("POST", path), range(4)))
    later = admin.call("POST", path)

    (only,) = retries(services, job)
    assert {answer.status_code for answer in (*answers, later)} == {202}
    assert {answer.json["jobId"] for answer in (*answers, later) if answer.json} == {only.id}
    assert later.headers["Idempotent-Replayed"] == "true"
    assert only.retry_of == job.id


def test_a_retry_that_is_at_work_is_bought_again_only_with_a_key_of_its_own(gateway: Gateway, admin: Admin) -> None:
    job = failed(gateway)
    path = f"/api/admin/jobs/{job.id}/retry"
    admin.call("POST", path)

    keyless = admin.call("POST", path, {"again": True})
    twice = [admin.call("POST", path, {"again": True}, **{"Idempotency-Key": "k-1"}).json for _ in range(2)]

    assert keyless.status_code == 400
    assert twice[0]
    assert twice[1]
    assert twice[0]["jobId"] == twice[1]["jobId"]
    assert len(retries(gateway.services, job)) == 2
    assert len(audited(gateway.services, Action.JOB_RETRY)) == 3


def test_a_retry_that_failed_as_well_may_be_made_again(gateway: Gateway, admin: Admin) -> None:
    job = failed(gateway)
    first = admin.call("POST", f"/api/admin/jobs/{job.id}/retry").json
    assert first is not None
    gateway.services.jobs.change(first["jobId"], lambda j: j.given_up(Failure("x", "again"), now=clock.now()))

    second = admin.call("POST", f"/api/admin/jobs/{job.id}/retry").json

    assert second is not None
    assert [each.id for each in retries(gateway.services, job)] == [second["jobId"], first["jobId"]]


def test_a_users_job_is_paid_again_in_its_tokens_or_by_the_operator(gateway: Gateway, admin: Admin) -> None:
    services = gateway.services
    ada = services.accounts.register(f"{clock.new_id()}@example.com", "correct horse battery")
    order = Order(
        model="flux-dev",
        inputs={"prompt": "x"},
        options={"image_size": SMALL},
        user_id=ada.id,
        operation=Operation.TEXT_TO_IMAGE,
        pays_tokens=True,
    )
    jobs = [services.orders.submit(order).job for _ in range(2)]
    for job in jobs:
        services.jobs.change(job.id, lambda j: j.given_up(Failure("x", "y"), now=clock.now()))
        services.recovery.settle(job.id)

    file = admin.get(f"/api/admin/jobs/{jobs[0].id}")
    admin.call("POST", f"/api/admin/jobs/{jobs[0].id}/retry")
    held = services.billing.balance(ada.id)
    admin.call("POST", f"/api/admin/jobs/{jobs[1].id}/retry", {"payer": "operator"})

    assert [(entry["type"], entry["amount"], entry["held"]) for entry in file["ledger"]] == [("hold", -100, 100), ("release", 100, -100)]
    assert (file["retry"]["payer"], file["retry"]["tokens"]) == ("user", 100)
    assert held.held == 100
    assert services.billing.balance(ada.id) == held


def test_the_first_request_only_says_how_many_they_are_and_what_they_cost(gateway: Gateway, admin: Admin) -> None:
    lost = [failed(gateway, num_images=2) for _ in range(3)]
    done, other = gateway.generated(gateway.order()), failed(gateway, code="content_policy_violation")

    said = admin.retried(filter={"q": "code:provider_unavailable"}, maxCost=5)
    named = admin.retried(ids=[lost[0].id, done.id, clock.new_id()])

    assert (said["dryRun"], said["count"], said["cost"], said["needsCount"], said["retried"]) == (True, 3, 0.15, False, [])
    assert (named["count"], named["skipped"]) == (1, {"not_failed": 1, "not_found": 1})
    assert [retries(gateway.services, job) for job in (*lost, other)] == [[]] * 4
    assert audited(gateway.services, Action.JOBS_RETRY) == []


def test_a_selection_is_ordered_again_once_and_told_in_the_log(gateway: Gateway, admin: Admin) -> None:
    lost = [failed(gateway) for _ in range(3)]
    body = {"filter": {"q": "code:provider_unavailable"}, "confirm": True}

    first = admin.retried(**body, key="k-1")
    same = admin.retried(**body, key="k-1")
    later = admin.retried(**body)

    bought = {job.id: [each.id for each in retries(gateway.services, job)] for job in lost}
    assert {each["jobId"]: [each["retryJobId"]] for each in first["retried"]} == bought
    assert same["retried"] == first["retried"]
    assert (later["count"], later["skipped"]) == (0, {"already_retried": 3})
    entry = audited(gateway.services, Action.JOBS_RETRY)[-1]
    assert (entry["count"], entry["cost"], entry["retried"], set(entry["jobIds"])) == (3, 0.075, 3, set(bought))
    assert {job.fal_headers["X-Fal-Queue-Priority"] for ids in bought.values() for job in gateway.services.jobs.of(ids)} == {"low"}


def test_two_operators_at_once_buy_each_job_once(gateway: Gateway, admin: Admin) -> None:
    lost = [failed(gateway) for _ in range(6)]
    ids = [job.id for job in lost]

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda number: admin.retried(ids=ids, confirm=True, key=f"k-{number % 3}"), range(4)))

    assert {len(retries(gateway.services, job)) for job in lost} == {1}
    assert all(len(answer["retried"]) + answer["skipped"].get("already_retried", 0) >= 6 for answer in answers)


def test_a_request_that_was_cut_off_goes_on_where_it_was(gateway: Gateway, admin: Admin) -> None:
    lost = [failed(gateway) for _ in range(3)]
    body = {"ids": [job.id for job in lost], "confirm": True}
    patient = gateway.services.retries._work_s
    gateway.services.retries._work_s = -1.0

    cut = admin.retried(**body, key="k-1")
    gateway.services.retries._work_s = patient
    late = failed(gateway)
    rest = admin.retried(**body, key="k-1")
    other = admin.retried(400, ids=[late.id], confirm=True, key="k-1")

    assert (cut["remaining"], cut["retried"]) == (3, [])
    assert (rest["remaining"], len(rest["retried"])) == (0, 3)
    assert other["code"] == "idempotency_mismatch"
    assert retries(gateway.services, late) == []


def many(gateway: Gateway, count: int) -> list[str]:
    """Write copies of a job that has failed straight into the store."""
    pattern = failed(gateway)
    document = gateway.services.database["jobs"].find_one({"_id": pattern.id})
    assert document is not None
    ids = [clock.new_id() for _ in range(count - 1)]
    gateway.services.database["jobs"].insert_many([{**document, "_id": job_id, "orderKey": job_id} for job_id in ids])
    return [pattern.id, *ids]


def test_above_fifty_jobs_whoever_asks_must_say_how_many(gateway: Gateway, admin: Admin) -> None:
    ids = many(gateway, 51)

    said = admin.retried(ids=ids)
    refused = [admin.retried(400, ids=ids, confirm=confirm)["code"] for confirm in (True, 50, 52)]

    assert (said["count"], said["needsCount"]) == (51, True)
    assert refused == ["confirmation_needed"] * 3
    assert gateway.services.jobs.retried_among(ids) == set()
    assert len(admin.retried(ids=ids, confirm=51)["retried"]) == 51


def test_what_costs_more_than_was_allowed_is_not_begun(gateway: Gateway, admin: Admin) -> None:
    job = failed(gateway)

    refused = admin.retried(400, ids=[job.id], confirm=True, maxCost=0.01)

    assert (refused["code"], refused["details"]) == ("max_cost_exceeded", {"count": 1, "cost": PRICE, "maxCost": 0.01})
    assert retries(gateway.services, job) == []


def test_a_job_that_nobody_can_pay_is_told_and_stops_no_other(gateway: Gateway, admin: Admin) -> None:
    poor, rich = failed(gateway, user_id="poor"), failed(gateway, user_id="rich")
    gateway.services.budgets.set_monthly("user:poor", "0")

    done = admin.retried(ids=[poor.id, rich.id], confirm=2)

    assert [(each["jobId"], each["code"]) for each in done["refused"]] == [(poor.id, "budget_exceeded")]
    assert [each["jobId"] for each in done["retried"]] == [rich.id]
    assert retries(gateway.services, poor) == []


def test_more_jobs_than_go_together_are_refused_whole(gateway: Gateway, admin: Admin) -> None:
    ids = many(gateway, 501)

    refused = admin.retried(400, filter={"status": "failed"}, confirm=500)
    listed = admin.retried(400, ids=ids, confirm=501)

    assert "more than 500" in refused["message"]
    assert "/ids" in {error["pointer"] for error in listed["errors"]}
    assert gateway.services.jobs.retried_among(ids) == set()


FORGED_RETRIES: list[dict[str, Any]] = [
    {},
    {"ids": [], "confirm": True},
    {"ids": ["nonsense"]},
    {"ids": [{"$ne": 1}]},
    {"filter": {"$where": "1"}},
    {"filter": {"userId": {"$ne": "x"}}},
    {"filter": {"metadata.campaign": None}},
    {"filter": {"metadata.campaign": {"$ne": "x"}}},
    {"filter": {"status": "completed"}},
    {"filter": {}, "ids": ["01a1fbb9-ae99-76ef-85b8-99f0e4849dc8"]},
    {"filter": {}, "confirm": "yes"},
    {"filter": {}, "confirm": -1},
    {"filter": {}, "confirm": 100_000},
    {"filter": {}, "maxCost": -1},
    {"filter": {}, "everything": True},
]


def test_forged_and_absurd_retries_are_refused(admin: Admin) -> None:
    for body in FORGED_RETRIES:
        assert admin.retried(400, **body)["code"] == "invalid_request", body


def test_a_job_whose_outcome_was_unknown_is_counted_as_such(gateway: Gateway, admin: Admin) -> None:
    job = failed(gateway)
    requests = (replace(job.requests[0], submitting_at=clock.now()),)
    assert gateway.services.jobs.change(job.id, lambda j: replace(j, requests=requests))

    assert admin.retried(ids=[job.id])["unknownOutcome"] == 1
