"""What an endpoint takes and answers, read from its OpenAPI document (3.0 as fal writes it; 3.1 is understood too).

Each parameter becomes the table that would describe it in a model file.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.domain.errors import ProviderError
from registry.params import build_param, known_params
from registry.spec import INT64_MAX, RegistryError
from registry.table import Table, plain
from registry.values import SIZES

Schema = Mapping[str, Any]
Description = dict[str, Any]

#: Not taken from fal: with `true` it answers with data URIs and keeps nothing, and a lost answer would be a lost image.
OUR_OWN = frozenset({"sync_mode"})
MAX_DEPTH = 6
MAX_DESCRIPTION = 300
_IMAGE_NAME = re.compile(r"(?:^|.*_)(?:image|mask|photo|picture)(?:_.*)?_url")
_NUMBERS = ("minimum", "maximum")
_LIMITS = {
    "string": ("minLength", "maxLength", "pattern"),
    "integer": _NUMBERS,
    "number": _NUMBERS,
    "array": ("minItems", "maxItems"),
}
#: What is given up, in this order, where fal's own words contradict each other or say more than a model file can.
_EXPENDABLE = (("default",), ("pattern",), ("enum",), ("minimum", "maximum", "exclusiveMinimum"), ("items",), ("properties", "required"))


@dataclass(frozen=True, kw_only=True)
class EndpointSchema:
    endpoint: str
    category: str | None
    documentation: str | None
    inputs: Mapping[str, Description]
    """Each parameter as a model file would describe it, in fal's order; empty where this service has rules of its own."""
    required: tuple[str, ...]
    examples: Mapping[str, Any]
    """fal's example of each parameter that has one."""
    output: str | None
    """Key of the answer that holds the pictures, `images` or `image`; None: it makes none."""


def read_schema(endpoint: str, document: Schema) -> EndpointSchema:
    """Read the document of an endpoint. Raises ProviderError where it does not describe what the endpoint takes."""
    body = _input(endpoint, document)
    properties = body.get("properties")
    if not isinstance(properties, Mapping):
        raise ProviderError(f"fal's description of {endpoint} does not say what it takes")
    names = [name for name in _ordered(body, properties) if name.strip()]
    metadata = _at(document, "info", "x-fal-metadata") or {}
    return EndpointSchema(
        endpoint=endpoint,
        category=_text(metadata.get("category")),
        documentation=_https(metadata.get("documentationUrl")) or _https(metadata.get("playgroundUrl")),
        inputs={name: describe(name, properties[name], document) for name in names},
        required=tuple(name for name in names if name in (body.get("required") or ())),
        examples={name: example for name in names for example in _example(resolved(properties[name], document))},
        output=_output(document),
    )


def _input(endpoint: str, document: Schema) -> dict[str, Any]:
    """Return the schema of the submit's body: of the endpoint's own path, else of the only one that is no request's."""
    paths = document.get("paths")
    paths = paths if isinstance(paths, Mapping) else {}
    candidates = [f"/{endpoint}", *(path for path in paths if "/requests/" not in path)]
    bodies = (_at(paths.get(path), "post", "requestBody", "content", "application/json", "schema") for path in candidates)
    return next((found for body in bodies if (found := resolved(body, document))), {})


def _output(document: Schema) -> str | None:
    paths = document.get("paths")
    for path, methods in paths.items() if isinstance(paths, Mapping) else ():
        if path.endswith("/requests/{request_id}"):
            schema = _at(methods, "get", "responses", "200", "content", "application/json", "schema")
            names = resolved(schema, document).get("properties") or {}
            return next((key for key in ("images", "image") if key in names), None)
    return None


def _ordered(body: Mapping[str, Any], properties: Mapping[str, Any]) -> list[str]:
    order = body.get("x-fal-order-properties")
    listed = [name for name in order if name in properties] if isinstance(order, list) else []
    return list(dict.fromkeys([*listed, *properties]))


