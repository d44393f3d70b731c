"""Model files beside what fal says: drift is found and named, and a drafted file works as it is. fal's platform API is a stand-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.clients.fal_openapi import read_schema
from app.clients.fal_params import describe
from app.errors import InvalidRequest, NotFound, ProviderError
from app.services.model_import import Draft, draft_model, usual_name
from app.services.registry_drift import find_drift
from registry.loader import Registry, load_registry
from registry.params import build_param
from registry.request import check_request
from registry.schema import json_schema
from registry.spec import ModelSpec
from registry.table import Table
from registry.toml_text import toml_key, toml_table, toml_value
from tests.support.fal_place import FalPlace
from tests.support.fal_platform import IMAGE_SIZE, PlatformServer, flux_dev, openapi, platform_server

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = load_registry()
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = date(2026, 11, 20)
ENDPOINT = "fal-ai/flux/dev"
TRICKY = 'quote " backslash \\ tab \t newline \n bell \x07 delete \x7f brackets [x] = # € 🚲 \'\'\' """'


@pytest.fixture
def fal(fal_place: FalPlace) -> Iterator[PlatformServer]:
    with platform_server(fal_place.tls_dir) as server:
        yield server


def spec_of(name: str, registry: Registry = REGISTRY) -> ModelSpec:
    spec = registry.get(name)
    assert spec is not None
    return spec


# -- check -------------------------------------------------------------------------------------------------------------------------------


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


# -- import ------------------------------------------------------------------------------------------------------------------------------


def drafted(fal: PlatformServer, endpoint: str = ENDPOINT, **more: Any) -> Draft:
    return draft_model(fal.client, endpoint, **{"name": "new-model", "per_image": None, "today": TODAY, **more})


def loaded(folder: Path, draft: Draft) -> Registry:
    (folder / f"{draft.name}.toml").write_text(draft.text, "utf-8")
    return load_registry(folder)


def test_a_drafted_file_is_what_fal_says(fal: PlatformServer, tmp_path: Path) -> None:
    fal.price(ENDPOINT, 0.025, "megapixels")
    fal.documents[ENDPOINT] = flux_dev()

    registry = loaded(tmp_path, drafted(fal))

    spec, ours = spec_of("new-model", registry), spec_of("flux-dev")
    (price,) = spec.prices
    assert (price.unit, price.amount, price.start, price.checked) == ("megapixel", Decimal("0.025"), TODAY, TODAY)
    assert (spec.fal_endpoint, spec.category, spec.required_inputs) == (ENDPOINT, "text-to-image", ("prompt",))
    assert (spec.max_images_per_call, spec.default_options, spec.output) == (4, {"num_images": 1}, "images")
    assert spec.params.keys() == ours.params.keys() - {"loras"}
    limits = {name: (p.type, p.minimum, p.maximum, p.enum, p.default) for name, p in spec.params.items()}
    assert limits == {name: (p.type, p.minimum, p.maximum, p.enum, p.default) for name, p in ours.params.items() if name != "loras"}
    assert not list(*find_drift([spec], fal.client, NOW))


def test_its_json_schema_accepts_fals_example(fal: PlatformServer, tmp_path: Path) -> None:
    fal.price(ENDPOINT, 0.025, "megapixels")
    fal.documents[ENDPOINT] = flux_dev()
    draft = drafted(fal)

    registry = loaded(tmp_path, draft)

    body = {"inputs": draft.example, "options": {"num_images": 2, "image_size": "square"}}
    assert draft.example == {"prompt": 'A "cat" in a hat\nat noon'}
    Draft202012Validator(json_schema(registry, spec_of("new-model", registry))).validate(body)


def test_texts_and_names_of_fals_cannot_break_the_file(fal: PlatformServer, tmp_path: Path) -> None:
    properties = {
        "prompt": {"type": "string", "description": TRICKY, "default": TRICKY, "examples": [TRICKY]},
        'an "odd".name # =': {"type": "string", "enum": [TRICKY, "b"]},
        "[prices]": {"type": "boolean"},
        "schlüssel": {"type": "object", "properties": {'inner "x"': {"type": "array", "items": {"type": "string", "pattern": "^\\d+$"}}}},
    }
    fal.price("fal-ai/odd", 1, "images")
    fal.documents["fal-ai/odd"] = openapi("fal-ai/odd", properties, ["prompt"], output="image", category='a "b"\nc')
    draft = drafted(fal, "fal-ai/odd")

    spec = spec_of("new-model", loaded(tmp_path, draft))

    assert (spec.params.keys(), spec.category, spec.output) == (properties.keys(), 'a "b"\nc', "image")
    assert spec.params["prompt"].default == TRICKY
    assert spec.params["prompt"].description == " ".join(TRICKY.split())
    assert spec.params['an "odd".name # ='].enum == (TRICKY, "b")
    assert spec.params["schlüssel"].properties['inner "x"'].items is not None
    assert draft.example == {"prompt": TRICKY}


