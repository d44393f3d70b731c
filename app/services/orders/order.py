"""What somebody asks for, checked against the registry and priced. Nothing is written here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.domain.api_key import NO_LIMITS, OrderLimits
from app.domain.errors import FieldError, InvalidRequest, Misconfigured, MissingInputs, UnknownModelName
from app.domain.job import Operation, WebDetails
from app.domain.pricing import MICROS_PER_USD, Quote, quote
from app.services.orders.idempotency import OrderKey
from registry.loader import Registry
from registry.request import CheckedRequest, RequestRefused, UnknownModel, check_options, check_request
from registry.spec import NoPrice
from registry.table import did_you_mean


@dataclass(frozen=True, kw_only=True)
class Order:
    """One generation as its caller asks for it.

    A signed-in user pays `tokens_per_usd` for each USD of an image's price, `least_tokens` at least; a script pays no tokens.
    """

    model: str
    inputs: Mapping[str, Any]
    options: Mapping[str, Any]
    user_id: str
    operation: Operation = Operation.GENERATE
    project_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    web: WebDetails | None = None
    least_tokens: int = 0
    tokens_per_usd: int = 0
    caller_key: str | None = None
    limits: OrderLimits = NO_LIMITS
    key: OrderKey | None = None
    retry_of: str | None = None


@dataclass(frozen=True)
class PricedOrder:
    checked: CheckedRequest
    quote: Quote


def price_order(registry: Registry, order: Order, at: datetime) -> PricedOrder:
    """Check an order whole and price it. Raises UnknownModelName, MissingInputs or InvalidRequest, naming every problem.

    Raises Forbidden for a model, and MaxCostExceeded for a price, that the caller's key does not allow.
    """
    order.limits.require_model(order.model)
    with_checked = _checked(registry, order.model, order.inputs, order.options, complete=True)
    priced = PricedOrder(with_checked, _priced(with_checked, at))
    order.limits.require_cost(priced.quote.micros)
    return priced


def tokens_of(order: Order, priced: PricedOrder) -> int:
    """Return the tokens that an order costs its user if all its images come."""
    return tokens_per_image(order, priced) * priced.checked.num_images


def tokens_per_image(order: Order, priced: PricedOrder) -> int:
    """Return the tokens of one image: they follow its price, so that no model and no size sells for less than it costs."""
    by_price = -(-priced.quote.unit_micros * order.tokens_per_usd // MICROS_PER_USD)
    return max(order.least_tokens, by_price)


def estimate(registry: Registry, model: str, inputs: Mapping[str, Any] | None, options: Mapping[str, Any], at: datetime) -> Quote:
    """Price what would be asked for; inputs may be left out. The same code prices the job."""
    return _priced(_checked(registry, model, inputs, options, complete=False), at)


def _checked(
    registry: Registry, model: str, inputs: Mapping[str, Any] | None, options: Mapping[str, Any], *, complete: bool
) -> CheckedRequest:
    try:
        if complete:
            return check_request(registry, model, inputs or {}, options)
        return check_options(registry, model, inputs, options)
    except UnknownModel as exc:
        valid = list(exc.valid)
        near = did_you_mean(exc.name, valid)
        raise UnknownModelName(
            f"Unknown model {exc.name!r}.{near} Valid models: {', '.join(valid)}", details={"validModels": valid}
        ) from exc
    except RequestRefused as exc:
        raise _refusal(model, exc) from exc


def _refusal(model: str, exc: RequestRefused) -> InvalidRequest:
    errors = [FieldError(problem.pointer, problem.detail) for problem in exc.problems]
    if exc.missing:
        names = ", ".join(exc.missing)
        return MissingInputs(f"Missing required inputs for {model}: {names}", errors, details={"missingInputs": list(exc.missing)})
    return InvalidRequest("; ".join(f"{error.pointer}: {error.detail}" for error in errors[:5]), errors)


def _priced(checked: CheckedRequest, at: datetime) -> Quote:
    try:
        return quote(checked, at)
    except NoPrice as exc:
        raise Misconfigured(f"The registry has no price in force for this model: {exc}") from exc
