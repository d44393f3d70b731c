"""Checks one JSON value against a Param. `registry.schema` describes the same rules: change both together."""

import math
import re
from collections.abc import Iterator
from typing import Any

from registry.spec import INT64_MAX, INT64_MIN, Param

HTTPS_PATTERN = r"^https://[^\s\x00-\x20\x7f/?#@:\\][^\s\x00-\x20\x7f/?#@\\]*([/?#][^\s\x00-\x20\x7f]*)?$"
"""Lenient about the host, which fal resolves; strict about credentials, spaces and control characters."""
DATA_PATTERN = r"^data:image/[A-Za-z0-9.+-]{1,40};base64,[A-Za-z0-9+/]+={0,2}$"
UPLOAD_PATTERN = r"^upload:[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_URL_LENGTH = 8192
MAX_DATA_LENGTH = 14_000_000
"""Characters of a data URI: 10 MiB of image in base64, the same limit as an upload."""

SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
"""fal's presets in pixels, width first (fal's own toolkit/image/image.py)."""
MAX_SIDE = 14142
SIDE = Param(name="side", type="integer", minimum=1, maximum=MAX_SIDE)
SIZE_OBJECT = Param(name="size", type="object", properties={"width": SIDE, "height": SIDE}, required=("width", "height"))

Fault = tuple[str, str]
"""JSON pointer below the value ("" for itself) and what is wrong with it."""

_TYPE_NAMES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "image": "an image: an https:// URL, a data:image/… URI or upload:<uuid>",
    "size": "a size: a preset name or an object with width and height",
    "array": "a list",
    "object": "an object",
    "any": "a string, number, boolean or a list of them",
}

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "image": (str,),
    "size": (str, dict),
    "array": (list,),
    "object": (dict,),
    "any": (str, int, float, bool, list),
}


def faults(param: Param, value: Any) -> Iterator[Fault]:
    """Yield everything wrong with a value; nothing means it may be sent."""
    if not _has_type(param.type, value):
        hint = ": remove it or give a value" if value is None else ""
        yield "", f"must be {_TYPE_NAMES[param.type]}, not {_json_type(value)}{hint}"
        return
    if isinstance(value, str):
        yield from _string_faults(param, value)
    elif isinstance(value, list):
        yield from _list_faults(param, value)
    elif isinstance(value, dict):
        yield from _object_faults(SIZE_OBJECT if param.type == "size" else param, value)
    elif not isinstance(value, bool):
        yield from _number_faults(param, value)
    if param.enum and param.type != "size" and not any(_same(value, allowed) for allowed in param.enum):
        yield "", f"must be one of {_listed(param.enum)}"


def canonical(param: Param, value: Any) -> Any:
    """Return a deep copy in which whole floats of integer parameters are integers (JSON's 2.0 is 2)."""
    if param.type == "integer" and isinstance(value, float):
        return int(value)
    if isinstance(value, list):
        return [canonical(param.items or Param(name="item"), item) for item in value]
    if isinstance(value, dict):
        known = SIZE_OBJECT.properties if param.type == "size" else param.properties
        return {key: canonical(known.get(key, Param(name=key)), item) for key, item in value.items()}
    return value


def is_whole(value: Any) -> bool:
    """Tell whether JSON Schema would call it an integer."""
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


def escaped(part: str | int) -> str:
    """Return one JSON pointer step, with its slash."""
    return "/" + str(part).replace("~", "~0").replace("/", "~1")


def _has_type(kind: str, value: Any) -> bool:
    if kind == "integer":
        return is_whole(value)
    allowed = _PYTHON_TYPES[kind]
    return isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool))


