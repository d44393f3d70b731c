"""One event on its way to one receiver, and its legal changes. Pure: every change returns a new Delivery, or None where it may not happen.

    pending -> delivering -> delivered | pending (again, later) | failed | dropped

A store applies a change by one compare-and-set on `rev`. Who has claimed a delivery and dies leaves `claimed_until` behind: afterwards
another sends it again, under the same id, by which its receiver knows it.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

#: What follows a failed attempt, in seconds: 11 attempts in a little more than three days.
DELAYS_S = (5, 60, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
JITTER = 0.2
LONGEST_RETRY_AFTER_S = 3600.0
#: Longer than an attempt may take: a claim that is older was cut off.
CLAIM = timedelta(seconds=60)
MAX_ATTEMPTS_KEPT = 12
SNIPPET_BYTES = 1024
GONE = 410
TEST = "webhook.test"


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


OPEN = frozenset({DeliveryStatus.PENDING, DeliveryStatus.DELIVERING})


class HookFormat(StrEnum):
    """Whose form the body has: Standard Webhooks', that of fal's own webhooks, signed as those are, too, or Slack's."""

    STANDARD = "standard"
    FAL = "fal"
    SLACK = "slack"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came of one attempt: the receiver's answer, or why there is none (`error`)."""

    status_code: int | None = None
    error: str | None = None
    latency_ms: int = 0
    snippet: str | None = None
    retry_after_s: float | None = None
    aborts: bool = False
    """The receiver asks never to be sent this message again."""

    @property
    def is_away(self) -> bool:
        """Tell whether the receiver could not be reached, or somebody before it says so."""
        return self.status_code in (None, 502, 503, 504)

    @property
    def is_success(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


@dataclass(frozen=True, kw_only=True)
class Attempt:
    at: datetime
    status_code: int | None
    error: str | None
    latency_ms: int
    snippet: str | None


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """`body` is what is signed and sent, made once. `endpoint_id` is None for an order's own hook, which `url` belongs to.

    `lane`: what is sent side by side within one bound. `tries` counts since it was last begun anew, `attempt_count` all.
    """

    id: str
    owner: str
    type: str
    body: str
    url: str
    lane: str
    created_at: datetime
    log_days: int
    endpoint_id: str | None = None
    job_id: str | None = None
    format: HookFormat = HookFormat.STANDARD
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: tuple[Attempt, ...] = ()
    attempt_count: int = 0
    tries: int = 0
    next_at: datetime | None = None
    claimed_until: datetime | None = None
    done_at: datetime | None = None
    reason: str | None = None
    """Why it was given up."""
    rev: int = 0

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def attention_at(self) -> datetime | None:
        """When it is to be sent, or sent again since whoever claimed it must have died; None when nothing is left to do."""
        return {DeliveryStatus.PENDING: self.next_at, DeliveryStatus.DELIVERING: self.claimed_until}.get(self.status)

    @property
    def expires_at(self) -> datetime | None:
        """When it leaves the log."""
        return self.done_at + timedelta(days=self.log_days) if self.done_at else None

    def claimed(self, *, now: datetime) -> Delivery | None:
        """Win the right to send it once. None where it is not due, or another is sending it."""
        if self.attention_at is None or self.attention_at > now:
            return None
        return replace(self, status=DeliveryStatus.DELIVERING, claimed_until=now + CLAIM, next_at=None)

    def attempted(self, reply: Reply, *, now: datetime, jitter: float) -> Delivery | None:
        """Write down an attempt and what follows from it; `jitter` from -1 to 1 spreads what failed together."""
        if self.status is not DeliveryStatus.DELIVERING:
            return None
        attempt = Attempt(at=now, **{name: getattr(reply, name) for name in ("status_code", "error", "latency_ms", "snippet")})
        kept = (*self.attempts, attempt)[-MAX_ATTEMPTS_KEPT:]
        tried = replace(self, attempts=kept, attempt_count=self.attempt_count + 1, tries=self.tries + 1, claimed_until=None)
        if reply.is_success:
            return replace(tried, status=DeliveryStatus.DELIVERED, done_at=now, reason=None)
        if reply.status_code == GONE:
            return tried.ended(DeliveryStatus.DROPPED, "the receiver answered 410: it wants nothing more", now=now)
        if reply.aborts:
            return tried.ended(DeliveryStatus.FAILED, "the receiver asked for no further attempt of this message", now=now)
        if self.type == TEST or tried.tries > len(DELAYS_S):
            return tried.ended(DeliveryStatus.FAILED, "every attempt failed", now=now)
        return replace(tried, status=DeliveryStatus.PENDING, next_at=now + timedelta(seconds=_delay_s(tried.tries, reply, jitter)))

    def put_off(self, *, until: datetime) -> Delivery | None:
        """Give a claim back: nothing was sent."""
        return replace(self, status=DeliveryStatus.PENDING, claimed_until=None, next_at=until) if self.is_open else None

    def ended(self, status: DeliveryStatus, reason: str, *, now: datetime) -> Delivery | None:
        if not self.is_open:
            return None
        return replace(self, status=status, reason=reason, done_at=now, next_at=None, claimed_until=None)

    def redelivered(self, *, now: datetime) -> Delivery | None:
        """Begin anew, after success too, under the same id. None while it is being sent."""
        if self.status is DeliveryStatus.DELIVERING:
            return None
        return replace(self, status=DeliveryStatus.PENDING, tries=0, next_at=now, done_at=None, reason=None)


def delivery_id(key: str, event: str, target: str) -> str:
    """Return the id that is always the same for one event and one receiver: to write it twice is to write it once. It has no dot."""
    digest = hashlib.sha256(f"{key}|{event}|{target}".encode("utf-8", "surrogatepass")).digest()
    return "msg_" + base64.b32encode(digest).decode().lower()[:26]


def _delay_s(tries: int, reply: Reply, jitter: float) -> float:
    """Return how long to wait after the failed attempt of this number; a receiver that is busy may say so itself."""
    if reply.retry_after_s is not None and reply.status_code in (429, 502, 503, 504):
        return min(max(1.0, reply.retry_after_s), LONGEST_RETRY_AFTER_S)
    return DELAYS_S[tries - 1] * (1 + JITTER * jitter)
