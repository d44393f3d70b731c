"""Builds Params from tables of a registry file, on top of what the well-known names usually mean."""

import functools
import re
from pathlib import Path
from typing import Any

from registry.spec import Param
from registry.table import Table, read_toml
from registry.values import SIZES, faults

_KEYS = {
    "string": {"minLength", "maxLength", "pattern"},
    "integer": {"minimum", "maximum", "exclusiveMinimum"},
    "number": {"minimum", "maximum", "exclusiveMinimum"},
    "boolean": set[str](),
    "image": set[str](),
    "size": set[str](),
    "array": {"minItems", "maxItems", "items"},
    "object": {"properties", "required"},
    "any": set[str](),
}
_ANY_TYPE = {"type", "default", "enum", "aliases", "description"}


@functools.cache
def known_params() -> dict[str, dict[str, Any]]:
    """Return the usual description of each well-known name, as TOML tables."""
    return dict(read_toml(Path(__file__).parent / "known_params.toml").values)


def build_param(name: str, table: Table, home: str, *, known: bool = True) -> Param:
    """Describe one parameter.

    The table's keys replace those of the well-known parameter of the same name, unless it changes the type. Raises
    RegistryError for an unknown key, a key the type does not have, and a default or enum value the rest forbids.
    """
    usual = known_params().get(name, {}) if known else {}
    if table.values.get("type", usual.get("type")) != usual.get("type"):
        usual = {}
    merged = Table({**usual, **table.values}, table.file, table.path)
    param = _read(name, merged, home)
    _check_consistent(param, merged)
    return param


def _read(name: str, table: Table, home: str) -> Param:
    kind = table.optional_text("type") or "any"
    if kind not in _KEYS:
        raise table.fail("type", f"'{kind}' is no type; use one of {', '.join(_KEYS)}")
    for key in table.values:
        if key not in _ANY_TYPE | _KEYS[kind]:
            allowed = ", ".join(sorted(_ANY_TYPE | _KEYS[kind]))
            raise table.fail(key, f"unknown key for a parameter of type {kind}; known are {allowed}")
    properties = table.table("properties")
    return Param(
        name=name,
        type=kind,
        home=home,
        default=table.raw("default"),
        minimum=table.number("minimum"),
        maximum=table.number("maximum"),
        exclusive_minimum=table.number("exclusiveMinimum"),
        min_length=table.integer("minLength"),
        max_length=table.integer("maxLength"),
        min_items=table.integer("minItems"),
        max_items=table.integer("maxItems"),
        pattern=table.optional_text("pattern"),
        enum=_enum(table),
        items=build_param("items", table.table("items"), home, known=False) if "items" in table else None,
        properties={inner: build_param(inner, properties.table(inner), home, known=False) for inner in properties.values},
        required=table.names("required"),
        aliases=table.names("aliases"),
        description=table.optional_text("description") or "",
    )


def _enum(table: Table) -> tuple[Any, ...]:
    values = table.raw("enum")
    if values is None:
        return ()
    if not isinstance(values, list) or not values:
        raise table.fail("enum", "must be a list of at least one value")
    return tuple(values)


def _check_consistent(param: Param, table: Table) -> None:
    _check_bounds(param, table)
    _check_pattern(param, table)
    for name in param.required:
        if name not in param.properties:
            raise table.fail("required", f"'{name}' is not among the properties; describe it or remove it")
    for index, value in enumerate(param.enum):
        if param.type == "size" and value not in SIZES:
            raise table.fail(f"enum[{index}]", f"'{value}' is no preset; use {', '.join(SIZES)}")
        for _, detail in faults(param, value):
            raise table.fail(f"enum[{index}]", f"contradicts the parameter itself: {detail}")
    if param.default is not None:
        for _, detail in faults(param, param.default):
            raise table.fail("default", f"is not allowed by the parameter itself: {detail}")


def _check_bounds(param: Param, table: Table) -> None:
    pairs = (
        ("maximum", param.minimum, param.maximum),
        ("maximum", param.exclusive_minimum, param.maximum),
        ("maxLength", param.min_length, param.max_length),
        ("maxItems", param.min_items, param.max_items),
    )
    for key, low, high in pairs:
        if low is not None and high is not None and low > high:
            raise table.fail(key, f"{high} is below the lower bound {low}; no value would be allowed")


def _check_pattern(param: Param, table: Table) -> None:
    try:
        re.compile(param.pattern or "")
    except re.error as exc:
        raise table.fail("pattern", f"is not a regular expression: {exc}") from exc
