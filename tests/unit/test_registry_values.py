from pathlib import Path
from typing import Any

import pytest

from registry.loader import Registry, load_registry
from registry.request import CheckedRequest, Problem, RequestRefused, check_request

REGISTRY = load_registry()
UPLOAD = "upload:0190c5d0-7a3f-7c1e-9b1a-3f2f5a7c9e11"
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def check(model: str, inputs: Any, options: Any = None) -> CheckedRequest:
    return check_request(REGISTRY, model, inputs, options)


def problem(model: str, inputs: Any, options: Any = None) -> Problem:
    with pytest.raises(RequestRefused) as caught:
        check(model, inputs, options)
    (only,) = caught.value.problems
    return only


@pytest.mark.parametrize(
    ("inputs", "detail"),
    [
        ({"prompt": None}, "must be a string, not null: remove it or give a value"),
        ({"prompt": 3}, "must be a string, not a number"),
        ({"prompt": ""}, "must have at least 1 character"),
        ({"prompt": " \n\t\N{NO-BREAK SPACE}"}, "must not be blank"),
        ({"prompt": "a\x00b"}, "must not contain the NUL character"),
        ({"prompt": "a\ud800b"}, "must not contain half of a surrogate pair"),
        ({"prompt": "x" * 50_001}, "must have at most 50000 characters, not 50001"),
        ({"prompt": "a", "seed": True}, "must be an integer, not a boolean"),
        ({"prompt": "a", "seed": 1.5}, "must be an integer, not a number"),
        ({"prompt": "a", "seed": "1"}, "must be an integer, not a string"),
        ({"prompt": "a", "seed": -1}, "must be at least 0"),
        ({"prompt": "a", "seed": 2**64}, "must be at most 18446744073709551615"),
        ({"prompt": "a", "guidance_scale": float("nan")}, "must be a finite number"),
        ({"prompt": "a", "guidance_scale": float("inf")}, "must be a finite number"),
        ({"prompt": "a", "guidance_scale": 10**400}, "must be at most 20"),
        ({"prompt": "a", "image_size": {"width": -(10**400), "height": 512}}, "must be at least 1"),
        ({"prompt": "a", "guidance_scale": 0.9}, "must be at least 1"),
        ({"prompt": "a", "guidance_scale": 20.1}, "must be at most 20"),
        ({"prompt": "a", "guidance_scale": True}, "must be a number, not a boolean"),
        ({"prompt": "a", "output_format": "webp"}, "must be one of jpeg, png"),
        ({"prompt": "a", "enable_safety_checker": 1}, "must be true or false, not a number"),
        ({"prompt": "a", "sync_mode": True}, "must be one of false"),
        ({"prompt": "a", "num_images": 0}, "must be at least 1"),
        ({"prompt": "a", "num_images": 101}, "must be at most 100"),
    ],
)
def test_a_wrong_value_says_what_is_right(inputs: Any, detail: str) -> None:
    found = problem("flux-dev", inputs)

    assert found.detail == detail
    assert found.kind == "invalid"


@pytest.mark.parametrize("value", [0, 2**63, 2**64 - 1, 7.0, 15860307465884635512])
def test_seeds_may_be_larger_than_signed_64_bits(value: Any) -> None:
    request = check("flux-dev", {"prompt": "a", "seed": value})

    assert request.arguments["seed"] == value
    assert type(request.arguments["seed"]) is int


