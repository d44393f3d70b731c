"""`fal_webhook`: a script that was written for fal's own webhooks is told in fal's form, signed by keys that the gateway publishes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from app.clients.fal.webhooks import WebhookVerifier
from imagegen.cli import cli
from tests.acceptance.service import Service, a_prompt
from tests.support.fal_client import FLUX, SMALL, Fal
from tests.support.receiver import Call, Receiver, running_receiver


@pytest.fixture
def fal(service: Service) -> Fal:
    return Fal(service)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


def submitted(fal: Fal, receiver: Receiver, prompt: str) -> str:
    answer = fal.submit({"prompt": prompt, **SMALL}, f"{FLUX}?fal_webhook={quote(receiver.url(), safe='')}")
    assert answer.status_code == 200, answer.text
    assert "x-gateway-ignored" not in answer.headers
    return str(answer.json()["request_id"])


def verify(service: Service, call: Call) -> str:
    """Verify a webhook as a receiver of fal's does; return whose it says it is."""
    verifier = WebhookVerifier(f"{service.stack.base_url}/fal/.well-known/jwks.json")
    return verifier.verify(call.headers, call.body, now_s=time.time())


def test_the_end_of_a_request_is_told_as_fal_tells_it(service: Service, fal: Fal, receiver: Receiver) -> None:
    request_id = submitted(fal, receiver, a_prompt())

    (call,) = receiver.wait()

    assert verify(service, call) == f"key:{fal.key.id}"
    assert call.headers["x-fal-webhook-request-id"] == request_id
    assert call.said.keys() == {"request_id", "gateway_request_id", "status", "payload"}
    assert (call.said["request_id"], call.said["status"]) == (request_id, "OK")
    assert call.said["payload"]["images"][0]["file_size"] == fal.request(request_id).json()["images"][0]["file_size"]


def test_the_callers_own_secret_which_imagegen_asks_for_verifies_it_too(
    service: Service, fal: Fal, receiver: Receiver, tmp_path: Path
) -> None:
    submitted(fal, receiver, a_prompt())
    (call,) = receiver.wait()
    (body := tmp_path / "body").write_bytes(call.body)
    told = [word for name in ("id", "timestamp", "signature") for word in (f"--{name}", call.headers[f"webhook-{name}"])]

    command = ["webhook-verify", str(body), *told, "--server", service.stack.base_url, "--key", fal.text]
    done = CliRunner().invoke(cli, command, standalone_mode=False)

    assert (done.return_value, done.stdout) == (0, f"{call.id} is genuine\n")


def test_a_request_that_failed_is_told_with_fals_status_and_words(service: Service, fal: Fal, receiver: Receiver) -> None:
    request_id = submitted(fal, receiver, f"{a_prompt()} [emulator: fail=content_policy]")

    (call,) = receiver.wait()

    result = fal.request(request_id)
    assert (call.said["status"], call.said["error"]) == ("ERROR", f"Invalid status code: {result.status_code}")
    assert call.said["payload"] == result.json()


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/hook", "http://10.0.0.1/hook", "http://169.254.169.254/", "https://user:secret@example.com/"]
)
def test_an_address_that_nothing_may_be_posted_to_is_refused_in_fals_shape_and_nothing_is_bought(
    service: Service, fal: Fal, url: str
) -> None:
    prompt = a_prompt()

    answer = fal.submit({"prompt": prompt, **SMALL}, f"{FLUX}?fal_webhook={quote(url, safe='')}")

    (problem,) = answer.json()["detail"]
    assert (answer.status_code, problem["loc"]) == (422, ["body", "fal_webhook"])
    assert service.posts(prompt) == []
