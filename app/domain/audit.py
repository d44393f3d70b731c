"""Who changed what on the operator's side, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.domain.clock import rfc3339


class Action(StrEnum):
    """What operators do. The names are a promise to whoever reads the log: they are added to, never changed."""

    USER_CREATE = "user.create"
    USER_CHANGE = "user.change"
    USER_DATA_DELETE = "user.data_delete"
    TOKENS_TOPUP = "tokens.topup"
    BUDGET_SET = "budget.set"
    BUDGET_REMOVE = "budget.remove"
    KEY_CREATE = "key.create"
    KEY_CHANGE = "key.change"
    KEY_REVOKE = "key.revoke"
    JOB_CANCEL = "job.cancel"
    JOB_RETRY = "job.retry"
    JOB_DELETE = "job.delete"
    JOB_REFRESH = "job.refresh"
    JOBS_RETRY = "jobs.retry"
    COSTS_RECONCILE = "costs.reconcile"
    MODEL_IMPORT = "model.import"
    MODEL_SAVE = "model.save"
    WEBHOOK_DISABLE = "webhook.disable"
    WEBHOOK_REDELIVER = "webhook.redeliver"
    WEBHOOK_RECOVER = "webhook.recover"


class Outcome(StrEnum):
    """`refused`: nothing was changed, and the caller was told why. `failed`: an error of ours or of fal's; it may have happened in part."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True)
class Actor:
    """Who acts: `user:<id>` with the address, `key:<id>` with the key's name, or `cli:<user of the operating system>`."""

    id: str
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One change: written before it is made, its outcome noted afterwards, once. Without an outcome nobody lived to tell it.

    `subject` is what was changed: `user:<id>`, `key:<id>`, `job:<id>`, `model:<name>` and the like. `details` are what was asked for, and
    `result` what came of it; neither ever holds a secret.
    """

    id: str
    at: datetime
    actor_id: str
    actor_name: str | None
    action: Action
    subject: str
    details: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None
    ended_at: datetime | None = None
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AuditFilter:
    """None means any. Times are of the entry, the start included and the end not."""

    actor: str | None = None
    action: Action | None = None
    subject: str | None = None
    outcome: Outcome | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


def changes_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs, as `{name: {"from": …, "to": …}}`."""
    return {name: {"from": before.get(name), "to": value} for name, value in after.items() if before.get(name) != value}


def plain(value: Any) -> Any:
    """Return what is noted of a change as JSON has it: times in words, tuples as lists. The log is read and exported as JSON."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value