def _string_faults(param: Param, value: str) -> Iterator[Fault]:
    if "\x00" in value:
        yield "", "must not contain the NUL character"
    elif not value.isascii() and _SURROGATE.search(value):
        yield "", "must not contain half of a surrogate pair"
    elif param.type == "image":
        yield from _image_faults(value)
    elif param.type == "size" and value not in (param.enum or SIZES):
        yield "", f"must be one of {_listed(param.enum or tuple(SIZES))}, or an object with width and height"
    if param.min_length is not None and len(value) < param.min_length:
        yield "", f"must have at least {counted(param.min_length, 'character')}"
    elif param.type == "string" and param.min_length and not param.enum and not value.strip():
        yield "", "must not be blank"
    if param.max_length is not None and len(value) > param.max_length:
        yield "", f"must have at most {counted(param.max_length, 'character')}, not {len(value)}"
    if param.pattern and not param.enum and not re.search(param.pattern, value):
        yield "", f"does not have the right form ({param.description or param.pattern})"


def _image_faults(value: str) -> Iterator[Fault]:
    if value.startswith("http://"):
        yield "", "must be an https:// URL, not http://: fal fetches it over the open network"
    elif value.startswith("https://"):
        if len(value) > MAX_URL_LENGTH:
            yield "", f"is a URL of more than {MAX_URL_LENGTH} characters"
        elif not re.fullmatch(HTTPS_PATTERN[1:-1], value):
            yield "", "must be an https:// URL with a host, without user name, spaces or control characters"
    elif value.startswith("data:"):
        if len(value) > MAX_DATA_LENGTH:
            yield "", "is a data URI of more than 10 MiB: upload the file and use upload:<uuid>"
        elif not re.fullmatch(DATA_PATTERN[1:-1], value):
            yield "", "must be data:image/<type>;base64,<data>, the data of a PNG, JPEG, WEBP, GIF or BMP"
    elif not re.fullmatch(UPLOAD_PATTERN[1:-1], value):
        yield "", f"must be {_TYPE_NAMES['image']}"


def _number_faults(param: Param, value: float) -> Iterator[Fault]:
    if isinstance(value, float) and not math.isfinite(value):  # A whole number may be too long to become a float.
        yield "", "must be a finite number"
        return
    low = param.minimum if param.minimum is not None else INT64_MIN
    high = param.maximum if param.maximum is not None else INT64_MAX
    if value < low:
        yield "", f"must be at least {low}"
    if value > high:
        yield "", f"must be at most {high}"
    if param.exclusive_minimum is not None and value <= param.exclusive_minimum:
        yield "", f"must be more than {param.exclusive_minimum}"


def _list_faults(param: Param, value: list[Any]) -> Iterator[Fault]:
    if param.min_items is not None and len(value) < param.min_items:
        yield "", f"must have at least {counted(param.min_items, 'item')}"
    if param.max_items is not None and len(value) > param.max_items:
        yield "", f"must have at most {counted(param.max_items, 'item')}, not {len(value)}"
    for index, item in enumerate(value):
        yield from _inner(param.items, index, item)


def _object_faults(param: Param, value: dict[str, Any]) -> Iterator[Fault]:
    for name in param.required:
        if name not in value:
            yield "", f"lacks '{name}'"
    for name, item in value.items():
        if param.properties and name not in param.properties:
            yield escaped(name), f"is unknown; allowed are {_listed(tuple(param.properties))}"
        elif "\x00" in name:
            yield "", "must not have the NUL character in a name"
        else:
            yield from _inner(param.properties.get(name), name, item)


def _inner(param: Param | None, step: str | int, value: Any) -> Iterator[Fault]:
    """Check a member; one that is not described may be any scalar, and in an object also a list of scalars."""
    if param is None and isinstance(value, list) and isinstance(step, int):
        yield escaped(step), "must be a string, number or boolean, not a list"
        return
    for pointer, detail in faults(param or Param(name="any"), value):
        yield escaped(step) + pointer, detail


def counted(number: int, thing: str) -> str:
    """Return `1 item`, `2 items`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _same(left: Any, right: Any) -> bool:
    """Compare as JSON does: true is not 1."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a string", list: "a list", dict: "an object", int: "a number", float: "a number"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "something JSON does not have")


def _listed(values: tuple[Any, ...]) -> str:
    return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in values)
