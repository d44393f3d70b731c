"""What is typed becomes a request by the model's own schema."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from imagegen.arguments import Model, image, pair
from imagegen.outcomes import WrongCall
from registry.loader import load_registry
from registry.schema import json_schema

PNG = b"\x89PNG\r\n\x1a\n and more"
REGISTRY = load_registry()


def model(name: str) -> Model:
    spec = REGISTRY.get(name)
    assert spec is not None
    return Model(
        {
            "name": spec.name,
            "requiredInputs": list(spec.required_inputs),
            "optionalInputs": list(spec.optional_inputs),
            "defaultOptions": dict(spec.default_options),
            "inputSchema": json_schema(REGISTRY, spec),
        }
    )


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("safety_tolerance", "3", "3"),
        ("num_images", "3", 3),
        ("enhance_prompt", "true", True),
        ("image_size", "square", "square"),
        ("image_size", '{"width": 512, "height": 512}', {"width": 512, "height": 512}),
        ("prompt", "42", "42"),
        ("prompt", "true", "true"),
        ("seed", "7", 7),
        ("seed", "many", "many"),
        ("guidance_scale", "1e400", "1e400"),
        ("guidance_scale", "NaN", "NaN"),
        ("prompt", "Infinity", "Infinity"),
        ("loras", '[{"scale": 1e400}]', '[{"scale": 1e400}]'),
        ("loras", "[" * 100_000, "[" * 100_000),
        ("unknown", '["a"]', ["a"]),
    ],
)
def test_a_value_gets_the_type_the_model_wants(name: str, text: str, value: Any) -> None:
    typed = model("flux-pro").value(name, text)

    assert typed == value
    assert type(typed) is type(value)


def test_a_parameter_goes_where_the_model_documents_it() -> None:
    flux = model("flux-dev")

    homes = {name: flux.home(name) for name in ("prompt", "seed", "num_images", "loras")}

    assert homes == {"prompt": "inputs", "seed": "inputs", "num_images": "options", "loras": "inputs"}


def test_a_parameter_the_model_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(WrongCall, match=r"flux-pro has no 'promt'; it takes .*prompt"):
        model("flux-pro").home("promt")


@pytest.mark.parametrize(
    ("name", "images", "inputs"),
    [
        ("flux-dev-image-to-image", ["a"], {"image_url": "a"}),
        ("nano-banana-edit", ["a", "b", "c"], {"image_urls": ["a", "b", "c"]}),
        ("face-swap", ["a", "b"], {"base_image_url": "a", "swap_image_url": "b"}),
        ("flux-pro", [], {}),
    ],
)
def test_pictures_go_to_the_models_image_inputs_in_order(name: str, images: list[str], inputs: dict[str, Any]) -> None:
    assert model(name).with_images(images) == inputs


@pytest.mark.parametrize(("name", "takes"), [("flux-pro", "no image"), ("flux-dev-image-to-image", "1 image")])
def test_more_pictures_than_the_model_takes_are_refused(name: str, takes: str) -> None:
    with pytest.raises(WrongCall, match=takes):
        model(name).with_images(["a", "b"])


def test_a_local_picture_becomes_a_data_uri_of_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(PNG)

    uri = image("photo.jpg", tmp_path)

    assert uri == "data:image/png;base64," + base64.b64encode(PNG).decode()


@pytest.mark.parametrize("text", ["https://example.com/a.png", "data:image/png;base64,AA==", "upload:01a1fbb9-ae99-76ef-85b8-99f0e4849dc8"])
def test_a_remote_picture_is_left_as_it_is(text: str) -> None:
    assert image(text) == text


def test_a_file_that_is_no_picture_or_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("hello")

    with pytest.raises(WrongCall, match="is no PNG"):
        image("notes.png", tmp_path)
    with pytest.raises(WrongCall, match="cannot be read"):
        image("missing.png", tmp_path)


def test_a_pair_is_split_at_the_first_equals_sign() -> None:
    assert pair("a=b=c") == ("a", "b=c")
    with pytest.raises(WrongCall, match="is not NAME=VALUE"):
        pair("a")


def test_the_images_wanted_are_counted_from_the_request_or_the_models_default() -> None:
    flux = model("flux-pro")

    counts = [flux.images_wanted({"inputs": {}, "options": options}) for options in ({}, {"num_images": 3})]

    assert counts == [1, 3]
