"""The estimate is the quote of the job, for every body that a model accepts."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from app.services.orders.order import Order, Prices
from registry.geometry import shape_options
from registry.loader import load_registry
from registry.operations import load_operations
from registry.request import RequestRefused, check_request
from registry.spec import ModelSpec, Param
from registry.values import SIZES

REGISTRY = load_registry()
PRICES = Prices(registry=REGISTRY, operations=load_operations(), tokens_per_usd=1000)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

TEXT = st.text(string.ascii_letters + " ä", min_size=3, max_size=12).filter(str.strip)
SIDES = st.sampled_from([1, 512, 1000, 1024, 1025, 2048, 14142])


def values(param: Param) -> st.SearchStrategy[Any]:
    """Return values that a parameter allows."""
    if param.type == "size":
        return st.one_of(st.sampled_from(sorted(param.enum or SIZES)), st.fixed_dictionaries({"width": SIDES, "height": SIDES}))
    if param.enum:
        return st.sampled_from(param.enum)
    if param.type == "integer":
        return st.integers(int(param.minimum or 0), int(100 if param.maximum is None else param.maximum))
    if param.type == "number":
        return st.floats(param.minimum or 0, 1 if param.maximum is None else param.maximum, allow_nan=False)
    if param.type == "array":
        items = values(param.items) if param.items else TEXT
        return st.lists(items, min_size=param.min_items or 0, max_size=min(param.max_items or 3, 3))
    if param.type == "object":
        optional = {name: values(inner) for name, inner in param.properties.items() if name not in param.required}
        return st.fixed_dictionaries({name: values(param.properties[name]) for name in param.required}, optional=optional)
    if param.name == "path":
        return st.just("owner/weights")
    plain = {"boolean": st.booleans(), "image": st.just("https://example.com/a.png")}
    return plain.get(param.type, TEXT)


@st.composite
def bodies(draw: st.DrawFn, spec: ModelSpec) -> dict[str, dict[str, Any]]:
    """Return inputs and options; the optional ones stand in either."""
    body: dict[str, dict[str, Any]] = {"inputs": {name: draw(values(spec.params[name])) for name in spec.required_inputs}, "options": {}}
    others = {**spec.params, **shape_options(spec)}
    optional = {name: values(param) for name, param in others.items() if name not in spec.required_inputs}
    for name, value in draw(st.fixed_dictionaries({}, optional=optional)).items():
        body[draw(st.sampled_from(["inputs", "options"]))][name] = value
    return body


@pytest.mark.parametrize("name", REGISTRY.names)
@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_the_estimate_of_a_whole_body_is_the_quote_of_its_job(name: str, data: st.DataObject) -> None:
    body = data.draw(bodies(certain_spec(name)))
    try:
        check_request(REGISTRY, name, body["inputs"], body["options"])
    except RequestRefused:  # The shape is named twice, or loras make it another model's.
        assume(False)

    estimated = PRICES.estimate(name, body["inputs"], body["options"], NOW)
    job = PRICES.price(Order(model=name, user_id="user-1", **body), NOW).quote

    assert estimated == job
    assert job.micros == job.unit_micros * job.num_images == job.charge_for(job.num_images)
    assert job.provider_micros is not None
    assert job.provider_amount is not None


def certain_spec(name: str) -> ModelSpec:
    spec = REGISTRY.get(name)
    assert spec is not None
    return spec
