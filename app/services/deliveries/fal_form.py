"""Webhooks in fal's own form, for scripts that were written for fal: its body, its headers, and a signature by a published key of ours.

The keys follow from the service's secret and the month, so all processes have the same ones and none is kept. The key of the coming month
is published, too: receivers may keep what they have read for as long.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from attrs import define
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.clients.storage import Storage
from app.domain.budget import month_of
from app.domain.delivery import Delivery
from app.domain.errors import Misconfigured
from app.domain.event import Event
from app.domain.fal_answer import failed_answer, output_of
from app.domain.job import Job, JobStatus
from app.domain.seal import unpadded
from app.services.deliveries.secrets import derived_key


@define(eq=False, slots=False, kw_only=True)
class FalSpelling:
    _storage: Storage

    def __call__(self, event: Event, _data: Mapping[str, Any]) -> str:
        """Return what fal would post when a job has ended."""
        if event.job is None:
            raise TypeError(f"fal has no words for {event.type}")
        body = {"request_id": event.job.id, "gateway_request_id": event.job.id, **self._outcome(event.job)}
        return json.dumps(body, separators=(",", ":"))

    def _outcome(self, job: Job) -> dict[str, Any]:
        if job.status is JobStatus.COMPLETED:
            return {"status": "OK", "payload": output_of(job, self._storage.url)}
        status, error_type, detail = failed_answer(job)
        return {"status": "ERROR", "error": f"Invalid status code: {status}", "payload": {"detail": detail, "error_type": error_type}}


class FalSigner:
    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._keys: dict[str, Ed25519PrivateKey] = {}

    def headers(self, delivery: Delivery, at: datetime) -> dict[str, str]:
        """Return fal's headers of a delivery. Raises Misconfigured where there is no secret."""
        request_id, user_id, timestamp = delivery.job_id or delivery.id, quote(delivery.owner, safe=":-_.@"), str(int(at.timestamp()))
        digest = hashlib.sha256(delivery.body.encode()).hexdigest()
        signed = f"{request_id}\n{user_id}\n{timestamp}\n{digest}".encode()
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": user_id,
            "X-Fal-Webhook-Timestamp": timestamp,
            "X-Fal-Webhook-Signature": self._key_of(month_of(at)).sign(signed).hex(),
        }

    def jwks(self, *, now: datetime) -> dict[str, Any]:
        """Return the public keys of this month and the next, as a JSON Web Key Set. Raises Misconfigured."""
        coming = now.replace(day=1) + timedelta(days=32)
        return {"keys": [self._jwk(month) for month in (month_of(now), month_of(coming))]}

    def _jwk(self, month: str) -> dict[str, str]:
        public = self._key_of(month).public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": month, "x": unpadded(public)}

    def _key_of(self, month: str) -> Ed25519PrivateKey:
        if not self._secret:
            raise Misconfigured("Webhooks need SECRETS_KEY, or JWT_SECRET, in every process")
        if month not in self._keys:
            seed = derived_key(self._secret, f"imagegw fal webhooks {month}")
            self._keys = {**dict(list(self._keys.items())[-2:]), month: Ed25519PrivateKey.from_private_bytes(seed)}
        return self._keys[month]
