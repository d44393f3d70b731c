"""The ways to fal's API beside `/fal`: the JavaScript client's `proxyUrl`, and a host name that begins with `queue.`."""

from __future__ import annotations

import pytest

from tests.acceptance.service import Service, a_prompt
from tests.support.fal_client import FLUX, FLUX_APP, SMALL, Fal

QUEUE = "https://queue.fal.run"


@pytest.fixture
def fal(service: Service) -> Fal:
    return Fal(service)


def test_what_the_javascript_client_means_is_answered_at_the_proxys_one_address(service: Service, fal: Fal) -> None:
    requests = f"{QUEUE}/{FLUX_APP}/requests"

    submitted = fal.proxied("POST", f"{QUEUE}/{FLUX}?fal_beta=1", json={"prompt": a_prompt(), **SMALL})
    request_id = submitted.json()["request_id"]
    fal.ended(request_id)
    status = fal.proxied("GET", f"{requests}/{request_id}/status?logs=1")
    result = fal.proxied("GET", f"{requests}/{request_id}")
    cancelled = fal.proxied("PUT", f"{requests}/{request_id}/cancel")
    run = fal.proxied("POST", f"https://fal.run/{FLUX}", json={"prompt": a_prompt(), **SMALL})
    upload = fal.proxied(
        "POST",
        "https://rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3",
        json={"file_name": "a.png", "content_type": "image/png"},
    )

    assert submitted.headers["x-gateway-ignored"] == "fal_beta"
    assert {"message", "timestamp", "level", "source"} == status.json()["logs"][0].keys()
    assert service.client.get(result.json()["images"][0]["url"]).status_code == 200
    assert result.headers["x-fal-request-id"] == request_id
    assert (cancelled.status_code, cancelled.json()["status"]) == (400, "ALREADY_COMPLETED")
    assert run.status_code == 200
    assert upload.json().keys() == {"upload_url", "file_url"}


@pytest.mark.parametrize(
    "target",
    [
        "http://queue.fal.run/fal-ai/flux-pro/v1.1",
        "https://queue.fal.run.example.com/fal-ai/flux-pro/v1.1",
        "https://queue.fal.run@example.com/fal-ai/flux-pro/v1.1",
        "https://user:secret@queue.fal.run/fal-ai/flux-pro/v1.1",
        "https://queue.fal.run:8443/fal-ai/flux-pro/v1.1",
        "https://example.com/fal-ai/flux-pro/v1.1",
        "https://169.254.169.254/latest/meta-data",
        "//queue.fal.run/fal-ai/flux-pro/v1.1",
        "/fal-ai/flux-pro/v1.1",
        "file:///etc/passwd",
        "https://queue.fal.run/../../api/images/generate",
        "https://queue.fal.run/%2e%2e/api/images/generate",
        "https://queue.fal.run//fal-ai/flux-pro/v1.1",
        "https://queue.fal.run/fal-ai\\flux-pro",
        "https://queue.fal.run/fal-ai/flux-pro/v1.1#fragment",
        "https://fal.run/queue/fal-ai/flux-pro/v1.1",
        "https://[::1/fal-ai",
        "https://queue.fal.run",
        "nonsense",
    ],
)
def test_a_forged_target_is_refused_and_nothing_is_asked_of_it(service: Service, fal: Fal, target: str) -> None:
    before = service.footprint()

    answer = fal.proxied("POST", target, json={"prompt": a_prompt(), **SMALL})

    assert answer.status_code == 400
    assert "x-fal-target-url" in answer.json()["detail"]
    assert answer.headers["x-fal-request-id"]
    assert service.footprint() == before


def test_the_proxy_says_what_it_lacks(service: Service, fal: Fal) -> None:
    without_target = fal.ask("POST", "/api/fal/proxy", json={"prompt": a_prompt()})
    wrong_key = service.client.post(
        "/api/fal/proxy",
        json={"prompt": a_prompt()},
        headers={"Authorization": "Key nonsense", "x-fal-target-url": f"{QUEUE}/{FLUX}"},
    )

    assert (without_target.status_code, "x-fal-target-url" in without_target.json()["detail"]) == (400, True)
    assert (wrong_key.status_code, list(wrong_key.json())) == (401, ["detail", "error_type"])


def test_the_queues_own_host_name_leads_to_the_queue(service: Service, fal: Fal) -> None:
    host = f"queue.localhost:{service.stack.base_url.rpartition(':')[2]}"
    paths = {}

    for prefix in ("", "/fal", "/fal/queue"):
        answer = fal.ask("POST", f"{prefix}/{FLUX}", json={"prompt": a_prompt(), **SMALL}, headers={"Host": host})
        paths[prefix] = (answer.status_code, answer.json().get("detail") or answer.json().get("status"))
    other = fal.ask("GET", "/healthz", headers={"Host": host})

    assert paths == dict.fromkeys(("", "/fal", "/fal/queue"), (200, "IN_QUEUE"))
    assert other.status_code == 200
