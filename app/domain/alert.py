"""What owners and the operator are warned of, once for each rule and period. Pure: when there is something to say, and what.

`key` names rule and period, and from it follow the deliveries' ids: however often and by however many processes a warning is found, each
receiver is told once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from app.domain.budget import Budget, month_of
from app.domain.clock import rfc3339
from app.domain.endpoint import OPERATOR, Endpoint
from app.domain.pricing import usd, usd_text

TOKENS_LOW, BUDGET_THRESHOLD = "tokens.low", "budget.threshold"
PROVIDER_LOCKED, COSTS_DRIFT, WEBHOOK_DISABLED = "provider.locked", "costs.drift", "webhook.disabled"
ALERTS = (TOKENS_LOW, BUDGET_THRESHOLD, PROVIDER_LOCKED, COSTS_DRIFT, WEBHOOK_DISABLED)
#: Percent of a budget, fullest first.
THRESHOLDS = (100, 80, 50)
#: Tokens are low where they do not pay for so many more orders like the last one.
ORDERS_LEFT = 5
#: fal's bill is off where it differs by more than a hundredth of what was quoted.
DRIFT_SHARE = 100


@dataclass(frozen=True, kw_only=True)
class Alert:
    """`owners` are those whose endpoints hear of it. `text` says what `data` says, for people; it goes along as `message`."""

    type: str
    key: str
    owners: tuple[str, ...]
    data: Mapping[str, Any]
    text: str


def nobody(_: Alert) -> None:
    """Tell nobody."""


def budget_threshold(found: Budget, *, now: datetime, refuses: bool = False) -> Alert | None:
    """Return the highest threshold that is reached by what is spent and held. A budget that refuses an order is as good as used up."""
    used = found.spent_micros + found.held_micros
    reached = 100 if refuses else next((each for each in THRESHOLDS if used * 100 >= found.limit_micros * each), None)
    if reached is None:
        return None
    month, whose = month_of(now), "all together" if found.scope == "global" else found.id
    figures = {"limit": found.limit_micros, "spent": found.spent_micros, "held": found.held_micros}
    state = "refuses orders" if refuses else f"has reached {reached} %"
    return Alert(
        type=BUDGET_THRESHOLD,
        key=f"budget {found.id} {month} {reached}",
        owners=_with_operator(None if found.scope == "global" else found.id),
        data={
            "budget": found.id,
            "month": month,
            "threshold": reached,
            "refuses": refuses,
            **{name: usd(micros) for name, micros in figures.items()},
        },
        text=f"The budget of {whose} {state}: {usd_text(used)} of {usd_text(found.limit_micros)} USD in {month}",
    )


def tokens_low(user_id: str, *, left: int, ordered: int, now: datetime) -> Alert | None:
    """Return the warning that a user's tokens do not last; once a day."""
    if left >= ORDERS_LEFT * ordered:
        return None
    return Alert(
        type=TOKENS_LOW,
        key=f"tokens {user_id} {_day(now)}",
        owners=_with_operator(f"user:{user_id}"),
        data={"userId": user_id, "tokens": left, "lastOrder": ordered},
        text=f"User {user_id} has {left} tokens left; the last order took {ordered}",
    )


def provider_locked(reason: str, message: str, *, endpoint: str | None, now: datetime) -> Alert:
    """Return the warning that fal refuses our account, our key or one endpoint; once an hour, as nothing is generated meanwhile."""
    what = f"fal refuses {endpoint}" if endpoint else "fal refuses this account"
    return Alert(
        type=PROVIDER_LOCKED,
        key=f"provider {endpoint or 'account'} {reason} {now.astimezone(UTC):%Y-%m-%dT%H}",
        owners=(OPERATOR,),
        data={"reason": reason, "endpoint": endpoint},
        text=f"{what} ({reason}), orders wait: {message}",
    )


def costs_drift(*, since: datetime, until: datetime, quoted: int, invoiced: int, jobs: int, now: datetime) -> Alert | None:
    """Return the warning that fal's bill and what was quoted drift apart, in micro-USD of so many jobs; once a day."""
    if abs(invoiced - quoted) * DRIFT_SHARE <= quoted:
        return None
    return Alert(
        type=COSTS_DRIFT,
        key=f"costs {_day(now)}",
        owners=(OPERATOR,),
        data={
            "since": rfc3339(since),
            "until": rfc3339(until),
            "jobs": jobs,
            "quoted": usd(quoted),
            "invoiced": usd(invoiced),
            "difference": usd(invoiced - quoted),
        },
        text=f"fal has billed {usd_text(invoiced)} USD for {jobs} jobs that were quoted at {usd_text(quoted)} USD",
    )


def webhook_disabled(endpoint: Endpoint, *, now: datetime) -> Alert:
    """Return the warning that an endpoint was given up; its owner's others hear of it, and the operator."""
    since = endpoint.failing_since
    return Alert(
        type=WEBHOOK_DISABLED,
        key=f"webhook {endpoint.id} {rfc3339(since or now)}",
        owners=_with_operator(endpoint.owner),
        data={
            "endpointId": endpoint.id,
            "url": endpoint.url,
            "status": endpoint.status.value,
            "reason": endpoint.disabled_reason,
            "failingSince": rfc3339(since) if since else None,
        },
        # Of a receiver's address only the name: those who read the text are not those who set it up, and a path may be a secret.
        text=f"The webhook {endpoint.id} at {urlsplit(endpoint.url).hostname} is {endpoint.status.value}: {endpoint.disabled_reason}",
    )


def _with_operator(owner: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for each in (owner, OPERATOR) if each))


def _day(now: datetime) -> str:
    return f"{now.astimezone(UTC):%Y-%m-%d}"
