"""An agent's words as an order: which model, which of its inputs the pictures are, what it may cost, which order it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.api.http import services
from app.api.http.auth import caller
from app.api.http.limits import submits
from app.api.http.ordering import count_accept, idempotency_key
from app.domain.api_key import OrderLimits
from app.domain.errors import FieldError, InvalidRequest, MaxCostExceeded
from app.domain.job import Operation
from app.domain.pricing import MICROS_PER_USD, limit_micros, usd_text
from app.services.orders.order import Order, OrderKey, order_key
from app.services.orders.submit import Accepted
from registry.spec import ModelSpec

#: An order without a limit of its own or of its key: an agent may misread a price.
USUAL_LIMIT_MICROS = MICROS_PER_USD
ROUTE = "mcp generate_image"
#: What does not make an order another one.
NOT_ORDERED = frozenset({"idempotency_key", "wait_seconds", "max_cost"})


def model_of(given: Mapping[str, Any]) -> str:
    """Return the model that is meant: the named one, else the web app's own for such a request."""
    usual = services().operations[Operation.IMAGE_REFERENCE if given["images"] else Operation.TEXT_TO_IMAGE].model
    return given["model"] or usual or ""


def asked_of(model: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the `inputs` and `options` of a request, as the script API takes them. Raises InvalidRequest.

    An unknown model's are returned as they come: it is refused by its name.
    """
    inputs: dict[str, Any] = {}
    options = dict(given["options"])
    if given["num_images"] is not None and options.setdefault("num_images", given["num_images"]) != given["num_images"]:
        raise _wrong("num_images", "It is given in options too, and differs: leave one out.")
    spec = services().registry.get(model)
    if given.get("prompt") and given["prompt"].strip():
        inputs["prompt"] = given["prompt"]
    if spec is None:
        return inputs, options
    required = {name for key in spec.required_inputs for name in (key, *spec.params[key].aliases)}
    inputs |= {name: options.pop(name) for name in required & options.keys() if name not in inputs}
    return inputs | _placed(spec, given["images"], inputs.keys() | options.keys()), options


def submitted(given: dict[str, Any]) -> Accepted:
    """Give the order. Raises what the services raise, and MaxCostExceeded above `max_cost` too; nothing was ordered then."""
    accepted = _submitted(given)
    count_accept(accepted)
    return accepted


@submits
def _submitted(given: dict[str, Any]) -> Accepted:
    who, model = caller(), model_of(given)
    inputs, options = asked_of(model, given)
    limits, limit_is_asked = _limits(who.order_limits, given["max_cost"])
    order = Order(
        model=model,
        inputs=inputs,
        options=options,
        user_id=who.orders_for,
        caller_key=who.key_id,
        limits=limits,
        key=_key(given),
        pays_tokens=who.account is not None,
    )
    try:
        return services().orders.submit(order)
    except MaxCostExceeded as exc:
        raise _too_dear(exc, limits, is_asked=limit_is_asked) from exc


def _limits(own: OrderLimits, max_cost: float | None) -> tuple[OrderLimits, bool]:
    """Return the limits of an order, and whether its cost is the caller's own wish, or ours, and not its key's."""
    wanted = None if max_cost is None else limit_micros(max_cost)
    if own.max_micros is not None and (wanted is None or own.max_micros <= wanted):
        return own, False
    return replace(own, max_micros=USUAL_LIMIT_MICROS if wanted is None else wanted), True


def _too_dear(exc: MaxCostExceeded, limits: OrderLimits, *, is_asked: bool) -> MaxCostExceeded:
    if not is_asked or limits.max_micros is None:
        return exc
    cost = (exc.details or {}).get("cost")
    text = f"The order may cost {cost:g} USD, more than max_cost ({usd_text(limits.max_micros)}); nothing was ordered."
    return MaxCostExceeded(f"{text} If the user agrees, call again with max_cost {cost:g}.", details=exc.details)


def _key(given: Mapping[str, Any]) -> OrderKey | None:
    """Return what makes this call one order with its repeats: its argument, or the header that a bridge sends for its own repeats."""
    key = given["idempotency_key"] or idempotency_key()
    if key is None:
        return None
    body = {name: value for name, value in given.items() if name not in NOT_ORDERED}
    return order_key(caller=caller().identity, route=ROUTE, key=key, body=body)


def _placed(spec: ModelSpec, images: list[str], taken: set[str]) -> dict[str, Any]:
    """Return pictures under the model's image inputs, in order; a list takes all that are left. Raises InvalidRequest."""
    left, found = list(images), dict[str, Any]()
    for param in spec.image_params:
        if left and param.name not in taken:
            found[param.name], left = (left, []) if param.type == "array" else (left[0], left[1:])
    if left:
        takers = ", ".join(other.name for other in services().registry if other.image_params)
        takes = f"{len(found)} here ({', '.join(found)})" if found else "none"
        raise _wrong("images", f"{spec.name} takes {takes}, not {len(images)}. Models that take pictures: {takers}.")
    return found


def _wrong(name: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"{name}: {detail}", [FieldError(f"/{name}", detail)])
