"""fal's webhooks: whether they arrive at all, and whose they are.

A signature is ED25519 over request id, user id, timestamp and hex SHA-256 of the raw body, one a line.
Source: fal.ai docs, "Webhooks" (read 2026-09).
It is not HMAC and there is no shared secret; the public keys come from fal's JWKS, kept for an hour at most.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from redis import Redis
from redis.exceptions import RedisError

from app.domain.errors import Unauthorized

log = logging.getLogger(__name__)

MAX_SKEW_S = 300
#: Python refuses to read a number of thousands of digits.
TIMESTAMP = re.compile(r"[0-9]{1,12}")
SIGNATURE = re.compile(r"[0-9A-Fa-f]{128}")
#: Keys are asked for again after FRESH_S; those that fal has not named for KEYS_LIFETIME_S are forgotten.
FRESH_S, KEYS_LIFETIME_S = 1800, 3600
#: A signature no known key fits may mean new keys; a flood of forgeries must not mean a flood of look-ups.
REFRESH_PAUSE_S = 60
FORGED = "The webhook's signature does not fit"


ARRIVED_KEY = "imagegw:fal-webhook-seen"
TRUST_S = 60


class WebhookArrivals:
    """Whether fal's webhooks reach us, known to all processes through Redis: while they do, polling may slow down."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def note(self) -> None:
        """Note that one has reached us."""
        try:
            self._redis.set(ARRIVED_KEY, 1, ex=TRUST_S)
        except RedisError:
            log.debug("webhook not noted", exc_info=True)

    def are_recent(self) -> bool:
        """Tell whether one reached us within the last minute."""
        try:
            return bool(self._redis.exists(ARRIVED_KEY))
        except RedisError:
            return False


@dataclass
class _Keys:
    keys: tuple[Ed25519PublicKey, ...] = ()
    fetched_at: float = float("-inf")
    tried_at: float = float("-inf")


@dataclass
class WebhookVerifier:
    jwks_url: str
    clock: Callable[[], float] = time.monotonic
    _cache: _Keys = field(default_factory=_Keys, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def check_head(self, headers: Mapping[str, str], *, now_s: float) -> None:
        """Raise Unauthorized where the headers alone show that fal has not signed this now: then nobody need read the body."""
        lower = {name.lower(): value for name, value in headers.items()}
        timestamp, signature = (lower.get(f"x-fal-webhook-{name}", "") for name in ("timestamp", "signature"))
        is_now = TIMESTAMP.fullmatch(timestamp) and abs(now_s - int(timestamp)) <= MAX_SKEW_S
        if not is_now or not SIGNATURE.fullmatch(signature):
            raise Unauthorized(FORGED)

    def verify(self, headers: Mapping[str, str], body: bytes, *, now_s: float) -> str:
        """Return for which of its users fal has signed exactly this body within the last five minutes. Raises Unauthorized."""
        lower = {name.lower(): value for name, value in headers.items()}
        request_id, user_id, timestamp, signature = (
            lower.get(f"x-fal-webhook-{name}", "") for name in ("request-id", "user-id", "timestamp", "signature")
        )
        self.check_head(headers, now_s=now_s)
        signed = bytes.fromhex(signature)
        message = "\n".join([request_id, user_id, timestamp, hashlib.sha256(body).hexdigest()]).encode()
        if not self._fits(signed, message):
            raise Unauthorized(FORGED)
        return user_id

    def _fits(self, signature: bytes, message: bytes) -> bool:
        if _any_fits(self._current(max_age_s=FRESH_S), signature, message):
            return True
        return _any_fits(self._current(max_age_s=REFRESH_PAUSE_S), signature, message)

    def _current(self, *, max_age_s: float) -> tuple[Ed25519PublicKey, ...]:
        """Return fal's keys, asked for anew above an age. What could not be asked for again is forgotten in time: it may be retired."""
        with self._lock:
            cache, now = self._cache, self.clock()
            if now - cache.fetched_at > max_age_s and now - cache.tried_at > REFRESH_PAUSE_S:
                fetched = self._fetched()
                cache = _Keys(fetched, now, now) if fetched else replace(cache, tried_at=now)
            if now - cache.fetched_at > KEYS_LIFETIME_S:
                cache = replace(cache, keys=())
            self._cache = cache
            return cache.keys

    def _fetched(self) -> tuple[Ed25519PublicKey, ...]:
        try:
            response = httpx.get(self.jwks_url, timeout=5, follow_redirects=False)
            response.raise_for_status()
            entries = response.json()["keys"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            log.warning("fal's webhook keys cannot be fetched", exc_info=True)
            return ()
        return tuple(key for entry in entries if (key := _public_key(entry)))


def _public_key(entry: Any) -> Ed25519PublicKey | None:
    if not isinstance(entry, dict) or entry.get("kty") != "OKP" or entry.get("crv") != "Ed25519":
        return None
    try:
        raw = base64.urlsafe_b64decode(str(entry.get("x")) + "==")
        return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        return None


def _any_fits(keys: tuple[Ed25519PublicKey, ...], signature: bytes, message: bytes) -> bool:
    for key in keys:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            continue
        return True
    return False
