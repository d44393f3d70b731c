"""How a delivery is signed: Standard Webhooks 1.0, by each secret that is valid now."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from app.domain.delivery import Delivery
from app.services.deliveries.secrets import PREFIX

#: Returns the headers that a delivery is sent with at a time, given the secrets of its receiver.
Signer = Callable[[Delivery, Sequence[str], datetime], Mapping[str, str]]


def standard_headers(delivery: Delivery, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """Return id, time of this attempt, and one signature for each secret, newest first."""
    seconds = int(at.timestamp())
    signed = f"{delivery.id}.{seconds}.{delivery.body}".encode()
    found = [base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode() for secret in secrets]
    return {
        "webhook-id": delivery.id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in found),
    }


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))
