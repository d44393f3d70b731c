"""API keys of scripts and services, and how much narrower than the service a key is. Pure."""

from __future__ import annotations

import fnmatch
import ipaddress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from app.domain.addresses import address_of, is_within
from app.domain.errors import FieldError, Forbidden, InvalidRequest, MaxCostExceeded
from app.domain.pricing import usd, usd_text

#: A list of one key is looked up with each request, and is one query to the store.
MAX_ITEMS = 100
MAX_TEXT_CHARS = 256
MAX_RATE_PER_MINUTE = 1_000_000


class Scope(StrEnum):
    """What a key may do; none of them includes another. `generate`: order, cancel, retry, delete. `admin`: the administrators' calls."""

    GENERATE = "generate"
    READ = "read"
    ADMIN = "admin"


USUAL_SCOPES = (Scope.GENERATE, Scope.READ)


@dataclass(frozen=True, kw_only=True)
class OrderLimits:
    """What one order may ask for; a batch counts as one. Empty `models`: every model."""

    models: tuple[str, ...] = ()
    max_micros: int | None = None

    def require_model(self, model: str) -> None:
        """Raise Forbidden for a model that none of the names and globs fits."""
        if self.models and not any(fnmatch.fnmatchcase(model, wanted) for wanted in self.models):
            allowed = ", ".join(self.models)
            raise Forbidden(f"This API key may not use the model {model!r}; it may use: {allowed}", details={"models": list(self.models)})

    def require_cost(self, micros: int) -> None:
        """Raise MaxCostExceeded above what one order may cost."""
        if self.max_micros is not None and micros > self.max_micros:
            details = {"cost": usd(micros), "maxCost": usd(self.max_micros)}
            raise MaxCostExceeded(
                f"The order may cost {usd_text(micros)} USD, more than this API key may spend on one ({usd_text(self.max_micros)}); "
                "nothing was ordered",
                details=details,
            )


NO_LIMITS = OrderLimits()


@dataclass(frozen=True, kw_only=True)
class KeyTerms:
    """How narrow a key is. Empty `users` and `ip_ranges`: any. What it may spend in a month is among the budgets."""

    users: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = USUAL_SCOPES
    expires_at: datetime | None = None
    rate_per_minute: int | None = None
    ip_ranges: tuple[str, ...] = ()
    orders: OrderLimits = NO_LIMITS

    def require_scope(self, scope: Scope) -> None:
        """Raise Forbidden, naming the scope that is missing."""
        if scope not in self.scopes:
            has = ", ".join(self.scopes)
            raise Forbidden(f"This needs an API key with the scope {scope.value!r}; this one has: {has}", details={"scope": scope.value})

    def require_address(self, address: str | None) -> None:
        """Raise Forbidden outside of the key's networks. An IPv4 address within IPv6 counts as IPv4."""
        found = address_of(address or "")
        if self.ip_ranges and (found is None or not is_within(found, [ipaddress.ip_network(text) for text in self.ip_ranges])):
            raise Forbidden("This API key may not be used from your address")

    def require_user(self, user_id: str) -> None:
        """Raise Forbidden for a user the key may not act for."""
        if self.users and user_id not in self.users:
            raise Forbidden("This API key may not act for this userId", details={"userId": user_id})


USUAL_TERMS = KeyTerms()


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    id: str
    name: str
    created_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    terms: KeyTerms = USUAL_TERMS

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and not self.has_expired(now)

    def has_expired(self, now: datetime) -> bool:
        return self.terms.expires_at is not None and now >= self.terms.expires_at


def checked(terms: KeyTerms, now: datetime) -> KeyTerms:
    """Return terms that a key may have, networks in their usual form. Raises InvalidRequest naming everything that is wrong."""
    ranges, errors = _networks(terms.ip_ranges)
    for name, texts in (("users", terms.users), ("models", terms.orders.models)):
        if any(not 1 <= len(text) <= MAX_TEXT_CHARS or not text.isprintable() for text in texts):
            errors.append(FieldError(f"/{name}", f"Use 1 to {MAX_TEXT_CHARS} printable characters each."))
    for name, items in (("users", terms.users), ("models", terms.orders.models), ("ipRanges", terms.ip_ranges)):
        if len(items) > MAX_ITEMS:
            errors.append(FieldError(f"/{name}", f"At most {MAX_ITEMS}."))
    if not terms.scopes:
        errors.append(FieldError("/scopes", "At least one of generate, read, admin."))
    if Scope.ADMIN in terms.scopes and terms.users:
        errors.append(FieldError("/users", "A key of scope admin acts for all users; leave out its users, or the scope."))
    if terms.expires_at is not None and terms.expires_at <= now:
        errors.append(FieldError("/expiresAt", "Must be in the future."))
    if terms.rate_per_minute is not None and not 1 <= terms.rate_per_minute <= MAX_RATE_PER_MINUTE:
        errors.append(FieldError("/ratePerMinute", f"Must be from 1 to {MAX_RATE_PER_MINUTE}."))
    if errors:
        raise InvalidRequest("; ".join(f"{error.pointer.lstrip('/')}: {error.detail}" for error in errors), errors)
    return replace(terms, ip_ranges=ranges)


def _networks(texts: tuple[str, ...]) -> tuple[tuple[str, ...], list[FieldError]]:
    found, errors = [], []
    for text in texts:
        try:
            found.append(str(ipaddress.ip_network(text.strip(), strict=False)))
        except ValueError:
            errors.append(FieldError("/ipRanges", f"{text!r} is not an address or a network such as 203.0.113.0/24."))
    return tuple(found), errors
