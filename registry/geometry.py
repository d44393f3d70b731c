"""One way to ask for a shape, whatever the model calls it: image_size, width and height, or aspect_ratio."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from registry.spec import ModelSpec, Param
from registry.values import MAX_SIDE, SIZES, Fault

RATIO_SIZES: dict[str, str | dict[str, int]] = {
    "1:1": "square_hd",
    "4:3": "landscape_4_3",
    "3:4": "portrait_4_3",
    "16:9": "landscape_16_9",
    "9:16": "portrait_16_9",
    "21:9": {"width": 1536, "height": 656},
    "3:2": {"width": 1248, "height": 832},
    "5:4": {"width": 1120, "height": 896},
    "4:5": {"width": 896, "height": 1120},
    "2:3": {"width": 832, "height": 1248},
    "9:21": {"width": 656, "height": 1536},
}
"""image_size of each ratio: fal's preset, else multiples of 16 with just below 1024 x 1024 pixels (billed as 1 MP)."""

WIDTH = Param(name="width", type="integer", home="options", minimum=1, maximum=MAX_SIDE, description="Pixels; needs height.")
HEIGHT = Param(name="height", type="integer", home="options", minimum=1, maximum=MAX_SIDE, description="Pixels; needs width.")
RATIO = Param(name="aspect_ratio", type="string", home="options", enum=tuple(RATIO_SIZES), description="Instead of image_size.")
SHAPE_NAMES = ("image_size", "width", "height", "aspect_ratio")


def shape_options(spec: ModelSpec) -> dict[str, Param]:
    """Return the options a caller may use although fal's endpoint has none of that name."""
    params = spec.params
    extra: dict[str, Param] = {}
    if not takes_size(spec) and "aspect_ratio" not in params:
        return extra
    if "width" not in params and "height" not in params:
        extra |= {"width": WIDTH, "height": HEIGHT}
    if "aspect_ratio" not in params:
        extra["aspect_ratio"] = RATIO
    return extra


def conflicts(spec: ModelSpec, given: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield (parameter, fault) when a shape is named in more than one way, or half."""
    extra = shape_options(spec)
    if not extra:
        return
    if "width" in extra and ("width" in given) != ("height" in given):
        has, lacks = ("width", "height") if "width" in given else ("height", "width")
        yield has, f"needs {lacks} too"
    known = extra.keys() | spec.params.keys() & {"image_size", "aspect_ratio"}
    ways = [way for way in ("image_size", "width", "aspect_ratio") if way in given and way in known]
    if len(ways) > 1:
        named = " and ".join("width with height" if way == "width" else way for way in ways)
        yield ways[-1], f"names the shape a second time ({named}): use one"


def shaped(spec: ModelSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with shape options turned into what the endpoint takes. They must be free of conflicts."""
    extra = shape_options(spec)
    arguments = {name: value for name, value in given.items() if name not in extra}
    if "width" in extra and "width" in given:
        width, height = given["width"], given["height"]
        if takes_size(spec):
            arguments["image_size"] = {"width": width, "height": height}
        else:
            arguments["aspect_ratio"] = nearest_ratio(width, height, spec.params["aspect_ratio"].enum)
    if "aspect_ratio" in extra and "aspect_ratio" in given:
        size = RATIO_SIZES[given["aspect_ratio"]]
        arguments["image_size"] = dict(size) if isinstance(size, dict) else size
    return arguments


def nearest_ratio(width: int, height: int, allowed: tuple[str, ...]) -> str:
    """Return the allowed ratio nearest by factor (2:1 and 1:2 are equally far from 1:1); the first of equals."""
    ratios = [ratio for ratio in allowed or tuple(RATIO_SIZES) if ":" in ratio] or list(RATIO_SIZES)
    return min(ratios, key=lambda ratio: abs(math.log(width / height) - _log_of(ratio)))


def asked_pixels(spec: ModelSpec, arguments: Mapping[str, Any]) -> int | None:
    """Return how many pixels an image will have by what goes to fal, or by fal's own defaults; None where that does not say."""

    def chosen(name: str) -> Any:
        return arguments.get(name, spec.params[name].default)

    if "image_size" in spec.params:
        return pixels(chosen("image_size"))
    if {"width", "height"} <= spec.params.keys():
        return pixels({"width": chosen("width"), "height": chosen("height")})
    return None


def pixels(size: Any) -> int | None:
    """Return the number of pixels of an image_size value, or None when it does not say."""
    if isinstance(size, str):
        wide, high = SIZES.get(size, (0, 0))
        return wide * high or None
    width, height = (size.get("width"), size.get("height")) if isinstance(size, dict) else (None, None)
    if isinstance(width, int | float) and isinstance(height, int | float):
        return int(width) * int(height)
    return None


def takes_size(spec: ModelSpec) -> bool:
    """Tell whether a request says how many pixels its images have, as `image_size`."""
    return "image_size" in spec.params and spec.params["image_size"].type == "size"


def _log_of(ratio: str) -> float:
    width, height = ratio.split(":")
    return math.log(int(width) / int(height))
