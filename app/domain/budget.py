"""Monthly budgets: how much may be spent for a user, with an API key, or by all together, in one UTC month. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from app.domain.errors import FieldError, InvalidRequest
from app.domain.pricing import MICROS_PER_USD, limit_micros

#: How far a sum of floats may be off, up to the largest budget: a limit as fine as this is no other amount.
FLOAT_NOISE_MICROS = Decimal("0.001")
MAX_MONTHLY_USD = 1_000_000_000
FIELD = "monthly"
#: The budget of all users together, which the settings set.
GLOBAL = "global"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A budget in its current month, in micro-USD. `spent` is what finished jobs were charged, `held` what live ones may yet cost.

    `is_default` tells that its limit is the settings' own, and follows them.
    """

    id: str
    limit_micros: int
    spent_micros: int
    held_micros: int
    is_default: bool = False

    @property
    def room_micros(self) -> int:
        """What new work may cost; below zero where the limit was lowered under what is spent."""
        return self.limit_micros - self.spent_micros - self.held_micros

    @property
    def scope(self) -> str:
        """Return whose it is: `user`, `key` or `global`."""
        return self.id.partition(":")[0]

    @property
    def user_id(self) -> str | None:
        return self.id.removeprefix("user:") if self.id.startswith("user:") else None

    @property
    def key_id(self) -> str | None:
        return self.id.removeprefix("key:") if self.id.startswith("key:") else None


def of_user(user_id: str) -> str:
    return f"user:{user_id}"


def of_key(key_id: str) -> str:
    return f"key:{key_id}"


def month_of(moment: datetime) -> str:
    """Return the UTC month, "2026-11": as text these sort by time."""
    return moment.astimezone(UTC).strftime("%Y-%m")


def limit_of(monthly: Decimal | float | str, *, field: str = FIELD) -> int:
    """Return an amount in USD as micro-USD. Raises InvalidRequest, naming the field, for a negative, unending, absurd or too fine one."""
    try:
        amount = Decimal(str(monthly))
    except InvalidOperation:
        raise _refused(field, "Must be an amount in USD, such as 25.00") from None
    if not amount.is_finite() or not 0 <= amount <= MAX_MONTHLY_USD:
        raise _refused(field, f"Must be from 0 to {MAX_MONTHLY_USD} USD")
    micros = limit_micros(amount)
    if abs(amount * MICROS_PER_USD - micros) > FLOAT_NOISE_MICROS:
        raise _refused(field, "Must have 6 decimals at most")
    return micros


def _refused(field: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {detail}", [FieldError(f"/{field}", detail)])
