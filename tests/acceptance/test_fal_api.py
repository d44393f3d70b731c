"""fal's own API as its clients call it, with plain HTTP: what is asked of it, what it answers, and what it refuses."""

from __future__ import annotations

import pytest

from tests.acceptance.service import Service, a_prompt
from tests.support.fal_client import FLUX_APP, SMALL, Fal


@pytest.fixture
def fal(service: Service) -> Fal:
    return Fal(service)


def test_a_submit_is_answered_with_the_addresses_that_fals_clients_follow(service: Service, fal: Fal) -> None:
    answer = fal.submit({"prompt": a_prompt(), **SMALL})

    body = answer.json()
    base = f"{service.stack.base_url}/fal/queue/{FLUX_APP}/requests/{body['request_id']}"
    assert answer.status_code == 200
    assert body == {
        "status": "IN_QUEUE",
        "request_id": body["request_id"],
        "queue_position": 0,
        "response_url": base,
        "status_url": f"{base}/status",
        "cancel_url": f"{base}/cancel",
        "logs": None,
        "metrics": {},
        "gateway_request_id": body["request_id"],
    }
    assert answer.headers["x-fal-request-id"] == body["request_id"]
    assert service.document(body["request_id"])["userId"] == f"key:{fal.key.id}"


def test_a_request_is_followed_to_its_output(service: Service, fal: Fal) -> None:
    request_id = fal.submitted()

    ended = fal.ended(request_id)
    results = [fal.request(request_id), fal.request(request_id, "/response")]

    assert ended["logs"] is None
    assert ended["metrics"]["inference_time"] > 0
    assert "error" not in ended
    for result in results:
        assert (result.status_code, result.headers["x-fal-request-id"]) == (200, request_id)
        picture = result.json()["images"][0]
        assert service.client.get(picture["url"]).status_code == 200
        assert (picture["width"], picture["height"]) == (512, 512)


def test_a_run_waits_for_the_output(service: Service, fal: Fal) -> None:
    answer = fal.run({"prompt": a_prompt(), **SMALL})

    assert answer.status_code == 200, answer.text
    assert service.client.get(answer.json()["images"][0]["url"]).status_code == 200
    assert service.document(answer.headers["x-fal-request-id"])["status"] == "completed"