@pytest.mark.parametrize(
    "value",
    [
        "https://s3.../jesse-reference.jpg",
        "https://your-template.jpg",
        "https://host:8443/a/b.png?X-Amz-Signature=a%20b&c=d#e",
        "https://host?x=user@host",
        "https://bücher.example/ü.png",
        "https://a/" + "b" * 8182,
        PIXEL,
        "data:image/webp;base64,AAAA",
        UPLOAD,
        UPLOAD.upper().replace("UPLOAD", "upload"),
    ],
)
def test_an_image_may_be(value: Any) -> None:
    request = check("flux-dev-image-to-image", {"prompt": "a", "image_url": value})

    assert request.arguments["image_url"] == value


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("http://a/b.png", "https://"),
        ("https://", "with a host"),
        ("https:///b.png", "with a host"),
        ("https://:443/b.png", "with a host"),
        ("https://user:pass@a/b.png", "without user name"),
        ("https://a/b c.png", "spaces"),
        ("https://a/b\n", "spaces"),
        ("https://a\\b/c.png", "with a host"),
        ("https://a/\x7f", "control characters"),
        ("https://a/" + "b" * 8183, "8192"),
        ("ftp://a/b.png", "upload:<uuid>"),
        ("file:///etc/passwd", "upload:<uuid>"),
        ("b.png", "upload:<uuid>"),
        ("", "upload:<uuid>"),
        ("upload:1234", "upload:<uuid>"),
        (UPLOAD + "\n", "upload:<uuid>"),
        ("data:text/html;base64,AAAA", "data:image/<type>"),
        ("data:image/png,AAAA", "data:image/<type>"),
        ("data:image/png;base64,", "data:image/<type>"),
        ("data:image/png;base64,A A", "data:image/<type>"),
        ("data:image/png;base64," + "A" * 14_000_000, "10 MiB"),
        (None, "remove it"),
        (["https://a/b.png"], "not a list"),
    ],
)
def test_an_image_may_not_be(value: Any, hint: str) -> None:
    found = problem("flux-dev-image-to-image", {"prompt": "a", "image_url": value})

    assert found.pointer == "/inputs/image_url"
    assert hint in found.detail


@pytest.mark.parametrize("path", ["owner/name", "XLabs-AI/flux-RealismLora", "https://a/b.safetensors"])
def test_a_lora_is_a_url_or_a_hugging_face_id(path: str) -> None:
    assert check("flux-lora", {"prompt": "a", "loras": [{"path": path, "scale": 4, "force": True}]})


@pytest.mark.parametrize(
    ("lora", "pointer"),
    [
        ({"path": "http://a/b"}, "/0/path"),
        ({"path": "name"}, "/0/path"),
        ({"path": "../../etc/passwd"}, "/0/path"),
        ({"path": "https://u:p@a/b"}, "/0/path"),
        ({"scale": 1}, "/0"),
        ({"path": "a/b", "scale": 4.1}, "/0/scale"),
        ({"path": "a/b", "weight": 1}, "/0/weight"),
        ({"path": "a/b", "scale": None}, "/0/scale"),
        ("a/b", "/0"),
    ],
)
def test_a_wrong_lora_is_pointed_at(lora: object, pointer: str) -> None:
    found = problem("flux-lora", {"prompt": "a", "loras": [lora]})

    assert found.pointer == "/inputs/loras" + pointer


@pytest.mark.parametrize("value", ["a", 3, 0.5, True, ["a", 1, False], []])
def test_a_parameter_nobody_describes_takes_scalars_and_lists_of_them(tmp_path: Path, value: Any) -> None:
    registry = _registry_with_unknown(tmp_path)

    assert check_request(registry, "m", {"mystery": value}).arguments == {"mystery": value}


@pytest.mark.parametrize("value", [None, {}, {"a": 1}, [[]], [None], [{}], 2**63, float("nan"), ["\x00"]])
def test_a_parameter_nobody_describes_takes_nothing_else(tmp_path: Path, value: Any) -> None:
    registry = _registry_with_unknown(tmp_path)

    with pytest.raises(RequestRefused):
        check_request(registry, "m", {"mystery": value})


def _registry_with_unknown(folder: Path) -> Registry:
    (folder / "m.toml").write_text(
        'falEndpoint = "a/b"\ncategory = "c"\nrequiredInputs = []\noptionalInputs = ["mystery"]\ndescription = "d"\ncostPerImage = 1\n'
    )
    return load_registry(folder)
