from pathlib import Path
from typing import Any

import pytest

from registry.geometry import RATIO_SIZES, nearest_ratio, pixels
from registry.loader import load_registry
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
    ("ratio", "size"),
    [
        ("1:1", "square_hd"),
        ("4:3", "landscape_4_3"),
        ("3:4", "portrait_4_3"),
        ("16:9", "landscape_16_9"),
        ("9:16", "portrait_16_9"),
        ("21:9", {"width": 1536, "height": 656}),
        ("2:3", {"width": 832, "height": 1248}),
    ],
)
def test_aspect_ratio_becomes_the_image_size_of_models_that_have_one(ratio: str, size: Any) -> None:
    request = check("flux-pro", {"prompt": "a"}, {"aspect_ratio": ratio})

    assert request.arguments == {"prompt": "a", "image_size": size}
    assert request.options["aspect_ratio"] == ratio


@pytest.mark.parametrize("ratio", RATIO_SIZES)
def test_sizes_of_ratios_are_one_megapixel_multiples_of_16_and_true_to_the_ratio(ratio: str) -> None:
    size = RATIO_SIZES[ratio]
    width, height = (int(part) for part in ratio.split(":"))

    assert 500_000 < (pixels(size) or 0) <= 1_048_576
    if isinstance(size, dict):
        assert size["width"] % 16 == size["height"] % 16 == 0
        assert size["width"] / size["height"] == pytest.approx(width / height, rel=0.01)


@pytest.mark.parametrize("size", ["square", {"width": 640, "height": 480}])
def test_image_size_passes_through(size: Any) -> None:
    assert check("flux-pro", {"prompt": "a"}, {"image_size": size}).arguments["image_size"] == size


@pytest.mark.parametrize(
    ("width", "height", "ratio"),
    [
        (1024, 1024, "1:1"),
        (1920, 1080, "16:9"),
        (1080, 1920, "9:16"),
        (5000, 100, "21:9"),
        (1100, 1000, "1:1"),
        (1, 14142, "9:16"),
    ],
)
def test_width_and_height_become_the_nearest_ratio_of_models_that_have_one(width: int, height: int, ratio: str) -> None:
    request = check("nano-banana-edit", {"prompt": "abc", "image_urls": [UPLOAD]}, {"width": width, "height": height})

    assert request.arguments["aspect_ratio"] == ratio
    assert "width" not in request.arguments


def test_distance_of_ratios_is_by_factor() -> None:
    assert nearest_ratio(150, 100, ("1:1", "2:1")) == "2:1"
    assert nearest_ratio(100, 150, ("1:1", "1:2")) == "1:2"
    assert nearest_ratio(100, 140, ("1:1", "1:2")) == "1:1"
    assert nearest_ratio(16, 9, ()) == "16:9"


@pytest.mark.parametrize(
    ("options", "pointer", "detail"),
    [
        ({"width": 1024}, "/options/width", "needs height too"),
        ({"height": 1024}, "/options/height", "needs width too"),
        ({"width": 0, "height": 1}, "/options/width", "must be at least 1"),
        ({"width": 14143, "height": 1}, "/options/width", "must be at most 14142"),
        ({"aspect_ratio": "7:5"}, "/options/aspect_ratio", "must be one of"),
        ({"image_size": "huge"}, "/options/image_size", "must be one of square_hd"),
        ({"image_size": {"width": 4}}, "/options/image_size", "lacks 'height'"),
        ({"image_size": "square", "aspect_ratio": "1:1"}, "/options/aspect_ratio", "use one"),
        ({"image_size": "square", "width": 1, "height": 1}, "/options/width", "use one"),
        ({"aspect_ratio": "1:1", "width": 1, "height": 1}, "/options/aspect_ratio", "use one"),
    ],
)
def test_a_shape_is_named_once_and_whole(options: Any, pointer: str, detail: str) -> None:
    found = problem("flux-pro", {"prompt": "a"}, options)

    assert found.pointer == pointer
    assert detail in found.detail


@pytest.mark.parametrize("name", ["width", "height", "aspect_ratio", "image_size"])
def test_models_without_a_shape_do_not_know_the_options(name: str) -> None:
    found = problem("flux-dev-image-to-image", {"prompt": "a", "image_url": UPLOAD}, {name: 4})

    assert found.kind == "unknown"


def test_a_shape_the_caller_names_replaces_the_default_one(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(
        'falEndpoint = "a/b"\ncategory = "c"\nrequiredInputs = []\ndescription = "d"\ncostPerImage = 1\n'
        'defaultOptions = { image_size = "square" }'
    )
    registry = load_registry(tmp_path)

    default = check_request(registry, "m", {}, {})
    wide = check_request(registry, "m", {}, {"aspect_ratio": "16:9"})

    assert default.arguments == {"image_size": "square"}
    assert wide.arguments == {"image_size": "landscape_16_9"}
    assert wide.options == {"aspect_ratio": "16:9"}
