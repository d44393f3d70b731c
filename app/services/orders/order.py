"""What somebody asks for, checked against the registry and priced. Nothing is written here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from attrs import define

from app.domain.api_key import NO_LIMITS, OrderLimits
from app.domain.endpoint import OrderHook
from app.domain.errors import FieldError, InvalidRequest, Misconfigured, MissingInputs, UnknownModelName
from app.domain.job import Operation, WebDetails
from app.domain.pricing import MICROS_PER_USD, Quote, quote
from app.domain.repeat import Try
from registry.loader import Registry
from registry.operations import OperationSpec
from registry.request import CheckedRequest, RequestRefused, UnknownModel, check_options, check_request
from registry.spec import NoPrice
from registry.table import did_you_mean

#: How long an idempotency key is kept; afterwards it may be used for a new order.
KEY_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True)
class OrderKey:
    """One order per `Idempotency-Key`: `id` is unique per caller, route and key; `fingerprint` tells whether the body is the same.

    The job itself is the record: its `orderKey` is unique, so the write that creates the job also decides who was first.
    """

    id: str
    fingerprint: str


def order_key(*, caller: str, route: str, key: str, body: Mapping[str, Any]) -> OrderKey:
    scope = json.dumps([caller, route, key])
    return OrderKey(_digest(scope), fingerprint_of(body))


def fingerprint_of(body: Mapping[str, Any]) -> str:
    """Return what is the same for equal requests, in whichever order their fields stand."""
    return _digest(json.dumps(body, sort_keys=True, separators=(",", ":"), default=str))


@dataclass(frozen=True, kw_only=True)
class Order:
    """One generation as its caller asks for it. A signed-in user pays for it in tokens; a script's costs are the operator's."""

    model: str
    inputs: Mapping[str, Any]
    options: Mapping[str, Any]
    user_id: str
    operation: Operation = Operation.GENERATE
    project_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    retain_days: int | None = None
    fal_headers: Mapping[str, str] = field(default_factory=dict)
    web: WebDetails | None = None
    pays_tokens: bool = False
    caller_key: str | None = None
    limits: OrderLimits = NO_LIMITS
    key: OrderKey | None = None
    tried: Try | None = None
    retry_of: str | None = None
    hook: OrderHook | None = None


@dataclass(frozen=True)
class PricedOrder:
    order: Order
    checked: CheckedRequest
    quote: Quote
    tokens_per_image: int

    @property
    def tokens(self) -> int:
        """The tokens that the order costs its user if all its images come."""
        return self.tokens_per_image * self.checked.num_images


@define(eq=False, slots=False, kw_only=True)
class Prices:
    """What orders cost, whichever endpoint they come from: no endpoint is a way around the balance.

    An image costs `tokens_per_usd` for each USD of its price, so that no model and no size sells for less than it costs, and never less
    than its operation's own price in tokens.
    """

    _registry: Registry
    _operations: Mapping[str, OperationSpec]
    _tokens_per_usd: int

    def price(self, order: Order, at: datetime) -> PricedOrder:
        """Check an order whole and price it. Raises UnknownModelName, MissingInputs or InvalidRequest, naming every problem.

        Raises Forbidden for a model, and MaxCostExceeded for a price, that the caller's key does not allow.
        """
        order.limits.require_model(order.model)
        checked = self._checked(order.model, order.inputs, order.options, complete=True)
        quoted = _quoted(checked, at)
        order.limits.require_cost(quoted.micros)
        return PricedOrder(order, checked, quoted, self.tokens_per_image(order.operation, order.model, quoted) if order.pays_tokens else 0)

    def estimate(self, model: str, inputs: Mapping[str, Any] | None, options: Mapping[str, Any], at: datetime) -> Quote:
        """Price what would be asked for; inputs may be left out. The same code prices the job."""
        return _quoted(self._checked(model, inputs, options, complete=False), at)

    def _checked(self, model: str, inputs: Mapping[str, Any] | None, options: Mapping[str, Any], *, complete: bool) -> CheckedRequest:
        try:
            if complete:
                return check_request(self._registry, model, inputs or {}, options)
            return check_options(self._registry, model, inputs, options)
        except UnknownModel as exc:
            valid = list(exc.valid)
            near = did_you_mean(exc.name, valid)
            raise UnknownModelName(
                f"Unknown model {exc.name!r}.{near} Valid models: {', '.join(valid)}", details={"validModels": valid}
            ) from exc
        except RequestRefused as exc:
            raise _refusal(model, exc) from exc

    def tokens_per_image(self, operation: Operation, model: str, quoted: Quote) -> int:
        """Return the tokens of one image. At the script API models that take images cost what an image reference costs, at least."""
        spec = self._registry.get(model) if operation is Operation.GENERATE else None
        takes_images = spec is not None and spec.takes_images
        least = self._operations[Operation.IMAGE_REFERENCE if takes_images else operation].tokens_per_image
        return max(least, -(-quoted.unit_micros * self._tokens_per_usd // MICROS_PER_USD))


def _quoted(checked: CheckedRequest, at: datetime) -> Quote:
    try:
        return quote(checked, at)
    except NoPrice as exc:
        raise Misconfigured(f"The registry has no price in force for this model: {exc}") from exc


def _refusal(model: str, exc: RequestRefused) -> InvalidRequest:
    errors = [FieldError(problem.pointer, problem.detail) for problem in exc.problems]
    if exc.missing:
        names = ", ".join(exc.missing)
        return MissingInputs(f"Missing required inputs for {model}: {names}", errors, details={"missingInputs": list(exc.missing)})
    return InvalidRequest("; ".join(f"{error.pointer}: {error.detail}" for error in errors[:5]), errors)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
