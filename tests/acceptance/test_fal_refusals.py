"""What fal's API refuses here, in fal's own shapes: nothing is bought, and the answer names the way."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.domain.api_key import KeyTerms, OrderLimits, Scope
from tests.acceptance.people import accounts_of
from tests.acceptance.service import Answer, Service, a_prompt
from tests.support.fal_client import EDIT, FLUX, SMALL, Fal

RIGHT: Answer = {"prompt": "a red bicycle", **SMALL}


@pytest.fixture
def fal(service: Service) -> Iterator[Fal]:
    """Whoever calls here buys nothing."""
    before = service.footprint()
    yield Fal(service)
    assert service.footprint() == before


@pytest.mark.parametrize("path", ["/fal/queue/{}", "/fal/{}", "/fal/{}/stream"])
@pytest.mark.parametrize("app", ["fal-ai/nowhere", "fal-ai/flux-pro", "flux-pro", "fal-ai/../flux"])
def test_an_unknown_application_is_404_and_names_those_there_are(fal: Fal, path: str, app: str) -> None:
    answer = fal.ask("POST", path.format(app), json=RIGHT)

    assert (answer.status_code, answer.headers["x-fal-error-type"]) == (404, "unknown_model")
    assert answer.json()["detail"].startswith('Application "')
    assert FLUX in answer.json()["detail"]
    assert "python -m app registry import" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("app", "arguments", "loc", "kind"),
    [
        (FLUX, {}, ["body", "prompt"], "missing"),
        (FLUX, {"prompt": None}, ["body", "prompt"], "missing"),
        (FLUX, {"prompt": 5}, ["body", "prompt"], "value_error"),
        (FLUX, {**RIGHT, "num_images": 101}, ["body", "num_images"], "value_error"),
        (FLUX, {**RIGHT, "num_images": 0}, ["body", "num_images"], "value_error"),
        (FLUX, {"prompt": "x", "image_size": {"width": 99999, "height": 5}}, ["body", "image_size", "width"], "value_error"),
        (FLUX, {**RIGHT, "output_format": "tiff"}, ["body", "output_format"], "value_error"),
        (EDIT, {"prompt": "a red bicycle", "image_urls": ["ftp://x/a.png"]}, ["body", "image_urls", 0], "value_error"),
        (EDIT, {"prompt": "a red bicycle", "image_urls": [f"upload:{uuid.uuid4()}"]}, ["body", "image_urls", 0], "value_error"),
        (EDIT, {"prompt": "a red bicycle", "image_urls": []}, ["body", "image_urls"], "value_error"),
    ],
)
def test_wrong_arguments_are_422_and_name_the_field(fal: Fal, app: str, arguments: Answer, loc: list[str | int], kind: str) -> None:
    answers = [fal.submit(arguments, app), fal.run(arguments, app)]

    for answer in answers:
        assert answer.status_code == 422, answer.text
        found = [(entry["loc"], entry["type"]) for entry in answer.json()["detail"]]
        assert (loc, kind) in found


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b'{"prompt": NaN}', "application/json", 422),
        (b"", "application/json", 422),
        (b'{"prompt": "x"}', "text/plain", 415),
        (b"prompt=x", "application/x-www-form-urlencoded", 415),
    ],
)
def test_a_body_that_is_no_object_in_json_is_refused(fal: Fal, content: bytes, content_type: str, status: int) -> None:
    answer = fal.ask("POST", f"/fal/queue/{FLUX}", content=content, headers={"Content-Type": content_type})

    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


@pytest.mark.parametrize("credential", ["Key nonsense", "Key", "Key id:secret", "Basic eA==", "Bearer igk_x_y", "Key igk_x_y"])
def test_a_wrong_credential_is_401_and_says_what_to_send(service: Service, fal: Fal, credential: str) -> None:
    answers = [
        service.client.request(method, path, headers={"Authorization": credential}, json=RIGHT)
        for method, path in (("POST", f"/fal/queue/{FLUX}"), ("POST", f"/fal/{FLUX}"), ("GET", f"/fal/queue/a/b/requests/{uuid.uuid4()}"))
    ]

    for answer in answers:
        assert (answer.status_code, answer.json()["error_type"]) == (401, "unauthorized")
        assert answer.headers["x-fal-request-id"]


def test_a_key_may_stand_in_either_half_of_fals_form(service: Service) -> None:
    fal = Fal(service)

    answers = [
        service.client.get(f"/fal/queue/a/b/requests/{uuid.uuid4()}/status", headers={"Authorization": text})
        for text in (f"Key {fal.text}", f"key {fal.text}", f"Key id:{fal.text}", f"Key {fal.text}:secret", f"Bearer {fal.text}")
    ]

    assert [answer.status_code for answer in answers] == [404] * 5


def test_somebody_elses_request_is_not_there(service: Service) -> None:
    owner = f"user-{uuid.uuid4().hex[:12]}"
    theirs = Fal(service).submit({"prompt": a_prompt(), **SMALL}, **{"X-User-Id": owner}).json()["request_id"]
    narrow = Fal(service, KeyTerms(users=("somebody else",)))

    answers = [narrow.request(theirs, rest) for rest in ("", "/response", "/status", "/status/stream")]
    answers += [narrow.request(theirs, "/cancel", "PUT"), narrow.request(str(uuid.uuid4()), "/status"), narrow.request("nonsense")]

    bodies: list[dict[str, Any]] = [answer.json() for answer in answers]
    assert [answer.status_code for answer in answers] == [404] * 7
    assert bodies == [{"detail": "Request not found", "error_type": "request_not_found", "status": "NOT_FOUND"}] * 7
    assert Fal(service).ended(theirs)["status"] == "COMPLETED"


def test_a_deleted_request_is_not_there(service: Service) -> None:
    fal = Fal(service)
    request_id = fal.submitted()
    fal.ended(request_id)
    service.footprint()  # Settled by now.
    assert fal.ask("DELETE", f"/api/jobs/{request_id}").status_code == 204

    assert [fal.request(request_id, rest).status_code for rest in ("", "/status")] == [404, 404]


def test_a_key_does_here_what_it_may_do_elsewhere_and_no_more(service: Service, fal: Fal) -> None:
    cases = {
        "read": Fal(service, KeyTerms(scopes=(Scope.READ,))),
        "model": Fal(service, KeyTerms(orders=OrderLimits(models=("flux-lora",)))),
        "cost": Fal(service, KeyTerms(orders=OrderLimits(max_micros=1000))),
    }
    other_user = Fal(service, KeyTerms(users=("user-a",))).submit(RIGHT, **{"X-User-Id": "user-b"})
    only_orders = Fal(service, KeyTerms(scopes=(Scope.GENERATE,))).request(str(uuid.uuid4()), "/status")

    answers = {name: holder.submit(RIGHT) for name, holder in cases.items()} | {"user": other_user, "reads": only_orders}

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 403)
    assert {name: answer.json()["error_type"] for name, answer in answers.items()} == {
        **dict.fromkeys(answers, "forbidden"),
        "cost": "max_cost_exceeded",
    }


def test_who_has_no_money_left_is_told_so_in_fals_words(service: Service, fal: Fal) -> None:
    accounts, user = accounts_of(service), f"user-{uuid.uuid4().hex[:12]}"
    admin = accounts.make_key("an administrator", KeyTerms(scopes=(Scope.ADMIN,)))[1]
    budget = {"userId": user, "monthly": 0.01}
    assert service.client.put("/api/budgets", json=budget, headers={"X-API-Key": admin}).status_code == 200

    answer = fal.submit(RIGHT, **{"X-User-Id": user})

    assert (answer.status_code, answer.headers["x-fal-error-type"]) == (403, "budget_exceeded")
    assert answer.json()["detail"].startswith("User is locked. Reason: Exhausted balance.")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/fal/{FLUX}", 405),
        ("GET", "/fal/nothing", 405),
        ("POST", "/fal/rest/tokens/realtime", 404),
        ("POST", "/fal/rest/tokens/", 404),
        ("DELETE", f"/fal/queue/{FLUX}", 405),
    ],
)
def test_what_is_not_served_is_refused_in_the_same_shape(fal: Fal, method: str, path: str, status: int) -> None:
    answer = fal.ask(method, path)

    assert answer.status_code == status
    assert answer.json().keys() >= {"detail", "error_type"}
    assert answer.headers["x-fal-request-id"]


def test_a_page_of_another_origin_may_call_where_the_operator_lets_it(service: Service, fal: Fal) -> None:
    def preflight(method: str, path: str) -> httpx.Response:
        headers = {
            "Origin": "http://localhost:3000",
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type,x-fal-target-url,x-fal-queue-priority",
        }
        return service.client.options(path, headers=headers)

    for answer in (preflight("POST", "/api/fal/proxy"), preflight("PUT", "/fal/cdn/files/ticket.x.y"), preflight("POST", f"/fal/{FLUX}")):
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "x-fal-target-url" in answer.headers["access-control-allow-headers"]
    told = fal.ask("POST", "/api/fal/proxy", headers={"Origin": "http://localhost:3000"})
    assert "X-Fal-Request-Id" in told.headers["access-control-expose-headers"]
