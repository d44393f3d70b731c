"""Who is told of what: registered endpoints and an order's own hook; the events there are; and when an endpoint is given up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from app.domain.delivery import HookFormat

JOB_EVENTS = ("job.started", "job.completed", "job.failed", "job.canceled")
USUAL_JOB_EVENTS = ("job.completed", "job.failed", "job.canceled")
BATCH_COMPLETED = "batch.completed"
#: What is told to the operator alone, beside what is told to owners.
OPERATOR_EVENTS = ("provider.locked", "costs.drift")
EVENTS = (*JOB_EVENTS, BATCH_COMPLETED, "tokens.low", "budget.threshold", *OPERATOR_EVENTS, "webhook.disabled", "webhook.test")

OPERATOR = "operator"
ANONYMOUS = "anonymous"
MAX_ENDPOINTS = 20
MAX_SECRETS = 2

GIVE_UP_AFTER = timedelta(days=3)
LEAST_FAILURES = 10
MAX_EXHAUSTED = 10
#: How often a success is noted that changes nothing else.
NOTE_SUCCESS_EVERY = timedelta(minutes=1)


class EndpointStatus(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"
    GONE = "gone"


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A signing secret, encrypted. One with `expires_at` has a successor, and signs beside it until then."""

    id: str
    cipher: str
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class EventFilter:
    """What of a job must fit; an event that is not about a job always does. Values of metadata are compared as text."""

    model: str | None = None
    project_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What of an event filters look at."""

    model: str
    project_id: str | None
    metadata: Mapping[str, Any]

    def fits(self, wanted: EventFilter) -> bool:
        return (
            wanted.model in (None, self.model)
            and wanted.project_id in (None, self.project_id)
            and all(_text(self.metadata.get(key)) == value for key, value in wanted.metadata.items())
        )


@dataclass(frozen=True, kw_only=True)
class OrderHook:
    """Where one order's events go. Signed with the default secret of `owner`, who ordered."""

    url: str
    owner: str
    events: tuple[str, ...] = USUAL_JOB_EVENTS
    format: HookFormat = HookFormat.STANDARD


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """`owner` is `user:<id>`, `key:<id>` or `operator`. `headers` are sent along; their values are encrypted.

    What it failed since it last succeeded: `failing_since`, `failures` (attempts), `exhausted` (deliveries that were given up, in a row).
    """

    id: str
    owner: str
    url: str
    events: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    secrets: tuple[Secret, ...] = ()
    description: str | None = None
    filter: EventFilter = field(default_factory=EventFilter)
    include_images: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    status: EndpointStatus = EndpointStatus.ENABLED
    disabled_reason: str | None = None
    failing_since: datetime | None = None
    failures: int = 0
    exhausted: int = 0
    last_success_at: datetime | None = None
    order_key: str | None = None
    """What makes a repeated request to register it the same one, with the fingerprint of that request."""
    fingerprint: str | None = None
    rev: int = 0

    def wants(self, event: str, subject: Subject | None) -> bool:
        is_meant = any(is_named(event, pattern) for pattern in self.events)
        return self.status is EndpointStatus.ENABLED and is_meant and (subject is None or subject.fits(self.filter))

    def succeeded(self, *, now: datetime) -> Endpoint | None:
        """Forget the failures before. None where there is nothing worth a write."""
        is_new = self.last_success_at is None or now - self.last_success_at >= NOTE_SUCCESS_EVERY
        if not (is_new or self.failing_since or self.exhausted):
            return None
        return replace(self, last_success_at=now, failing_since=None, failures=0, exhausted=0)

    def failed(self, *, exhausted: bool, now: datetime) -> Endpoint | None:
        """Count a failed attempt, and disable what has been failing for days. Tests of a disabled endpoint do not count."""
        if self.status is not EndpointStatus.ENABLED:
            return None
        found = replace(
            self,
            failing_since=self.failing_since or now,
            failures=self.failures + 1,
            exhausted=self.exhausted + exhausted,
        )
        if found.exhausted >= MAX_EXHAUSTED:
            return found.disabled(f"{MAX_EXHAUSTED} deliveries in a row were given up", now=now)
        if found.failures >= LEAST_FAILURES and now - (found.failing_since or now) >= GIVE_UP_AFTER:
            return found.disabled(f"nothing was delivered for {GIVE_UP_AFTER.days} days", now=now)
        return found

    def disabled(self, reason: str, *, now: datetime) -> Endpoint | None:
        if self.status is not EndpointStatus.ENABLED:
            return None
        return replace(self, status=EndpointStatus.DISABLED, disabled_reason=reason, updated_at=now)

    def gone(self, *, now: datetime) -> Endpoint | None:
        """Take the receiver's word that it wants nothing more."""
        if self.status is EndpointStatus.GONE:
            return None
        return replace(self, status=EndpointStatus.GONE, disabled_reason="the receiver answered 410", updated_at=now)

    def enabled(self, *, now: datetime) -> Endpoint:
        cleared = replace(self, failing_since=None, failures=0, exhausted=0, disabled_reason=None)
        return replace(cleared, status=EndpointStatus.ENABLED, updated_at=now)


def with_new_secret(secrets: tuple[Secret, ...], new: Secret, *, overlap: timedelta, now: datetime) -> tuple[Secret, ...]:
    """Return the secrets after a rotation, newest first: the one before signs along until the overlap ends, an older one no longer."""
    before = secrets[:1] if overlap > timedelta(0) else ()
    return (new, *(replace(secret, expires_at=now + overlap) for secret in before))[:MAX_SECRETS]


def valid_secrets(secrets: tuple[Secret, ...], *, now: datetime) -> tuple[Secret, ...]:
    return tuple(secret for secret in secrets if secret.expires_at is None or secret.expires_at > now)


def is_named(event: str, pattern: str) -> bool:
    """Tell whether a pattern means an event: its name, `*`, or all of a kind, as `job.*`. Tests go to whom they are for, not by pattern."""
    return pattern in ("*", event) or (pattern.endswith(".*") and event.startswith(pattern[:-1]))


def is_known(pattern: str) -> bool:
    return pattern == "*" or any(is_named(event, pattern) for event in EVENTS)


def _text(value: Any) -> str | None:
    """Return a value of metadata as clients would write it."""
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)
