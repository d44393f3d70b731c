"""Every model's form in the Studio makes orders that the service takes: its own rules, run by node, over all schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap import Services
from registry.loader import Registry, default_folder, load_registry
from registry.request import check_options, check_request
from registry.schema import json_schema
from tests.support.node import run_node

FORM = Path(__file__).resolve().parents[2] / "app" / "ui" / "static" / "js" / "form"


#: A model of an operator's own, with a parameter of every kind that a file can describe.
ODD = """
falEndpoint = "fal-ai/odd"
category = "image-to-image"
description = "Every kind of parameter"
requiredInputs = ["picture", "strength", "words"]
optionalInputs = ["seed", "steps", "anything", "settings", "marks", "faces", "level", "note", "control"]
costPerImage = 0.01

[inputs]
picture = { type = "image" }
strength = { type = "number", exclusiveMinimum = 0, maximum = 1 }
words = { type = "array", items = { type = "string", minLength = 1 }, minItems = 1, maxItems = 3 }
steps = { type = "integer", minimum = 5, maximum = 9, default = 7 }
anything = { type = "any" }
settings = { type = "object" }
marks = { type = "array", maxItems = 4 }
faces = { type = "array", items = { type = "image" }, maxItems = 2 }
level = { type = "integer", enum = [1, 2, 3, 4, 5, 6, 7, 8], default = 3 }
note = { type = "string", minLength = 2, maxLength = 20 }
control = { type = "array", items = { type = "object", required = ["path"], properties = { path = { type = "string" }, weight = { type = "number", minimum = 0, maximum = 2 }, on = { type = "boolean" } } } }
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("models")
    (folder / "odd.toml").write_text(ODD)
    return load_registry(default_folder(), folder)


@pytest.fixture(scope="module")
def forms(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    schemas = tmp_path_factory.mktemp("forms") / "schemas.json"
    schemas.write_text(json.dumps({spec.name: json_schema(registry, spec) for spec in registry}))
    found: dict[str, Any] = json.loads(run_node("forms.mjs", str(FORM), str(schemas)))
    return found


def test_every_body_that_a_form_makes_is_one_that_its_model_takes(registry: Registry, forms: dict[str, Any]) -> None:
    assert set(forms) == set(registry.names)
    for model, found in forms.items():
        assert len(found["bodies"]) > 8, model
        for made in found["bodies"]:
            body = made["body"]
            assert made["problems"] == {}, made
            check_request(registry, body["model"], body["inputs"], body["options"])
            check_options(registry, body["model"], made["estimate"]["inputs"], made["estimate"]["options"])


def test_a_price_is_asked_for_without_pictures_and_is_the_orders_own(services: Services, forms: dict[str, Any]) -> None:
    for model in services.registry.names:
        for made in forms[model]["bodies"]:
            body, asked = made["body"], made["estimate"]
            assert "upload:" not in json.dumps(asked)
            assert "data:" not in json.dumps(asked)
            assert services.orders.estimate(asked["model"], asked["inputs"], asked["options"]) == services.orders.estimate(
                body["model"], body["inputs"], body["options"]
            )


def test_what_has_one_value_only_or_names_the_shape_twice_is_not_asked_for(forms: dict[str, Any]) -> None:
    for found in forms.values():
        names = set(found["names"])
        assert "sync_mode" not in names
        assert len(names & {"image_size", "aspect_ratio", "width"}) <= 1


def test_an_empty_form_says_what_is_missing(registry: Registry, forms: dict[str, Any]) -> None:
    for model, found in forms.items():
        spec = registry.get(model)
        assert spec is not None
        assert set(found["empty"]) == set(spec.required_inputs)