def _example(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the first example, with plain JSON numbers, where there is one."""
    examples = schema.get("examples")
    first = examples[0] if isinstance(examples, list) and examples else schema.get("example")
    if first is not None:
        yield plain(first)


def _at(value: Any, *path: str) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _https(value: Any) -> str | None:
    return value if isinstance(value, str) and value.startswith("https://") else None


def describe(name: str, schema: Schema, document: Schema) -> Description:
    """Return the table of one parameter, which `build_param` accepts."""
    if name in OUR_OWN:
        return {}
    table = _table(name, schema, document, 0)
    text = " ".join(str(resolved(schema, document).get("description") or "").split())
    if text:
        table["description"] = text if len(text) <= MAX_DESCRIPTION else text[: MAX_DESCRIPTION - 1] + "…"
    return _accepted(name, table, known=True)


def resolved(schema: Any, document: Schema, depth: int = 0) -> dict[str, Any]:
    """Follow references and merge `allOf`; what stands beside them wins. Nothing, where it leads nowhere."""
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return {}
    parts = [_at(document, *_steps(schema["$ref"]))] if isinstance(schema.get("$ref"), str) else []
    parts += schema["allOf"] if isinstance(schema.get("allOf"), list) else []
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= resolved(part, document, depth + 1)
    return merged | {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}


def _steps(reference: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in reference.removeprefix("#/").split("/")]


def _table(name: str, schema: Schema, document: Schema, depth: int) -> Description:
    whole = resolved(schema, document)
    choices = _choices(whole, document)
    table = _of_choices(name, choices, document, depth) if depth <= MAX_DEPTH else {"type": "any"}
    if whole.get("default") is not None:
        table["default"] = _whole(whole["default"])
    return table


def _choices(whole: dict[str, Any], document: Schema) -> list[dict[str, Any]]:
    """Return the alternatives of a schema, without null; a plain one is its own only alternative."""
    several = next((whole[key] for key in ("anyOf", "oneOf") if isinstance(whole.get(key), list)), None)
    choices = [resolved(choice, document) for choice in several] if several else [whole]
    for choice in choices:
        kinds = choice.get("type")
        if isinstance(kinds, list):  # OpenAPI 3.1
            left = [kind for kind in kinds if kind != "null"]
            choice["type"] = left[0] if len(left) == 1 else None
    return [choice for choice in choices if choice.get("type") != "null"]


def _of_choices(name: str, choices: list[dict[str, Any]], document: Schema, depth: int) -> Description:
    if any({"width", "height"} <= _names(choice) for choice in choices) and len(choices) > 1:
        presets = [value for choice in choices for value in _enum(choice) if value in SIZES]
        return {"type": "size"} | ({"enum": presets} if presets and set(presets) != set(SIZES) else {})
    if len(choices) == 1:
        return _single(name, choices[0], document, depth)
    kinds = {choice.get("type") for choice in choices}
    if kinds == {"string"} and all(_enum(choice) for choice in choices):
        return {"type": "string", "enum": [value for choice in choices for value in _enum(choice)]}
    if kinds == {"string"}:
        return _single(name, {"type": "string"}, document, depth)
    return {"type": "number" if kinds and kinds <= {"integer", "number"} else "any"}


def _single(name: str, choice: dict[str, Any], document: Schema, depth: int) -> Description:
    kind = _kind(name, choice)
    table: Description = {"type": kind}
    table |= {key: _whole(choice[key]) for key in _LIMITS.get(kind, ()) if choice.get(key) is not None}
    if kind in ("string", "integer", "number") and (values := _enum(choice)):
        table["enum"] = values
    if kind in ("integer", "number"):
        table |= _exclusive(table, choice)
    if kind == "array" and isinstance(choice.get("items"), Mapping):
        table["items"] = _accepted("items", _table(name.removesuffix("s"), choice["items"], document, depth + 1), known=False)
    if kind == "object" and _names(choice):
        table["properties"] = {
            inner: _accepted(inner, _table(inner, schema, document, depth + 1), known=False)
            for inner, schema in choice["properties"].items()
        }
        table["required"] = [inner for inner in choice.get("required") or () if inner in table["properties"]]
    return table


def _kind(name: str, choice: dict[str, Any]) -> str:
    kind = choice.get("type") or ("object" if _names(choice) else None)
    if kind == "string" and not _enum(choice):
        is_image = known_params().get(name, {}).get("type") == "image" or _IMAGE_NAME.fullmatch(name)
        return "image" if is_image else "string"
    return kind if kind in ("string", "integer", "number", "boolean", "array", "object") else "any"


def _exclusive(table: Description, choice: dict[str, Any]) -> Description:
    """Return the exclusive lower bound, which is a number in OpenAPI 3.1 and a flag beside `minimum` in 3.0."""
    bound = choice.get("exclusiveMinimum")
    if bound is True and "minimum" in table:
        return {"exclusiveMinimum": table.pop("minimum")}
    return {} if bound is None or isinstance(bound, bool) else {"exclusiveMinimum": _whole(bound)}


def _whole(value: Any) -> Any:
    """Return 4.0 as 4: what fal's generator writes for many limits, and a length must be an integer."""
    return int(value) if isinstance(value, Decimal) and abs(value) < INT64_MAX and value == value.to_integral_value() else value


def _enum(choice: dict[str, Any]) -> list[Any]:
    values = [choice["const"]] if "const" in choice else choice.get("enum")
    return [_whole(value) for value in values if value is not None] if isinstance(values, list) else []


def _names(choice: dict[str, Any]) -> set[str]:
    properties = choice.get("properties")
    return set(properties) if isinstance(properties, Mapping) else set()


def _accepted(name: str, table: Description, *, known: bool) -> Description:
    """Return the table, without what a model file would be refused for."""
    left = dict(table)
    for keys in ((), *_EXPENDABLE):
        for key in keys:
            left.pop(key, None)
        with contextlib.suppress(RegistryError):
            build_param(name, Table(left, "", name), "inputs", known=known)
            return left
    return {"type": "any", **({"description": table["description"]} if "description" in table else {})}
