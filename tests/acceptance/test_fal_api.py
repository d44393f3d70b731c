"""fal's own API as its clients call it, with plain HTTP: what is asked of it, what it answers, and what it refuses."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.domain.api_key import KeyTerms
from tests.acceptance.people import accounts_of
from tests.acceptance.service import Answer, Service, a_prompt, wait_until

FLUX = "fal-ai/flux-pro/v1.1"
FLUX_APP = "fal-ai/flux-pro"
SMALL = {"image_size": "square"}


class Fal:
    """A client of fal's that holds one of our keys."""

    def __init__(self, service: Service, terms: KeyTerms = KeyTerms()) -> None:  # noqa: B008 - a frozen value
        self.service = service
        self.key, self.text = accounts_of(service).make_key("a client of fal's", terms)
        self.headers = {"Authorization": f"Key {self.text}"}

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        return self.service.client.request(method, f"/fal{path}", headers=headers, **more)

    def submit(self, arguments: Answer, app: str = FLUX, **headers: str) -> httpx.Response:
        return self.ask("POST", f"/queue/{app}", json=arguments, headers=headers)

    def run(self, arguments: Answer, app: str = FLUX, **headers: str) -> httpx.Response:
        return self.ask("POST", f"/{app}", json=arguments, headers=headers)

    def request(self, request_id: str, rest: str = "", method: str = "GET") -> httpx.Response:
        return self.ask(method, f"/queue/{FLUX_APP}/requests/{request_id}{rest}")

    def submitted(self, prompt: str | None = None) -> str:
        answer = self.submit({"prompt": prompt or a_prompt(), **SMALL})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["request_id"])

    def ended(self, request_id: str) -> Answer:
        def over() -> Answer | None:
            answer = self.request(request_id, "/status")
            assert answer.status_code in (200, 202), answer.text
            body: Answer = answer.json()
            return body if body["status"] == "COMPLETED" else None

        return wait_until(over, 30, f"the end of {request_id}")


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
