"""Estimate, charge and fal's bill agree in the model's own unit, for every model and size; where a model loses, the operator is told."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.costs import CostSource, cost_of_units
from app.domain.fal_request import FalRequest, RequestState
from app.domain.pricing import losses, price_at, quote
from registry.geometry import RATIO_SIZES, shape_options, takes_size
from registry.loader import load_registry
from registry.request import check_options
from registry.spec import ModelSpec
from registry.values import SIZES
from scripts.fal_emulator import endpoints
from tests.support.factories import make_receipt

REGISTRY = load_registry().limited(4.2)
NOW = datetime(2026, 11, 26, tzinfo=UTC)
HEAD = 'falEndpoint = "a/b"\ncategory = "c"\nrequiredInputs = ["prompt"]\ndescription = "d"\n'
UNKNOWN = "1 of the megapixels that fal bills at 0.03 USD are charged, whatever their number"
SIDES = st.sampled_from([1, 512, 1000, 1023, 1024, 1025, 1448, 2048]) | st.integers(1, 2048)


def shapes(spec: ModelSpec) -> st.SearchStrategy[dict[str, Any]]:
    """Return every way of asking a model for a shape, and what else changes its price."""
    ways: list[st.SearchStrategy[dict[str, Any]]] = [st.just({})]
    if takes_size(spec):
        ways.append(st.sampled_from(sorted(SIZES)).map(lambda preset: {"image_size": preset}))
        ways.append(st.tuples(SIDES, SIDES).map(lambda sides: {"image_size": {"width": sides[0], "height": sides[1]}}))
        ways.append(st.tuples(SIDES, SIDES).map(lambda sides: {"width": sides[0], "height": sides[1]}))
    if "aspect_ratio" in shape_options(spec):
        ways.append(st.sampled_from(sorted(RATIO_SIZES)).map(lambda ratio: {"aspect_ratio": ratio}))
    if "resolution" in spec.params:
        levels = st.sampled_from(spec.params["resolution"].enum)
        ways.append(st.tuples(levels, st.booleans()).map(lambda two: {"resolution": two[0], "enable_web_search": two[1]}))
    return st.one_of(ways)


def billed(spec: ModelSpec, arguments: dict[str, Any], images: int) -> str:
    """Return the units that the emulator bills for a request, as its header says them."""
    known = endpoints.KNOWN[spec.fal_endpoint]
    return f"{endpoints.billable_units(known, arguments, endpoints.size_of(known, arguments, None), images):g}"


@pytest.mark.parametrize("name", REGISTRY.names)
@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_estimate_charge_and_bill_agree_or_the_margin_is_named(name: str, data: st.DataObject) -> None:
    spec = REGISTRY.get(name)
    assert spec is not None
    images = data.draw(st.integers(1, 4)) if "num_images" in spec.params else 1
    request = check_options(REGISTRY, name, None, data.draw(shapes(spec)) | ({"num_images": images} if images > 1 else {}))

    found = quote(request, NOW)
    call = FalRequest(
        index=0,
        num_images=images,
        state=RequestState.COLLECTED,
        receipt=make_receipt(),
        billable_units=billed(spec, request.arguments, images),
    )
    actual = cost_of_units(found, [call])

    assert actual is not None
    assert (actual.micros, actual.source) == (found.provider_micros, CostSource.UNITS)
    assert found.micros == found.charge_for(images)
    assert found.micros >= actual.micros or list(losses(spec, NOW))


def test_a_square_of_1024_is_one_megapixel_here_and_on_the_bill() -> None:
    request = check_options(REGISTRY, "flux-lora", None, {"width": 1024, "height": 1024})

    found = quote(request, NOW)

    assert (found.micros, found.provider_micros, billed(request.spec, request.arguments, 1)) == (35_000, 35_000, "1")


def test_of_the_models_that_ship_two_may_cost_more_than_is_charged() -> None:
    told = {spec.name: list(losses(spec, NOW)) for spec in REGISTRY}

    assert {name: text for name, text in told.items() if text} == {
        "flux-pro": ["sells an image for 0.05 USD whatever its size; fal charges 0.04 a megapixel, 0.08 for 2"],
        "flux-dev-image-to-image": [f"cannot know the size of its images before they are made: {UNKNOWN}"],
    }


@pytest.mark.parametrize(
    ("prices", "loses"),
    [
        ('unit = "image"\namount = 0.05\n', False),
        ('unit = "image"\namount = 0.05\nproviderAmount = 0.05\n', False),
        ('unit = "image"\namount = 0.05\nproviderAmount = 0.06\n', True),
        ('unit = "image"\namount = 0.05\nproviderUnit = "megapixel"\nproviderAmount = 0.01\n', False),
        ('unit = "image"\namount = 0.05\nproviderUnit = "megapixel"\nproviderAmount = 0.02\n', True),
        ('unit = "megapixel"\namount = 0.02\nproviderUnit = "image"\nproviderAmount = 0.03\n', True),
    ],
)
def test_a_model_that_sells_below_cost_at_any_size_it_takes_is_told_of(tmp_path: Path, prices: str, loses: bool) -> None:
    (tmp_path / "m.toml").write_text(f'{HEAD}options = ["image_size"]\n[[prices]]\nfrom = 2026-01-01\n{prices}')
    spec = load_registry(tmp_path).limited(4.2).get("m")
    assert spec is not None

    assert bool(list(losses(spec, NOW))) == loses
    assert list(losses(dataclasses.replace(spec, prices=()), NOW)) == []


def test_a_tier_below_fals_price_is_told_of(tmp_path: Path) -> None:
    tier = '[[prices.tiers]]\noption = "resolution"\nequals = "1K"\namount = 0.01\n'
    price = f'[[prices]]\nfrom = 2026-01-01\nunit = "image"\namount = 0.15\nproviderAmount = 0.02\n{tier}'
    (tmp_path / "m.toml").write_text(f'{HEAD}options = ["resolution"]\n{price}')
    spec = load_registry(tmp_path).get("m")
    assert spec is not None

    assert list(losses(spec, NOW)) == [f"sells an image for {Decimal('0.01')} USD; fal charges 0.02 for an image"]


def test_the_script_apis_page_names_the_price_of_every_model() -> None:
    text = (Path(__file__).parents[2] / "docs" / "script-api.md").read_text().partition("## Prices")[2].partition("## Jobs")[0]

    told = dict(re.findall(r"^\| `([a-z-]+)`[^|]*\| ([0-9.]+) \|", text, re.MULTILINE))

    assert told == {spec.name: f"{price_at(spec, NOW).amount:f}" for spec in REGISTRY}
