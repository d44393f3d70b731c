"""A drafted model file works as it is, and the commands say what they found. fal's platform API is a stand-in."""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.domain.errors import InvalidRequest, NotFound
from app.services.catalog.model_import import Draft, draft_model, usual_name
from app.services.catalog.registry_drift import find_drift
from registry.loader import Registry, load_registry
from registry.request import check_request
from registry.schema import json_schema
from registry.spec import ModelSpec
from tests.support.fal_place import FalPlace
from tests.support.fal_platform import PlatformServer, flux_dev, openapi, platform_server
from tests.support.operator import run_command

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
        return run_command(["registry", *arguments], environment)

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