IMAGES = {"type": "array", "items": {"type": "string"}, "maxItems": 10.0, "examples": [["https://storage.googleapis.com/a.png"]]}
ONE_IMAGE = {"type": "string", "description": "URL of the image."}


def test_images_are_known_by_their_names_and_uploads_reach_them(fal: PlatformServer, tmp_path: Path) -> None:
    properties = {"prompt": {"type": "string"}, "image_urls": IMAGES, "person_image_url": ONE_IMAGE, "callback_url": {"type": "string"}}
    fal.price("fal-ai/edit", 0.05, "images")
    fal.documents["fal-ai/edit"] = openapi(
        "fal-ai/edit", properties, ["prompt", "image_urls", "person_image_url"], category="image-to-image"
    )
    draft = drafted(fal, "fal-ai/edit")

    registry = loaded(tmp_path, draft)

    checked = check_request(registry, "new-model", {**(draft.example or {}), "callback_url": "anything"})
    assert checked.image_inputs == ("/image_urls/0", "/person_image_url")
    assert spec_of("new-model", registry).params["image_urls"].max_items == 10
    assert "num_images" not in spec_of("new-model", registry).params


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"type": "integer"}),
        ({"type": ["number", "null"], "exclusiveMinimum": 0}, {"type": "number", "exclusiveMinimum": 0}),
        ({"type": "number", "exclusiveMinimum": True, "minimum": 0}, {"type": "number", "exclusiveMinimum": 0}),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}], "default": 2}, {"type": "number", "default": 2}),
        ({"anyOf": [{"enum": ["a"], "type": "string"}, {"const": "b", "type": "string"}]}, {"type": "string", "enum": ["a", "b"]}),
        ({"anyOf": [{"enum": ["a"], "type": "string"}, {"type": "string"}]}, {"type": "string"}),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, {"type": "any"}),
        ({"allOf": [{"$ref": "#/components/schemas/Style"}], "default": "b"}, {"type": "string", "enum": ["a", "b"], "default": "b"}),
        ({"$ref": "#/components/schemas/Loop"}, {"type": "any"}),
        ({"$ref": "#/components/schemas/Missing"}, {"type": "any"}),
        ({"$ref": 7}, {"type": "any"}),
        ({}, {"type": "any"}),
        ({"type": "string", "enum": ["a", None]}, {"type": "string", "enum": ["a"]}),
        ({"type": "string", "default": 5}, {"type": "string"}),
        ({"type": "string", "pattern": "(", "maxLength": 5}, {"type": "string", "maxLength": 5}),
        ({"type": "integer", "minimum": 9, "maximum": 1}, {"type": "integer"}),
        ({"type": "integer", "enum": ["x"]}, {"type": "integer"}),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}, None),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a", "b"]},
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        ),
        ({**IMAGE_SIZE, "default": {"width": 1, "height": 1.0}}, None),
    ],
)
def test_a_property_becomes_a_parameter_the_registry_can_check(schema: dict[str, Any], expected: dict[str, Any] | None) -> None:
    tree = {"type": "object", "properties": {"leaf": {"type": "string"}, "branch": {"$ref": "#/components/schemas/Tree"}}}
    shared = {"Style": {"type": "string", "enum": ["a", "b"]}, "Loop": {"$ref": "#/components/schemas/Loop"}, "Tree": tree}
    document = {"components": {"schemas": shared}}

    table = describe("thing", json.loads(json.dumps(schema), parse_float=Decimal), document)

    build_param("thing", Table(table, "", ""), "inputs")
    if expected is not None:
        assert table == expected


@pytest.mark.parametrize(
    ("document", "said"),
    [({}, "does not say what it takes"), ({"paths": []}, "does not say"), ({"paths": {"/x": None}, "components": 7}, "does not say")],
)
def test_a_document_that_describes_nothing_is_told_as_fals_fault(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ProviderError, match=said):
        read_schema(ENDPOINT, document)


def test_a_model_that_makes_no_pictures_is_refused(fal: PlatformServer) -> None:
    fal.documents["fal-ai/video"] = openapi("fal-ai/video", {"prompt": {"type": "string"}}, ["prompt"], output="video")

    with pytest.raises(InvalidRequest, match="neither images nor image"):
        drafted(fal, "fal-ai/video")


def test_an_unknown_endpoint_is_refused(fal: PlatformServer) -> None:
    with pytest.raises(NotFound, match="fal-ai/none"):
        drafted(fal, "fal-ai/none")


@pytest.mark.parametrize("price", [None, (0.0005, "compute_seconds", "USD"), (0.05, "images", "EUR")])
def test_a_price_that_is_not_by_the_image_is_the_operators_decision(
    fal: PlatformServer, tmp_path: Path, price: tuple[float, str, str] | None
) -> None:
    fal.documents[ENDPOINT] = flux_dev()
    if price:
        fal.price(ENDPOINT, *price)

    with pytest.raises(InvalidRequest, match="--cost-per-image"):
        drafted(fal)
    decided = spec_of("new-model", loaded(tmp_path, drafted(fal, per_image=Decimal("0.07"))))

    assert [(price.unit, price.amount) for price in decided.prices] == [("image", Decimal("0.07"))]


