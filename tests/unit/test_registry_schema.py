import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from registry.loader import Registry, default_folder, load_registry
from registry.request import RequestRefused, accepted, check_request
from registry.schema import json_schema
from registry.spec import ModelSpec, Param
from registry.values import SIZES

Args = dict[str, Any]

SEVEN_LINES = """\
falEndpoint = "fal-ai/your-endpoint"
category = "text-to-image"
requiredInputs = ["prompt"]
optionalInputs = ["seed", "guidance_scale", "mystery", "thing", "shade", "things"]
defaultOptions = { num_images = 1 }
costPerImage = 0.03
description = "Your model description"
[inputs.thing]
type = "object"
[inputs.things]
type = "array"
maxItems = 2
[inputs.shade]
type = "number"
exclusiveMinimum = 0.5
aliases = ["tone"]
[[variants]]
whenInput = "shade"
model = "flux-lora-like"
"""
LORA_LIKE = """\
falEndpoint = "a/b"
category = "c"
requiredInputs = ["prompt"]
optionalInputs = ["shade", "aspect_ratio"]
costPerImage = 0.03
description = "d"
[inputs.prompt]
maxLength = 5
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("models")
    (folder / "your-new-model.toml").write_text(SEVEN_LINES)
    (folder / "flux-lora-like.toml").write_text(LORA_LIKE)
    return load_registry(default_folder(), folder)


NAMES = (*load_registry().names, "your-new-model", "flux-lora-like")
GOOD_IMAGES = (
    "https://your-template.jpg",
    "https://s3.../a.jpg",
    "data:image/gif;base64,AAAA",
    "upload:0190c5d0-7a3f-7c1e-9b1a-3f2f5a7c9e11",
)
IMAGES = st.sampled_from(
    [
        *GOOD_IMAGES * 5,
        "http://a/b.png",
        "https://u:p@a/b.png",
        "https://a b/",
        "upload:x",
        "https://",
    ]
)
# Half surrogate pairs are left out: JSON text in UTF-8 cannot carry them, so the schema does not speak of them.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.one_of(
    st.integers(0, 40),
    st.integers(10, 20),
    st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 0.01, 0.5, 3.0, 3.5, 20.5, 100, 101, 1e300]),
    st.floats(0, 40),
)
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=2)),
    max_leaves=4,
)
SIZE = st.one_of(st.sampled_from([*SIZES, "big"]), st.fixed_dictionaries({"width": NUMBERS}, optional={"height": NUMBERS, "x": JUNK}))
LORA = st.fixed_dictionaries(
    {"path": st.sampled_from(["a/b", "https://a/b", "http://a/b", "x"])},
    optional={"scale": NUMBERS, "force": st.booleans(), "x": JUNK},
)


def values(param: Param) -> st.SearchStrategy[Any]:
    """Mostly values of the right type, inside and outside their bounds."""
    if param.enum and param.type != "size":
        return st.sampled_from([*param.enum, *param.enum, "other"])
    by_type = {
        "string": TEXTS | st.sampled_from(["abc", "1:1", "16:9"]),
        "integer": NUMBERS,
        "number": NUMBERS,
        "boolean": st.booleans(),
        "image": IMAGES,
        "size": SIZE,
        "object": st.dictionaries(TEXTS, JUNK, max_size=2),
        "any": JUNK,
    }
    if param.name == "prompt":
        return st.sampled_from(["abc", "abc", "abcdef", "", "a\0b"]) | TEXTS
    if param.name in ("width", "height"):
        return st.integers(0, 14143)
    if param.name == "loras":
        return st.lists(LORA, max_size=2)
    if param.type == "array":
        return st.lists(values(param.items) if param.items else JUNK, max_size=3)
    return by_type[param.type]


@st.composite
def bodies(draw: st.DrawFn, spec: ModelSpec) -> Args:
    """Bodies with each parameter at most once, under one of its names, in one of the objects."""
    body = {"inputs": {}, "options": {}}
    by_parameter = {}
    for name, param in accepted(spec).items():
        by_parameter.setdefault(param.name, []).append((name, param))
    optional = sorted(set(by_parameter) - set(spec.required_inputs))
    chosen = draw(st.lists(st.sampled_from(optional), max_size=4, unique=True)) if optional else []
    for parameter in [*spec.required_inputs, *chosen]:
        name, param = draw(st.sampled_from(by_parameter[parameter]))
        required = parameter in spec.required_inputs
        rarely = draw(st.integers(0, 14))
        place = "inputs" if required and rarely else draw(st.sampled_from(["inputs", "options"]))
        if rarely != 1:
            body[place][name] = draw(JUNK if rarely == 2 else values(param))
    if draw(st.integers(0, 9)) == 0:
        body[draw(st.sampled_from(["inputs", "options"]))][draw(st.text(string.ascii_lowercase, min_size=1, max_size=4))] = draw(JUNK)
    return body


def accepts(registry: Registry, name: str, body: Args) -> bool:
    try:
        check_request(registry, name, body["inputs"], body["options"])
    except RequestRefused:
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_is_a_valid_json_schema(registry: Registry, name: str) -> None:
    schema = json_schema(registry, registry.get(name))

    Draft202012Validator.check_schema(schema)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == name


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_schema_accepts_exactly_what_the_check_accepts(registry: Registry, name: str, data: st.DataObject) -> None:
    spec = registry.get(name)
    body = data.draw(bodies(spec))

    valid = Draft202012Validator(json_schema(registry, spec)).is_valid(body)

    assert valid == accepts(registry, name, body)


@pytest.mark.parametrize(
    ("name", "body", "valid"),
    [
        ("flux-pro", {"inputs": {"prompt": "a"}}, True),
        ("flux-pro", {"inputs": {}}, False),
        ("flux-pro", {}, False),
        ("flux-pro", {"inputs": {"prompt": "a"}, "extra": 1}, False),
        ("flux-pro", {"inputs": {"prompt": "a"}, "options": {"prompt": "a"}}, False),
        ("flux-pro", {"inputs": {"prompt": "a", "width": 5}, "options": {"height": 5}}, True),
        ("flux-pro", {"inputs": {"prompt": "a", "width": 5}}, False),
        ("flux-pro", {"inputs": {"prompt": "a"}, "options": {"aspect_ratio": "1:1", "image_size": "square"}}, False),
        ("flux-pro", {"inputs": {"prompt": "a"}, "options": {"num_images": 100}}, True),
        ("flux-pro", {"inputs": {"prompt": "a"}, "options": {"num_images": 101}}, False),
        ("flux-dev", {"inputs": {"prompt": "a"}, "options": {"acceleration": "high"}}, True),
        ("flux-dev", {"inputs": {"prompt": "a", "loras": []}, "options": {"acceleration": "high"}}, True),
        (
            "flux-dev",
            {"inputs": {"prompt": "a", "loras": [{"path": "a/b"}]}, "options": {"acceleration": "high"}},
            False,
        ),
        ("flux-dev", {"inputs": {"prompt": "a"}, "options": {"loras": [{"path": "a/b"}]}}, True),
        ("face-swap", {"inputs": {"image_url": "https://a/b", "swap_image_url": "https://a/b"}}, True),
        ("face-swap", {"inputs": {"swap_image_url": "https://a/b"}}, False),
        ("your-new-model", {"inputs": {"prompt": "abcdef"}}, True),
        ("your-new-model", {"inputs": {"prompt": "abcdef", "tone": 1}}, False),
    ],
)
def test_schema_and_check_agree_on_the_telling_cases(registry: Registry, name: str, body: Args, valid: bool) -> None:
    validator = Draft202012Validator(json_schema(registry, registry.get(name)))

    assert validator.is_valid(body) == valid


def test_the_schema_shows_defaults_ranges_and_texts(registry: Registry) -> None:
    schema = json_schema(registry, registry.get("nano-banana-edit"))

    options = schema["properties"]["options"]["properties"]
    assert options["resolution"]["default"] == "1K"
    assert options["resolution"]["enum"] == ["1K", "2K", "4K"]
    assert options["num_images"]["maximum"] == 100
    assert "prompt" not in options
    assert "given" in schema["description"] or "once" in schema["description"]
