"""Whether a webhook is the gateway's own: Standard Webhooks 1.0.0, `v1` (HMAC-SHA256 over id, timestamp and the body as it came)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping

from imagegen.outcomes import WrongCall

TOLERANCE_S = 300
PREFIX = "whsec_"
TIMESTAMP = re.compile(r"[0-9]{1,12}")


class Forged(Exception):
    """The message is the reason, for people."""


def key_of(secret: str) -> bytes:
    """Return a secret's bytes. Raises WrongCall for what is no secret; says nothing of what was typed."""
    text = secret.strip().removeprefix(PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise WrongCall(f"A webhook's secret is {PREFIX} and base64")
    return key


def verify(headers: Mapping[str, str], body: bytes, keys: Iterable[bytes], *, now_s: float, tolerance_s: float | None = TOLERANCE_S) -> str:
    """Return the webhook's id where one of the keys has signed exactly this body, now. Raises Forged.

    Header names may be spelled in any case. `tolerance_s` None takes a webhook of any age.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (lower.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    missing = [f"webhook-{name}" for name in ("id", "timestamp", "signature") if not lower.get(f"webhook-{name}")]
    if missing:
        raise Forged(f"without the header {missing[0]}")
    if not TIMESTAMP.fullmatch(timestamp):
        raise Forged("webhook-timestamp is no number of seconds")
    if tolerance_s is not None and abs(now_s - int(timestamp)) > tolerance_s:
        raise Forged(f"webhook-timestamp is {abs(now_s - int(timestamp)):.0f} seconds off: it is old, or one of the clocks is wrong")
    signed = f"{message_id}.{timestamp}.".encode() + body
    ours = [b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys]
    theirs = [each.encode(errors="replace") for each in signatures.split()]
    if not any(hmac.compare_digest(our, their) for our in ours for their in theirs):
        raise Forged("the signature does not fit: another secret, or the body was changed on its way")
    return message_id
