"""Every way of ordering takes `retainDays`, as a part of what is ordered."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import create_app
from tests.support.factories import picture
from tests.support.gateway import Gateway
from tests.support.services import with_parts

BODY = {"model": "flux-dev", "inputs": {"prompt": "a red bicycle"}, "userId": "user-1"}


@pytest.fixture
def client(gateway: Gateway) -> FlaskClient:
    services = with_parts(gateway.services, settings=dataclasses.replace(gateway.services.settings, allow_anonymous=True))
    return create_app(services.settings, services).test_client()


def kept(gateway: Gateway) -> list[int | None]:
    return [doc.get("retainDays") for doc in gateway.services.database["jobs"].find().sort("_id")]


def test_scripts_batches_and_retries(gateway: Gateway, client: FlaskClient) -> None:
    one = client.post("/api/images/generate", json={**BODY, "async": True, "retainDays": 3})
    client.post(
        "/api/images/batch", json={"items": [{name: BODY[name] for name in ("model", "inputs")}] * 2, "userId": "user-1", "retainDays": 4}
    )
    client.post("/api/images/generate", json={**BODY, "async": True})
    client.post(f"/api/jobs/{one.get_json()['jobId']}/cancel")
    client.post(f"/api/jobs/{one.get_json()['jobId']}/retry")

    assert kept(gateway) == [3, 4, 4, None, 3]
    assert client.get(f"/api/jobs/{one.get_json()['jobId']}").get_json()["retainDays"] == 3


def test_the_web_app_and_openais_clients(gateway: Gateway, client: FlaskClient) -> None:
    token = client.post("/api/auth/register", json={"email": "ada@example.com", "password": "correct horse"}).get_json()["data"]["token"]
    headers = {"Authorization": f"Bearer {token}"}
    form = {"prompt": "a portrait of her", "referenceType": "face", "retainDays": "6", "image": (io.BytesIO(picture()), "me.png")}

    answers = [
        client.post("/api/generate/text-to-image", headers=headers, json={"prompt": "a lighthouse", "retainDays": 5}),
        client.post("/api/generate/image-reference", headers=headers, data=form),
        client.post("/v1/images/generations", headers=headers, json={"prompt": "a lighthouse", "async": True, "retainDays": 7}),
    ]

    assert [answer.status_code for answer in answers] == [202] * 3, [answer.text for answer in answers]
    assert kept(gateway) == [5, 6, 7]
    assert gateway.services.database["uploads"].find_one()["orderOnly"] is True  # type: ignore[index]


def test_it_is_part_of_what_an_idempotency_key_stands_for(gateway: Gateway, client: FlaskClient) -> None:
    def order(**more: Any) -> int:
        return client.post("/api/images/generate", json={**BODY, "async": True, **more}, headers={"Idempotency-Key": "k-1"}).status_code

    assert [order(retainDays=3), order(retainDays=3), order(retainDays=4), order()] == [202, 202, 400, 400]
    assert kept(gateway) == [3]


@pytest.mark.parametrize("days", [0, -1, 1.5, True, None, "soon", 36501, 10**30, [1], {"$gt": 0}])
def test_a_number_of_days_that_is_none_is_refused(gateway: Gateway, client: FlaskClient, days: Any) -> None:
    answer = client.post("/api/images/generate", json={**BODY, "async": True, "retainDays": days})

    assert (answer.status_code, answer.get_json()["errors"][0]["pointer"]) == (400, "/retainDays")
    assert kept(gateway) == []
