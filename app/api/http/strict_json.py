"""JSON bodies, read strictly: what JSON, a store or a client could not hold is refused with its place, and costs little to find."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from app.domain.errors import CallerError, FieldError, InvalidRequest

MAX_JSON_DEPTH = 32
#: 500 orders with all their options are some 20,000.
MAX_JSON_VALUES = 100_000
MAX_PROBLEMS = 50
_HALF = re.compile("[\ud800-\udfff]")
PACKED = "Send the body as it is, without Content-Encoding: it is not unpacked here"


class UnsupportedMediaType(CallerError):
    code = "unsupported_media_type"


def parse_json(content: bytes) -> Any:
    """Return the parsed body.

    Raises InvalidRequest for broken JSON, NaN and what is as large, doubled names, halves of characters, absurd depth and too many
    values; UnsupportedMediaType for a packed one.
    """
    # Counted before they are made: each takes some 100 bytes and the loop's time, and a byte of text can be one.
    if sum(content.count(mark) for mark in b",[{") > MAX_JSON_VALUES:
        raise InvalidRequest(f"The body has more than {MAX_JSON_VALUES} values")
    if content.startswith(b"\x1f\x8b"):
        raise UnsupportedMediaType(PACKED)
    try:
        text = content.decode(json.detect_encoding(content))
        body = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique)
    except RecursionError as exc:
        raise InvalidRequest("The body is nested too deeply") from exc
    except (ValueError, UnicodeDecodeError) as exc:
        raise InvalidRequest(f"The body is not valid JSON: {exc}") from exc
    if _depth(body) > MAX_JSON_DEPTH:
        raise InvalidRequest("The body is nested too deeply")
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object")
    if "\\u" in text and (halves := list(islice(_halves(body, ""), MAX_PROBLEMS))):
        raise InvalidRequest("; ".join(f"{error.pointer}: {error.detail}" for error in halves[:5]), halves)
    return body


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is larger than any number can be")
    return number


def _halves(value: Any, pointer: str) -> Iterator[FieldError]:
    """Yield where a text, or a name, holds half of a surrogate pair: no store and no client can take it."""
    if isinstance(value, str):
        if _HALF.search(value):
            yield FieldError(pointer, "Must not contain half of a surrogate pair.")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _halves(item, f"{pointer}/{number}")
    elif isinstance(value, dict):
        for name, item in value.items():
            shown = name.encode("ascii" if _HALF.search(name) else "utf-8", "backslashreplace").decode()
            below = pointer + "/" + shown.replace("~", "~0").replace("/", "~1")
            if _HALF.search(name):
                yield FieldError(below, f"The name {shown!r} must not contain half of a surrogate pair.")
            yield from _halves(item, below)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [item for node in level if isinstance(node, dict | list) for item in (node.values() if isinstance(node, dict) else node)]
    return depth
