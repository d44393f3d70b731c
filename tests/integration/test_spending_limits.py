"""What a stranger may spend of the operator's money: tokens follow cost, images have a ceiling, registration can be closed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.bootstrap import Services
from app.services.people.accounts import Accounts
from app.stores.accounts import AccountStore, KeyStore
from tests.support.services import with_parts

FLUX = {"model": "flux-lora", "inputs": {"prompt": "a red bicycle"}, "async": True}
BANANA = {"model": "nano-banana-edit", "inputs": {"prompt": "a red bicycle", "image_urls": ["https://example.com/a.png"]}, "async": True}

ESTIMATE = "/api/images/estimate-cost"


@pytest.fixture
def client(services: Services) -> FlaskClient:
    return create_app(services.settings, services).test_client()


@pytest.fixture
def ada(client: FlaskClient) -> dict[str, str]:
    answer = client.post("/api/auth/register", json={"email": "ada@example.com", "password": "long enough"}).json
    assert answer is not None
    return {"Authorization": f"Bearer {answer['data']['token']}"}


def ordered(client: FlaskClient, who: dict[str, str], body: dict[str, Any], **options: Any) -> TestResponse:
    return client.post("/api/images/generate", json={**body, "options": options}, headers=who)


def held(client: FlaskClient, who: dict[str, str]) -> int:
    answer = client.get("/api/tokens/balance", headers=who).json
    assert answer is not None
    return int(answer["data"]["held"])


def test_the_dearest_order_that_one_registration_could_place_is_refused(client: FlaskClient, ada: dict[str, str]) -> None:
    answer = ordered(client, ada, FLUX, width=14142, height=14142, num_images=10)

    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["errors"] == [
        {"pointer": "/options/width", "detail": "asks for an image of 200.00 megapixels; at most 4.2 are allowed"}
    ]
    assert held(client, ada) == 0


@pytest.mark.parametrize(
    ("body", "options", "tokens"),
    [
        (FLUX, {}, 100),
        (FLUX, {"width": 2048, "height": 1024}, 100),
        (FLUX, {"width": 2048, "height": 2048}, 140),
        (FLUX, {"width": 2048, "height": 2048, "num_images": 3}, 420),
        (BANANA, {}, 150),
        (BANANA, {"resolution": "4K"}, 300),
        (BANANA, {"enable_web_search": True}, 165),
    ],
)
def test_tokens_follow_cost(client: FlaskClient, ada: dict[str, str], body: dict[str, Any], options: dict[str, Any], tokens: int) -> None:
    answer = ordered(client, ada, body, **options)

    assert answer.status_code == 202, answer.text
    assert held(client, ada) == tokens


def test_tokens_follow_cost_in_batches_and_retries_too(client: FlaskClient, ada: dict[str, str]) -> None:
    item = {"model": "nano-banana-edit", "inputs": BANANA["inputs"], "options": {"resolution": "4K"}}
    job_id = (client.post("/api/images/batch", json={"items": [item] * 2}, headers=ada).json or {})["jobIds"][0]
    batch = held(client, ada)
    client.post(f"/api/jobs/{job_id}/cancel", headers=ada)
    retried = client.post(f"/api/jobs/{job_id}/retry", headers=ada)

    assert (batch, retried.status_code, held(client, ada)) == (600, 202, 900)


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"image_size": {"width": 2100, "height": 2001}}, "/options/image_size"),
        ({"width": 4201, "height": 1000}, "/options/width"),
    ],
)
def test_an_image_above_the_ceiling_is_refused_however_it_is_asked_for(
    client: FlaskClient, ada: dict[str, str], options: dict[str, Any], pointer: str
) -> None:
    answer = client.post(ESTIMATE, json={"model": "flux-dev", "options": options}, headers=ada)
    allowed = client.post(ESTIMATE, json={"model": "flux-dev", "options": {"width": 4200, "height": 1000}}, headers=ada)

    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["errors"][0]["pointer"] == pointer
    assert allowed.status_code == 200


def test_a_resolution_is_no_size(client: FlaskClient, ada: dict[str, str]) -> None:
    answer = client.post(ESTIMATE, json={"model": "nano-banana-edit", "options": {"resolution": "4K"}}, headers=ada)

    assert answer.json == {"costPerImage": 0.3, "totalCost": 0.3, "numImages": 1, "tokens": 300}


def test_nobody_registers_while_registration_is_closed_and_who_has_an_account_logs_in(services: Services) -> None:
    store, keys = AccountStore(services.database), KeyStore(services.database)
    Accounts(accounts=store, keys=keys, signup_tokens=7).register("grace@example.com", "long enough")
    closed = with_parts(services, accounts=Accounts(accounts=store, keys=keys, is_open=False))
    client = create_app(closed.settings, closed).test_client()

    refused = client.post("/api/auth/register", json={"email": "ada@example.com", "password": "long enough"})
    entered = client.post("/api/auth/login", json={"email": "grace@example.com", "password": "long enough"})

    assert refused.status_code == 403
    assert (refused.json or {})["code"] == "registration_closed"
    assert (entered.json or {})["data"]["user"]["tokens"] == 7
    assert services.database["accounts"].count_documents({}) == 1


def test_an_address_registers_and_logs_in_only_so_often(services: Services) -> None:
    narrow = with_parts(services, settings=replace(services.settings, rate_limit_login="2/hour"))
    client = create_app(narrow.settings, narrow).test_client()
    ada = {"email": "ada@example.com", "password": "long enough"}

    answers = [client.post(f"/api/auth/{way}", json=ada) for way in ("register", "login", "login", "register")]
    elsewhere = client.post("/api/auth/login", json=ada, environ_overrides={"REMOTE_ADDR": "192.0.2.7"})

    assert [answer.status_code for answer in answers] == [201, 200, 429, 429]
    assert (answers[2].json or {})["code"] == "rate_limited"
    assert int(answers[2].headers["Retry-After"]) > 0
    assert elsewhere.status_code == 200


@pytest.mark.parametrize(
    ("max_cost", "status"),
    [(0.7999999999999999, 202), (0.8, 202), (16 * 0.05, 202), (0.799999, 400), (1e-7, 400), (0, 400), (-0.8, 400), (1e12, 400)],
)
def test_the_most_a_batch_may_cost_is_compared_as_money(client: FlaskClient, services: Services, max_cost: float, status: int) -> None:
    _, secret = services.accounts.make_key("a script")
    items = [{"model": "flux-pro", "inputs": {"prompt": "x"}}] * 16

    answer = client.post(
        "/api/images/batch", json={"items": items, "userId": "u1", "maxCost": max_cost}, headers={"Authorization": f"Bearer {secret}"}
    )

    assert answer.status_code == status, answer.text
