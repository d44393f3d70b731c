"""Webhooks in fal's form: our own verifier of fal's webhooks takes them, and every process has the same keys."""

from __future__ import annotations

import base64
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.clients.fal.webhooks import WebhookVerifier
from app.clients.storage import LocalStorage
from app.domain.delivery import Delivery
from app.domain.errors import Misconfigured, Unauthorized
from app.domain.event import Event
from app.domain.fal_request import Failure
from app.domain.job import Job
from app.services.deliveries.fal_form import FalSigner, FalSpelling
from tests.support.factories import after, canceled_job, certain, completed_job, submitted_job

NOW = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
SECRET = "s" * 32


def delivery(body: str = '{"prompt": "Käthe"}') -> Delivery:
    return Delivery(
        id="msg_1",
        owner="user:Käthe\n",
        type="job.completed",
        body=body,
        url="https://example.com",
        lane="",
        created_at=NOW,
        log_days=1,
        job_id="a-job",
    )


def verifier(jwks: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> WebhookVerifier:
    """Return what verifies fal's webhooks here, with these keys in place of those that it would fetch."""
    keys = tuple(Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "==")) for key in jwks["keys"])
    monkeypatch.setattr(WebhookVerifier, "_fetched", lambda self: keys)
    return WebhookVerifier("https://gateway.example.com/fal/.well-known/jwks.json")


def test_a_receiver_of_fals_webhooks_takes_ours_by_our_published_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = FalSigner(SECRET).headers(delivery(), NOW)

    user_id = verifier(FalSigner(SECRET).jwks(now=NOW), monkeypatch).verify(headers, delivery().body.encode(), now_s=NOW.timestamp())

    assert user_id == "user:K%C3%A4the%0A"
    assert headers["X-Fal-Webhook-Request-Id"] == "a-job"


def test_it_takes_no_other_body(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = FalSigner(SECRET).headers(delivery(), NOW)

    with pytest.raises(Unauthorized):
        verifier(FalSigner(SECRET).jwks(now=NOW), monkeypatch).verify(headers, b"{}", now_s=NOW.timestamp())


def test_the_key_changes_with_the_month_and_is_published_a_month_before(monkeypatch: pytest.MonkeyPatch) -> None:
    signer, later = FalSigner(SECRET), NOW + timedelta(seconds=1)
    kept = verifier(signer.jwks(now=NOW), monkeypatch)

    kept.verify(signer.headers(delivery(), later), delivery().body.encode(), now_s=later.timestamp())

    assert [key["kid"] for key in signer.jwks(now=NOW)["keys"]] == ["2026-11", "2026-12"]
    assert [key["kid"] for key in signer.jwks(now=later)["keys"]] == ["2026-12", "2027-01"]


def test_another_secret_makes_other_keys_and_none_makes_none() -> None:
    (ours, _), (theirs, _) = (FalSigner(secret).jwks(now=NOW)["keys"] for secret in (SECRET, "t" * 32))

    assert ours["x"] != theirs["x"]
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(theirs["x"] + "==")).verify(
            bytes.fromhex(FalSigner(SECRET).headers(delivery(), NOW)["X-Fal-Webhook-Signature"]), b""
        )
    with pytest.raises(Misconfigured):
        FalSigner("").jwks(now=NOW)


def spelled(job: Job, tmp_path: Path) -> dict[str, Any]:
    event = Event(type=f"job.{job.status.value}", key=job.id, owners=(), at=NOW, data=dict, job=job)
    found: dict[str, Any] = json.loads(FalSpelling(storage=LocalStorage(tmp_path, "https://gateway.example.com/files"))(event, {}))
    return found


def test_a_completed_job_is_spelled_with_its_output_and_links_to_our_storage(tmp_path: Path) -> None:
    job = completed_job()

    body = spelled(job, tmp_path)

    (image,) = body["payload"]["images"]
    assert (body["request_id"], body["gateway_request_id"], body["status"]) == (job.id, job.id, "OK")
    assert image["url"].startswith("https://gateway.example.com/files/generated-images/")


def test_a_failed_job_is_spelled_with_fals_own_status_and_words(tmp_path: Path) -> None:
    problems = [{"loc": ["body", "prompt"], "msg": "too rude", "type": "content_policy_violation"}]
    failure = Failure(
        "generation_failed", "fal.ai: too rude", {"falStatus": 422, "problems": problems, "falErrorType": "content_policy_violation"}
    )
    job = certain(submitted_job().request_failed(0, failure, now=after(2)))

    body = spelled(job, tmp_path)

    assert (body["status"], body["error"]) == ("ERROR", "Invalid status code: 422")
    assert body["payload"]["detail"] == problems


def test_a_canceled_job_is_an_error_too(tmp_path: Path) -> None:
    body = spelled(dataclasses.replace(canceled_job()), tmp_path)

    assert (body["status"], body["error"]) == ("ERROR", "Invalid status code: 499")
