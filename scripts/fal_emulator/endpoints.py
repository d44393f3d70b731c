"""fal's endpoints as data: required inputs, ranges, sizes and what an output looks like. No HTTP here.

Fields, ranges and defaults are those fal's pages gave by October 2026. Unknown extra inputs are ignored.
"""

import math
from dataclasses import dataclass, field
from typing import Any

ASPECT_RATIOS = ("21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16")
PRESETS = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
MEGAPIXEL = 1024 * 1024
RESOLUTIONS = {"0.5K": 512, "1K": 1024, "2K": 2048, "4K": 4096}
LARGEST_SIDE = 14_142
# fal publishes no largest area for FLUX.1; this one keeps a picture of the emulator within 100 MB of memory.
LARGEST_AREA = 20_000_000

Detail = dict[str, Any]
Size = tuple[int, int]


@dataclass(frozen=True)
class Endpoint:
    """`sizing`: image_size, aspect (aspect_ratio and resolution) or input; `shape`: flux, nano or swap."""

    required: tuple[str, ...]
    formats: tuple[str, ...] = ("jpeg", "png")
    sizing: str = "image_size"
    shape: str = "flux"
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)


_TOLERANCE: dict[str, tuple[str, ...]] = {"safety_tolerance": ("1", "2", "3", "4", "5", "6")}
_NANO_EDIT = Endpoint(
    required=("prompt", "image_urls"),
    formats=("png", "jpeg", "webp"),
    sizing="aspect",
    shape="nano",
    choices={"aspect_ratio": ("auto", *ASPECT_RATIOS), "resolution": ("1K", "2K", "4K"), **_TOLERANCE},
)
_STEPS: dict[str, tuple[float, float]] = {"num_inference_steps": (1, 50)}

KNOWN = {
    "fal-ai/nano-banana-pro/edit": _NANO_EDIT,
    "fal-ai/flux-pro/v1.1": Endpoint(required=("prompt",), choices=_TOLERANCE),
    "fal-ai/flux/dev": Endpoint(required=("prompt",), ranges=_STEPS | {"guidance_scale": (1, 20)}),
    "fal-ai/flux-lora": Endpoint(required=("prompt",), ranges=_STEPS | {"guidance_scale": (0, 35)}),
    "fal-ai/flux/dev/image-to-image": Endpoint(
        required=("image_url", "prompt"),
        sizing="input",
        ranges={"num_inference_steps": (10, 50), "guidance_scale": (1, 20), "strength": (0.01, 1)},
    ),
    "fal-ai/face-swap": Endpoint(required=("base_image_url", "swap_image_url"), sizing="input", shape="swap"),
}
_ANY = Endpoint(required=("prompt",), formats=("jpeg", "png", "webp"))
_ANY_NANO = Endpoint(required=("prompt",), formats=("png", "jpeg", "webp"), sizing="aspect", shape="nano")


def find(endpoint: str) -> Endpoint | None:
    """Return what is known of an endpoint; any other `fal-ai/…` takes a prompt; None: there is no such application."""
    if endpoint in KNOWN:
        return KNOWN[endpoint]
    if not endpoint.startswith("fal-ai/") or len(endpoint) == len("fal-ai/"):
        return None
    return _ANY_NANO if endpoint.startswith("fal-ai/nano-banana") else _ANY


def validate(spec: Endpoint, arguments: dict[str, Any]) -> list[Detail]:
    """Return fal's `detail` list for these inputs; empty when they are right."""
    missing = [name for name in spec.required if arguments.get(name) in (None, "", [])]
    detail = [_problem(name, "Field required", "missing") for name in missing]
    if "prompt" in arguments and "prompt" not in missing and not isinstance(arguments["prompt"], str):
        detail.append(_problem("prompt", "Input should be a valid string", "string_type"))
    ranges = {"num_images": (1.0, 4.0), **spec.ranges}
    for name, (low, high) in ranges.items():
        detail += _check_number(name, arguments.get(name), low, high)
    for name, allowed in {"output_format": spec.formats, **spec.choices}.items():
        detail += _check_choice(name, arguments.get(name), allowed)
    if spec.sizing == "image_size":
        detail += _check_size(arguments.get("image_size"))
    return detail


