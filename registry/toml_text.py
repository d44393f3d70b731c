"""Writes values and keys as TOML. Reading is in `registry.table`."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def toml_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _string(name)


def toml_value(value: Any) -> str:
    """Return a value on one line; tables become inline tables. Raises TypeError for what TOML or this project does not have."""
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return str(value).lower()  # True is an integer too.
    if isinstance(value, Decimal) and value.is_finite():
        text = f"{value:f}"
        return text if "." in text else f"{text}.0"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{toml_key(name)} = {toml_value(item)}" for name, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    raise TypeError(f"{type(value).__name__} cannot be written as TOML")


def toml_table(header: str, values: Mapping[str, Any]) -> str:
    """Return a table under its header line, such as `[inputs.seed]` or `[[prices]]`; without a header the top of a file."""
    lines = [header] if header else []
    return "\n".join([*lines, *(f"{toml_key(name)} = {toml_value(value)}" for name, value in values.items())]) + "\n"


def _string(text: str) -> str:
    return '"' + "".join(_character(char) for char in text) + '"'


def _character(char: str) -> str:
    """Escape what TOML forbids in a string; half a surrogate pair, which no file can hold, becomes the replacement character."""
    if char in _SHORT:
        return _SHORT[char]
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    if char < " " or char == "\x7f":
        return f"\\u{ord(char):04X}"
    return char
