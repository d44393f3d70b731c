"""Where model files have drifted from fal: endpoint, price, and what a request may hold.

Where fal says nothing, a limit in a model file is our own choice and no drift.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.clients.fal.openapi import OUR_OWN, Description, EndpointSchema, read_schema
from app.clients.fal.platform import MAX_IDS, FalPlatform, ListPrice
from app.domain.pricing import price_at
from registry.params import build_param
from registry.spec import ModelSpec, NoPrice, Param
from registry.table import Table
from registry.values import SIZES

NONE = "-"
_LIMITS = ("minimum", "maximum", "exclusive_minimum", "min_length", "max_length", "min_items", "max_items")


@dataclass(frozen=True)
class Drift:
    """One difference, as text for people. `where` is `price`, `endpoint`, or the parameter and what about it."""

    model: str
    where: str
    ours: str
    fals: str


def find_drift(specs: Sequence[ModelSpec], platform: FalPlatform, at: datetime) -> Iterator[list[Drift]]:
    """Yield what differs, one list for each model. Raises ProviderError where fal does not answer."""
    endpoints = sorted({spec.fal_endpoint for spec in specs})
    prices: dict[str, ListPrice] = {}
    for first in range(0, len(endpoints), MAX_IDS):
        prices |= platform.prices(endpoints[first : first + MAX_IDS])
    for spec in specs:
        document = platform.openapi(spec.fal_endpoint)
        schema = read_schema(spec.fal_endpoint, document) if document else None
        yield [*price_drift(spec, prices.get(spec.fal_endpoint), at), *schema_drift(spec, schema)]


def price_drift(spec: ModelSpec, listed: ListPrice | None, at: datetime) -> Iterator[Drift]:
    """Compare fal's base price with the operator's in force."""
    fals = f"{listed.amount.normalize():f} {listed.currency} / {listed.unit}" if listed else NONE
    try:
        price = price_at(spec, at)
    except NoPrice:
        yield Drift(spec.name, "price", NONE, fals)
        return
    unit = price.provider_unit or price.unit
    amount = price.amount if price.provider_amount is None else price.provider_amount
    if listed is None or (listed.registry_unit, listed.amount) != (unit, amount):
        yield Drift(spec.name, "price", f"{amount.normalize():f} USD / {unit}", fals)


def schema_drift(spec: ModelSpec, schema: EndpointSchema | None) -> Iterator[Drift]:
    if schema is None:
        yield Drift(spec.name, "endpoint", spec.fal_endpoint, "no such endpoint")
        return
    if schema.output != spec.output:
        yield Drift(spec.name, "output", spec.output, schema.output or NONE)
    # A parameter that hands over to another model is not sent to this endpoint.
    handed_over = {variant.when_input for variant in spec.variants}
    ours = {name: param for name, param in spec.params.items() if name not in handed_over}
    for name in [*(name for name in schema.inputs if name not in ours), *(name for name in ours if name not in schema.inputs)]:
        yield Drift(spec.name, name, *(("unknown", "takes it") if name in schema.inputs else ("takes it", "unknown")))
    for name, param in ours.items():
        if name in schema.inputs:
            yield from _param_drift(spec, param, schema)


def _param_drift(spec: ModelSpec, param: Param, schema: EndpointSchema) -> Iterator[Drift]:
    name = param.name
    is_required = (name in spec.required_inputs, name in schema.required)
    if is_required[0] != is_required[1] and name != "num_images":
        yield Drift(spec.name, f"{name}: required", *("yes" if one else "no" for one in is_required))
    if name in OUR_OWN:
        return
    fals = _fals_param(name, schema.inputs[name])
    if name == "num_images":  # A request may ask for more than one call takes.
        if fals.maximum is not None and fals.maximum != spec.max_images_per_call:
            yield Drift(spec.name, "num_images: maximum", str(spec.max_images_per_call), f"{fals.maximum:g}")
        return
    for what, our_value, fals_value in _differences(param, fals):
        yield Drift(spec.name, f"{name}{what}", our_value, fals_value)


def _fals_param(name: str, table: Description) -> Param:
    return build_param(name, Table(table, "", name), "inputs", known=False)


def _differences(ours: Param, fals: Param, path: str = "") -> Iterator[tuple[str, str, str]]:
    if "any" in (ours.type, fals.type):
        return
    if ours.type != fals.type:
        yield f"{path}: type", ours.type, fals.type
        return
    for limit in _LIMITS:
        bounds = getattr(ours, limit), getattr(fals, limit)
        if bounds[1] is not None and bounds[0] != bounds[1]:
            yield f"{path}: {limit.replace('_', ' ')}", _shown(bounds[0]), _shown(bounds[1])
    choices = _choices(ours), _choices(fals)
    if choices[1] and set(choices[0]) != set(choices[1]):
        yield f"{path}: enum", _shown(choices[0]), _shown(choices[1])
    if ours.default is not None and fals.default is not None and ours.default != fals.default:
        yield f"{path}: default", _shown(ours.default), _shown(fals.default)
    if ours.items and fals.items:
        yield from _differences(ours.items, fals.items, f"{path}[]")
    for inner in ours.properties.keys() & fals.properties.keys():
        yield from _differences(ours.properties[inner], fals.properties[inner], f"{path}.{inner}")


def _choices(param: Param) -> tuple[Any, ...]:
    return param.enum or (tuple(SIZES) if param.type == "size" else ())


def _shown(value: Any) -> str:
    if value is None or value == ():
        return NONE
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