def test_a_tiny_price_is_written_in_full(fal: PlatformServer, tmp_path: Path) -> None:
    fal.documents[ENDPOINT] = flux_dev()
    fal.price(ENDPOINT, 1e-7)

    (price,) = spec_of("new-model", loaded(tmp_path, drafted(fal))).prices

    assert price.amount == Decimal("0.0000001")


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [("fal-ai/flux/dev", "flux-dev"), ("a/b.c_d/v1.1", "b.c_d-v1.1"), ("owner", ""), ("a/../x", "x"), ("a/b c", "b-c")],
)
def test_a_model_is_named_after_its_endpoint(endpoint: str, name: str) -> None:
    assert usual_name(endpoint) == name


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DECIMALS = st.decimals(-(10**6), 10**6, allow_nan=False, places=9)
VALUES = st.recursive(
    st.one_of(TEXTS, st.booleans(), st.integers(-(2**70), 2**70), DECIMALS, st.dates(min_value=date(1000, 1, 1))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(values=st.dictionaries(TEXTS, VALUES, max_size=4), name=TEXTS)
def test_what_is_written_as_toml_is_read_the_same(values: dict[str, Any], name: str) -> None:
    text = toml_table(f"[{toml_key(name)}]", values)

    assert tomllib.loads(text, parse_float=Decimal) == {name: values}


def test_half_a_surrogate_pair_is_replaced_and_what_is_no_toml_is_a_mistake() -> None:
    assert tomllib.loads(f"x = {toml_value(chr(0xD800))}") == {"x": "\ufffd"}
    for value in (None, 1.5, Decimal("NaN")):
        with pytest.raises(TypeError):
            toml_value(value)


# -- the commands ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(fal: PlatformServer, fal_place: FalPlace, tmp_path: Path) -> Callable[..., Any]:
    (tmp_path / "models").mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "COLUMNS": "200",
        "SSL_CERT_FILE": str(fal_place.bundle),
        # Neither is used: these commands need no stores.
        "MONGODB_URI": "mongodb://127.0.0.1:9/test_nothing",
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "STORAGE_URL": tmp_path.as_uri(),
        "FAL_KEY": "test-id:test-secret",
        "JWT_SECRET": "x" * 32,
        "REGISTRY_PATH": str(tmp_path / "models"),
        **fal.environment,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "app", "registry", *arguments]
        return subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)

    return run


def test_an_imported_model_passes_the_check_until_fal_changes(fal: PlatformServer, command: Callable[..., Any], tmp_path: Path) -> None:
    fal.price(ENDPOINT, 0.025, "megapixels")
    fal.documents[ENDPOINT] = flux_dev()

    imported = command("import", ENDPOINT, "--name", "my-flux", "-o", str(tmp_path / "models"))
    same = command("check", "--model", "my-flux")
    fal.documents[ENDPOINT] = flux_dev(acceleration=None)
    changed = command("check", "--model", "my-flux")

    assert (imported.returncode, imported.stdout) == (0, "")
    assert imported.stderr.splitlines()[1].startswith('Accepts for example: {"prompt": ')
    assert (same.returncode, same.stdout, same.stderr) == (0, "1 models checked, 0 differences\n", "")
    assert changed.returncode == 1
    (line,) = [line for line in changed.stdout.splitlines() if "acceleration" in line]
    assert [cell.strip() for cell in line.strip("│ ").split("│")] == ["my-flux", "acceleration", "takes it", "unknown"]


def test_an_import_without_a_file_is_printed_and_what_cannot_be_is_told_in_one_message(
    fal: PlatformServer, command: Callable[..., Any], tmp_path: Path
) -> None:
    fal.price(ENDPOINT, 0.025, "megapixels")
    fal.documents[ENDPOINT] = flux_dev()
    (tmp_path / "taken.toml").touch()

    printed = command("import", ENDPOINT, "--name", "other")
    refused = {
        "There is a model 'flux-dev' already": command("import", ENDPOINT),
        "exists already": command("import", ENDPOINT, "-o", str(tmp_path / "taken.toml")),
        "cannot name a model": command("import", ENDPOINT, "--name", "../x"),
        "fal has no endpoint 'fal-ai/none'": command("import", "fal-ai/none"),
        "There is no model 'none'. Models: face-swap,": command("check", "--model", "none"),
    }

    assert (printed.returncode, tomllib.loads(printed.stdout)["falEndpoint"]) == (0, ENDPOINT)
    for said, done in refused.items():
        assert (done.returncode, done.stdout) == (2, ""), done
        assert said in done.stderr
        assert "Traceback" not in done.stderr
