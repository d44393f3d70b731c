"""Model files beside what fal says: every difference is found and named. fal's platform API is a stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from app.services.catalog.registry_drift import find_drift
from registry.loader import load_registry
from registry.spec import ModelSpec
from tests.support.fal_place import FalPlace
from tests.support.fal_platform import PlatformServer, flux_dev, openapi, platform_server

REGISTRY = load_registry()
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ENDPOINT = "fal-ai/flux/dev"


@pytest.fixture
def fal(fal_place: FalPlace) -> Iterator[PlatformServer]:
    with platform_server(fal_place.tls_dir) as server:
        yield server


def spec_of(name: str) -> ModelSpec:
    spec = REGISTRY.get(name)
    assert spec is not None
    return spec


def drift(fal: PlatformServer, name: str = "flux-dev") -> list[tuple[str, str, str]]:
    (found,) = find_drift([spec_of(name)], fal.client, NOW)
    return [(one.where, one.ours, one.fals) for one in found]


def test_a_model_file_that_says_what_fal_says_has_not_drifted(fal: PlatformServer) -> None:
    fal.price(ENDPOINT, 0.025, "megapixels")
    fal.documents[ENDPOINT] = flux_dev()

    assert drift(fal) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"acceleration": None}, [("acceleration", "takes it", "unknown")]),
        ({"raw": {"type": "boolean"}}, [("raw", "unknown", "takes it")]),
        ({"guidance_scale": {"type": "number", "minimum": 0, "maximum": 20}}, [("guidance_scale: minimum", "1", "0")]),
        ({"seed": {"type": "integer", "maximum": 4294967295}}, [("seed: maximum", "18446744073709551615", "4294967295")]),
        ({"prompt": {"type": "string", "maxLength": 2000}}, [("prompt: max length", "50000", "2000")]),
        ({"output_format": {"type": "string", "enum": ["jpeg", "png", "webp"]}}, [("output_format: enum", "jpeg, png", "jpeg, png, webp")]),
        ({"output_format": {"type": "string", "enum": ["png", "jpeg"], "default": "png"}}, [("output_format: default", "jpeg", "png")]),
        ({"num_images": {"type": "integer", "minimum": 1, "maximum": 8}}, [("num_images: maximum", "4", "8")]),
        ({"num_inference_steps": {"type": "string"}}, [("num_inference_steps: type", "integer", "string")]),
        (
            {"image_size": {"anyOf": [{"$ref": "#/components/schemas/ImageSize"}, {"enum": ["square"], "type": "string"}]}},
            [("image_size: enum", "square_hd, square, portrait_4_3, portrait_16_9, landscape_4_3, landscape_16_9", "square")],
        ),
        ({"sync_mode": {"type": "boolean", "default": True}}, []),
        ({"prompt": {"type": "string"}}, []),
    ],
)
def test_a_difference_is_named_with_both_sides(fal: PlatformServer, changes: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    fal.price(ENDPOINT, 0.025, "megapixels")
    fal.documents[ENDPOINT] = flux_dev(**changes)

    assert drift(fal) == expected


def test_what_is_required_is_compared_both_ways(fal: PlatformServer) -> None:
    fal.price(ENDPOINT, 0.025, "megapixels")
    document = flux_dev()
    document["components"]["schemas"]["ModelInput"]["required"] = ["seed"]
    fal.documents[ENDPOINT] = document

    assert drift(fal) == [("prompt: required", "yes", "no"), ("seed: required", "no", "yes")]


@pytest.mark.parametrize(
    ("amount", "unit", "currency", "shown"),
    [
        (0.03, "megapixels", "USD", "0.03 USD / megapixels"),
        (0.025, "images", "USD", "0.025 USD / images"),
        (0.025, "compute_seconds", "USD", "0.025 USD / compute_seconds"),
        (0.025, "megapixels", "EUR", "0.025 EUR / megapixels"),
    ],
)
def test_another_price_is_drift(fal: PlatformServer, amount: float, unit: str, currency: str, shown: str) -> None:
    fal.price(ENDPOINT, amount, unit, currency)
    fal.documents[ENDPOINT] = flux_dev()

    assert drift(fal) == [("price", "0.025 USD / megapixel", shown)]


def test_the_operators_price_is_compared_and_not_the_users(fal: PlatformServer) -> None:
    fal.price("fal-ai/flux-pro/v1.1", 0.04, "megapixels")

    assert drift(fal, "flux-pro") == [("endpoint", "fal-ai/flux-pro/v1.1", "no such endpoint")]


def test_an_endpoint_that_is_gone_has_neither_price_nor_description(fal: PlatformServer) -> None:
    assert drift(fal) == [("price", "0.025 USD / megapixel", "-"), ("endpoint", ENDPOINT, "no such endpoint")]


def test_what_is_inside_of_lists_is_compared_too(fal: PlatformServer) -> None:
    properties: dict[str, Any] = dict(flux_dev()["components"]["schemas"]["ModelInput"]["properties"])
    properties["guidance_scale"] = {"type": "number", "minimum": 0, "maximum": 35, "default": 3.5}
    properties["acceleration"] = {"type": "string", "enum": ["none", "regular"], "default": "none"}
    properties["loras"] = {"type": "array", "items": {"$ref": "#/components/schemas/LoraWeight"}, "default": []}
    document = openapi("fal-ai/flux-lora", properties, ["prompt"])
    fal.price("fal-ai/flux-lora", 0.035, "megapixels")
    fal.documents["fal-ai/flux-lora"] = document
    same = drift(fal, "flux-lora")

    document["components"]["schemas"]["LoraWeight"]["properties"]["scale"]["maximum"] = 2
    changed = drift(fal, "flux-lora")

    assert (same, changed) == ([], [("loras[].scale: maximum", "4", "2")])
