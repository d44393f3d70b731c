"""What a person types, as a request: values by the model's own schema, local pictures as data URIs. Sends nothing."""

from __future__ import annotations

import base64
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagegen.outcomes import WrongCall

REMOTE = re.compile(r"https?://|data:|upload:")
#: First bytes of the types the server takes.
SIGNATURES = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"BM", "bmp"))
#: The server takes data URIs of up to 14,000,000 characters, which is so many bytes.
MAX_FILE_BYTES = 10_400_000
KINDS: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


class Model:
    """One model as `GET /api/images/models/{name}` describes it."""

    def __init__(self, view: Mapping[str, Any]) -> None:
        self.name = str(view["name"])
        self.required = list(view["requiredInputs"])
        self.named_inputs = [*self.required, *view["optionalInputs"]]
        self.inputs, self.options = _parameters(view["inputSchema"])
        self.default_images = int(view["defaultOptions"].get("num_images", 1))

    def home(self, name: str) -> str:
        """Return whether a parameter belongs into `inputs` or `options`. Raises WrongCall for one the model does not have."""
        if name in self.named_inputs or (name in self.inputs and name not in self.options):
            return "inputs"
        if name in self.options:
            return "options"
        raise WrongCall(f"{self.name} has no {name!r}; it takes {', '.join({**self.inputs, **self.options})}")

    def has(self, name: str) -> bool:
        return name in self.named_inputs or name in self.inputs or name in self.options

    def value(self, name: str, text: str) -> Any:
        """Return typed text as the type the model wants: JSON, or the text itself where that is what it takes. Files are not read here."""
        schema = self.inputs.get(name) or self.options.get(name) or {}
        try:
            value = json.loads(text, parse_constant=finite, parse_float=finite)
        except (ValueError, RecursionError):
            if _allows(schema, text):
                return text
            return next((value for value in _spreadsheets(text) if _allows(schema, value)), text)
        return text if not _allows(schema, value) and _allows(schema, text) else value

    def with_images(self, images: Sequence[str]) -> dict[str, Any]:
        """Return pictures under the model's image inputs, in order; a list takes all that are left. Raises WrongCall."""
        left = list(images)
        found: dict[str, Any] = {}
        for name in self._image_inputs() if left else []:
            if not left:
                break
            if self.inputs[name].get("type") == "array":
                found[name], left = left, []
            else:
                found[name] = left.pop(0)
        if left:
            count = len(images) - len(left)
            takes = "no image" if not count else f"{count} image{'s' if count > 1 else ''} ({', '.join(found)})"
            raise WrongCall(f"{self.name} takes {takes}, not {len(images)}")
        return found

    def images_wanted(self, body: Mapping[str, Any]) -> int:
        count = {**body["inputs"], **body["options"]}.get("num_images", self.default_images)
        return count if isinstance(count, int) else 1

    def _image_inputs(self) -> list[str]:
        def takes_image(schema: Mapping[str, Any]) -> bool:
            schema = schema.get("items", schema)
            return any("data:image/" in choice.get("pattern", "") for choice in schema.get("anyOf", []))

        return [name for name in self.named_inputs if takes_image(self.inputs.get(name, {}))]


def finite(text: str) -> float:
    """Return a number; NaN, and what is larger than any number can be, are none."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _spreadsheets(text: str) -> Iterator[Any]:
    """Yield what a cell may mean that is no JSON: spreadsheets write TRUE, and people 01."""
    if text.lower() in ("true", "false"):
        yield text.lower() == "true"
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        yield int(text)
    if re.fullmatch(r"[+-]?(?:[0-9]{1,18}\.?|[0-9]{0,18}\.[0-9]{1,18})", text):
        yield float(text)


def _parameters(schema: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Gather the schemas of all inputs and options, those of a model's variants included."""
    properties = schema.get("properties", {})
    inputs = dict(properties.get("inputs", {}).get("properties", {}))
    options = dict(properties.get("options", {}).get("properties", {}))
    for branch in ("else", "then"):  # The model itself is the else of its variants, and describes best what both have.
        if branch in schema:
            more = _parameters(schema[branch])
            inputs, options = {**more[0], **inputs}, {**more[1], **options}
    return inputs, options


def _allows(schema: Mapping[str, Any], value: Any) -> bool:
    """Tell whether a value has the type, or is one of the choices, of a schema. Ranges are the server's business."""
    if "enum" in schema and not any(value == choice and type(value) is type(choice) for choice in schema["enum"]):
        return False
    if "type" in schema:
        return KINDS.get(schema["type"], lambda _: True)(value)
    choices = schema.get("anyOf") or schema.get("oneOf") or []
    return any(_allows(choice, value) for choice in choices) if choices else True


def standard_input() -> bytes:
    """Return what is on standard input. Raises WrongCall where nothing is: it can be read once."""
    if sys.stdin is None or not (content := sys.stdin.buffer.read()):
        raise WrongCall("There is nothing on standard input; it can be named once, by -")
    return content


def words(text: str) -> str:
    """Return a text as it is, `-` being what is on standard input. Raises WrongCall."""
    if text != "-":
        return text
    try:
        return standard_input().decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise WrongCall("Standard input is not UTF-8 text") from exc


def pair(text: str) -> tuple[str, str]:
    """Split `name=value`. Raises WrongCall."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise WrongCall(f"{text!r} is not NAME=VALUE")
    return name.strip(), words(value)


def image(text: str, folder: Path = Path()) -> str:
    """Return a picture as the server takes it: a URL as it is, a file, or `-` for standard input, as a data URI. Raises WrongCall."""
    if REMOTE.match(text):
        return text
    path = Path("standard input") if text == "-" else folder / Path(text).expanduser()
    content = standard_input() if text == "-" else _content(path)
    if len(content) > MAX_FILE_BYTES:
        raise WrongCall(f"{path} is larger than {MAX_FILE_BYTES:,} bytes; make it smaller, or give a URL")
    return f"data:image/{_type(path, content)};base64,{base64.b64encode(content).decode()}"


def _content(path: Path) -> bytes:
    """Read a file, and of one that is too large no more than shows it."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise WrongCall(f"{path} cannot be read: {exc.strerror}") from exc


def _type(path: Path, content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    for signature, name in SIGNATURES:
        if content.startswith(signature):
            return name
    raise WrongCall(f"{path} is no PNG, JPEG, WebP, GIF or BMP")
