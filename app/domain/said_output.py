"""What a model's output says beside its pictures, kept so that it can be said again in fal's own shape. Pure.

The pictures' links are left out, and all others: fal's own links end, and never reach a client.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: All that is kept of one request.
MAX_BYTES = 64 * 1024
MAX_DEPTH, MAX_ITEMS = 8, 1000
PICTURES = ("images", "image")
LINK = re.compile(r"(https?://|data:)\S+")
_LEFT_OUT = object()


@dataclass(frozen=True)
class SaidOutput:
    """`place` is where its pictures stand, `images` or `image`; `entries` what it says of each: an object, or None for a bare link."""

    place: str
    entries: Sequence[Mapping[str, Any] | None]
    fields: Mapping[str, Any]


def said_text(body: Mapping[str, Any], place: str, entries: Sequence[Any]) -> str:
    """Return what an output says, as text in ASCII that `said_of` reads: BSON has no room for fal's seeds. The longest fields go first."""
    fields = _clean({name: value for name, value in body.items() if name not in PICTURES}, 0)
    pictures: list[Any] = [_clean(entry, 0) if isinstance(entry, dict) else None for entry in entries]
    lengths = {name: len(json.dumps([name, value])) for name, value in fields.items()}
    left = MAX_BYTES - 1024 - len(json.dumps(pictures))
    if left < 0:
        pictures, left = [{}] * min(len(pictures), MAX_ITEMS), MAX_BYTES // 2
    kept = {}
    for name in sorted(lengths, key=lambda name: lengths[name]):
        left -= lengths[name]
        if left >= 0:
            kept[name] = fields[name]
    said = {"place": place, "entries": pictures, "fields": {name: value for name, value in fields.items() if name in kept}}
    return json.dumps(said, separators=(",", ":"))


def said_of(text: str) -> SaidOutput:
    return SaidOutput(**json.loads(text))


def _clean(value: Any, depth: int) -> Any:
    """Return a value without links, halves of characters and numbers that JSON has not, and without what is too deep or too long."""
    if isinstance(value, str):
        return _LEFT_OUT if len(value) > MAX_BYTES or LINK.fullmatch(value) else _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict | list) and depth >= MAX_DEPTH:
        return None
    if isinstance(value, dict):
        cleaned = {_text(str(name)): _clean(item, depth + 1) for name, item in list(value.items())[:MAX_ITEMS]}
        return {name: item for name, item in cleaned.items() if item is not _LEFT_OUT}
    if isinstance(value, list):
        items = (_clean(item, depth + 1) for item in value[:MAX_ITEMS])
        return [None if item is _LEFT_OUT else item for item in items]
    return value


def _text(value: str) -> str:
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "")
