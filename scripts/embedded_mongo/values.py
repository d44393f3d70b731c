"""BSON values: equality, order between types, and paths into documents.

Python takes True for 1 and cannot order different types; MongoDB does neither, so every comparison goes through here.
"""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from bson import Int64
from bson.binary import Binary
from bson.codec_options import CodecOptions
from bson.objectid import ObjectId

from .errors import not_supported

Document = dict[str, Any]
Key = Any  # The hashable form of a value that `canonical` makes.
SortKey = tuple[int, Any]
CODEC: Final[CodecOptions[Any]] = CodecOptions(tz_aware=True)


class _Missing:
    """The value of a field that is not there, which is not the same as null."""


MISSING: Final = _Missing()

PLAIN: Final = frozenset({str, ObjectId, datetime, bytes, Binary, type(None)})
"""Types whose Python equality is MongoDB's, and which equal no value of another type."""

_NULL_RANK: Final = 5
_NUMBER_RANK: Final = 10
_RANKS: Final = {
    type(None): _NULL_RANK, _Missing: _NULL_RANK, int: _NUMBER_RANK, Int64: _NUMBER_RANK, float: _NUMBER_RANK,
    str: 15, dict: 20, list: 25, bytes: 30, Binary: 30, ObjectId: 35, bool: 40, datetime: 45,
}  # fmt: skip


def canonical(value: Any) -> Key:
    """Return a hashable form that is equal for two values exactly when MongoDB takes them for equal."""
    kind = value.__class__
    if kind in PLAIN or kind is int or kind is Int64:
        return value
    if kind is bool:
        return ("bool", value)
    if kind is float:
        return ("nan",) if math.isnan(value) else value
    if kind is dict:
        return ("dict", tuple((name, canonical(item)) for name, item in value.items()))
    if kind is list:
        return ("list", tuple(map(canonical, value)))
    return value


def equal(left: Any, right: Any) -> bool:
    """Say whether two values are equal for MongoDB: True is not 1, 1 is 1.0, the order of fields counts."""
    return bool(canonical(left) == canonical(right))


def type_rank(value: Any) -> int:
    """Return the place of the value's type in MongoDB's order of types; refuses types it cannot order."""
    rank = _RANKS.get(value.__class__)
    if rank is None:
        raise not_supported(f"comparing values of type {type(value).__name__}")
    return rank


def sort_key(value: Any) -> SortKey:
    """Return what orders values as MongoDB does, across types; a missing value sorts as null."""
    rank = type_rank(value)
    match rank:
        case 10:
            return (9, 0) if value != value else (rank, value)  # noqa: PLR0124 - NaN sorts before every number.
        case 20:
            return (rank, tuple((type_rank(item), name, sort_key(item)) for name, item in value.items()))
        case 25:
            return (rank, tuple(map(sort_key, value)))
        case 30:
            return (rank, (len(value), getattr(value, "subtype", 0), bytes(value)))
        case 5:
            return (rank, 0)
    return (rank, value)


def sort_key_of(document: Document, parts: list[str], *, descending: bool) -> SortKey:
    """Return the sort key of one field: an array sorts by its smallest element, or its largest when descending."""
    if len(parts) == 1 and (value := document.get(parts[0], MISSING)).__class__ is not list:
        return sort_key(value)
    keys: list[SortKey] = []
    for value in candidates(document, parts):
        if value.__class__ is list:
            keys.extend(map(sort_key, value) if value else [(_NULL_RANK - 1, 0)])
        else:
            keys.append(sort_key(value))
    return (max if descending else min)(keys, default=(_NULL_RANK, 0))


def candidates(node: Any, parts: list[str], at: int = 0) -> Iterator[Any]:
    """Yield every value the path leads to, through arrays too; MISSING where a document lacks the field."""
    last = len(parts) - 1
    while node.__class__ is dict:
        node = node.get(parts[at], MISSING)
        if at == last:
            yield node
            return
        at += 1
    if node.__class__ is not list:
        yield MISSING
        return
    part = parts[at]
    if part.isdecimal():
        item = node[int(part)] if int(part) < len(node) else MISSING
        if at == last or item is MISSING:
            yield item
        else:
            yield from candidates(item, parts, at + 1)
        return
    for item in node:
        if item.__class__ is dict:
            yield from candidates(item, parts, at)