def _check_number(name: str, value: Any, low: float, high: float) -> list[Detail]:
    if value is None:
        return []
    if isinstance(value, bool) or not isinstance(value, int if name.startswith("num_") else int | float):
        return [_problem(name, "Input should be a valid number", "number_type")]
    if value > high:
        return [_problem(name, f"Input should be less than or equal to {high:g}", "less_than_equal", {"le": high})]
    if value < low:
        text = f"Input should be greater than or equal to {low:g}"
        return [_problem(name, text, "greater_than_equal", {"ge": low})]
    return []


def _check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> list[Detail]:
    if value is None or value in allowed:
        return []
    expected = " or ".join(repr(item) for item in allowed)
    return [_problem(name, f"Input should be {expected}", "literal_error", {"expected": expected})]


def _check_size(value: Any) -> list[Detail]:
    if value is None or (isinstance(value, str) and value in PRESETS):
        return []
    if not isinstance(value, dict):
        return _check_choice("image_size", value, tuple(PRESETS))
    sides = (value.get("width", 512), value.get("height", 512))
    if not all(isinstance(side, int) and 1 <= side <= LARGEST_SIDE for side in sides):
        return [_problem("image_size", f"Sides are whole numbers from 1 to {LARGEST_SIDE}", "value_error")]
    if sides[0] * sides[1] > LARGEST_AREA:
        return [_problem("image_size", "Image is too large", "image_too_large")]
    return []


def _problem(name: str, text: str, kind: str, context: dict[str, Any] | None = None) -> Detail:
    problem: Detail = {"loc": ["body", name], "msg": text, "type": kind}
    return problem | {"ctx": context} if context else problem


def size_of(spec: Endpoint, arguments: dict[str, Any], input_size: Size | None) -> Size:
    """Return width and height in pixels; `input_size` is the first reference picture's where it could be read."""
    if spec.sizing == "aspect":
        return _size_from_aspect(arguments, input_size)
    if spec.sizing == "input":
        return _within_area(input_size or PRESETS["landscape_4_3"])
    asked = arguments.get("image_size")
    if isinstance(asked, dict):
        return asked.get("width", 512), asked.get("height", 512)
    return PRESETS.get(str(asked), PRESETS["landscape_4_3"])


def _within_area(size: Size) -> Size:
    shrink = min(1.0, math.sqrt(LARGEST_AREA / (size[0] * size[1])))
    return max(1, int(size[0] * shrink)), max(1, int(size[1] * shrink))


def _size_from_aspect(arguments: dict[str, Any], input_size: Size | None) -> Size:
    side = RESOLUTIONS.get(str(arguments.get("resolution")), RESOLUTIONS["1K"])
    wide, _, high = str(arguments.get("aspect_ratio", "auto")).partition(":")
    width, height = (int(wide), int(high)) if wide.isdigit() and high.isdigit() else input_size or (1, 1)
    ratio = math.sqrt(max(width, 1) / max(height, 1))
    return _multiple_of_16(side * ratio), _multiple_of_16(side / ratio)


def _multiple_of_16(pixels: float) -> int:
    return max(16, round(pixels / 16) * 16)


def billable_units(spec: Endpoint, arguments: dict[str, Any], size: Size, images: int) -> float:
    """Units on the bill: megapixels, each picture rounded up, for FLUX; pictures for the others, 4K counting twice.

    A megapixel is 1024 x 1024: the only size of which fal says how many it is (one; its page of FLUX.2, read 2026-09). A picture with a
    web search costs a tenth more: 0.015 USD above 0.15.
    """
    if spec.shape == "flux":
        return images * math.ceil(size[0] * size[1] / MEGAPIXEL)
    searched = 0.1 if spec.shape == "nano" and arguments.get("enable_web_search") is True else 0.0
    return images * ((2 if arguments.get("resolution") == "4K" else 1) + searched)
