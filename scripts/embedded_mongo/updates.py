"""Updates: an update document, or a replacement, made once into a function from the stored document to the changed one.

Stored documents never change in place: what an operator touches is copied along its path, the rest is shared. So
readers and open cursors keep what they saw, and no update pays for a deep copy.
"""

from collections.abc import Callable
from typing import Any

from bson import Int64
from bson.regex import Regex

from .errors import Code, CommandError, not_supported
from .filters import compile_condition, compile_filter, conditions, is_operators
from .values import MISSING, Document, equal, sort_key

Change = Callable[[Document], Document]


def compile_update(update: Any, *, multi: bool = False, inserting: bool = False) -> Change:
    """Return what an update or a replacement makes of a document. Raises CommandError for what is malformed or not supported."""
    if isinstance(update, list):
        raise not_supported("an update with an aggregation pipeline")
    if not isinstance(update, dict):
        raise CommandError("an update must be an object", Code.FailedToParse)
    if any(name.startswith("$") for name in update):
        _check_operators(update)
        return lambda document: _update(document, update, inserting=inserting)
    if multi:
        raise CommandError("multi update is not supported for replacement-style update", Code.FailedToParse)
    return lambda document: _replace(document, update)


def upsert_seed(query: Document) -> Document:
    """Return the fields an upsert takes over from its query: those it compares for equality."""
    seed: Document = {}
    for path, operator, value in conditions(query):
        if operator == "$eq":
            parts = path.split(".")
            _put(_descend(seed, parts, create=True), parts[-1], value)
    return seed


def _check_operators(update: Document) -> None:
    paths: list[str] = []
    for name, fields in update.items():
        if name not in _OPERATORS:
            raise not_supported(f"the update operator {name}")
        if not isinstance(fields, dict):
            raise CommandError(f"Modifiers operate on fields but we found another type for {name}", Code.FailedToParse)
        paths.extend(fields)
    _check_paths(paths)


def _check_paths(paths: list[str]) -> None:
    seen: set[str] = set()
    for path in sorted(paths, key=lambda item: item.split(".")):
        parts = path.split(".")
        if "" in parts:
            raise CommandError(f"The update path '{path}' contains an empty field name", Code.EmptyFieldName)
        if any(part.startswith("$") for part in parts):
            raise not_supported(f"the positional operator in '{path}'")
        if any(".".join(parts[:length]) in seen for length in range(1, len(parts) + 1)):
            raise CommandError(f"Updating the path '{path}' would create a conflict at '{path}'", Code.ConflictingUpdateOperators)
        seen.add(path)


def _update(document: Document, update: Document, *, inserting: bool) -> Document:
    result = dict(document)
    for name, fields in update.items():
        if name == "$setOnInsert" and not inserting:
            continue
        change = _OPERATORS[name]
        for path, argument in fields.items():
            parts = path.split(".")
            parent = _descend(result, parts, create=name not in _TAKING)
            old = _get(parent, parts[-1])
            new = change(old, argument)
            if new is not MISSING:
                _put(parent, parts[-1], new)
            elif old is not MISSING:
                _remove(parent, parts[-1])
    _check_same_id(document, result)
    return result


def _replace(document: Document, replacement: Document) -> Document:
    if "_id" not in document:
        return dict(replacement)
    result = {"_id": document["_id"], **replacement}
    _check_same_id(document, result)
    return {**result, "_id": document["_id"]}


def _check_same_id(before: Document, after: Document) -> None:
    if "_id" in before and ("_id" not in after or not equal(before["_id"], after["_id"])):
        raise CommandError("Performing an update on the path '_id' would modify the immutable field '_id'", Code.ImmutableField)


def _descend(root: Document, parts: list[str], *, create: bool) -> Any:
    """Return the copied container that holds the last part of the path, None when it is absent and not to be made.

    Raises CommandError (PathNotViable) when it is to be made but a scalar is in the way.
    """
    node: Any = root
    for part in parts[:-1]:
        child = _get(node, part)
        if child.__class__ is dict or child.__class__ is list:
            child = child.copy()
        elif not create:
            return None
        elif child is MISSING:
            child = {}
        else:
            raise CommandError(f"Cannot create field in element {{{part}: {child!r}}}", Code.PathNotViable)
        _put(node, part, child)
        node = child
    return node


def _get(node: Any, part: str) -> Any:
    """Return what a container has under one part of a path, MISSING when nothing."""
    if node.__class__ is dict:
        return node.get(part, MISSING)
    if node.__class__ is list and part.isdecimal() and int(part) < len(node):
        return node[int(part)]
    return MISSING


def _put(node: Any, part: str, value: Any) -> None:
    """Write into a container; an array is filled with nulls up to the index."""
    if node.__class__ is dict:
        node[part] = value
        return
    if not part.isdecimal():
        raise CommandError(f"Cannot create field '{part}' in an array", Code.PathNotViable)
    missing = int(part) + 1 - len(node)
    node.extend([None] * missing)
    node[int(part)] = value


def _remove(node: Any, part: str) -> None:
    if node.__class__ is dict:
        del node[part]
    else:
        node[int(part)] = None


def _inc(old: Any, by: Any) -> Any:
    for value in (by, 0 if old is MISSING else old):
        if value.__class__ not in {int, Int64, float}:
            raise CommandError(f"Cannot increment with a value of type {type(value).__name__}", Code.TypeMismatch)
    if old is MISSING:
        return by
    result = old + by
    if isinstance(result, float):
        return result
    if not -(2**63) <= result < 2**63:
        raise CommandError("the result is out of the range of a 64-bit integer")
    # A 64-bit integer stays one, as in MongoDB.
    return Int64(result) if isinstance(old, Int64) or isinstance(by, Int64) else result


def _push(old: Any, argument: Any) -> list[Any]:
    """Append the argument, or the elements of its `$each` of which `$slice` keeps the first or (negative) the last."""
    if not (isinstance(argument, dict) and "$each" in argument):
        return [*_array(old), argument]
    if unknown := argument.keys() - {"$each", "$slice"}:
        raise not_supported(f"{min(unknown)} in $push")
    elements, size = argument["$each"], argument.get("$slice")
    if not isinstance(elements, list) or not isinstance(size, int | None):
        raise CommandError("$each needs an array, and $slice an integer")
    array = [*_array(old), *elements]
    return array[size:] if size is not None and size < 0 else array[:size]


def _array(old: Any) -> list[Any]:
    if old is MISSING:
        return []
    if not isinstance(old, list):
        raise CommandError(f"an array is needed, found a value of type {type(old).__name__}")
    return old


def _pull(old: Any, condition: Any) -> Any:
    if old is MISSING:
        return MISSING
    if isinstance(condition, Regex) or is_operators(condition):
        test = compile_condition(condition)
        return [item for item in _array(old) if not test((item,))]
    if isinstance(condition, dict):
        matches = compile_filter(condition)
        return [item for item in _array(old) if not (item.__class__ is dict and matches(item))]
    return [item for item in _array(old) if not equal(item, condition)]


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "$set": lambda _old, value: value,
    "$setOnInsert": lambda _old, value: value,
    "$unset": lambda _old, _value: MISSING,
    "$inc": _inc,
    "$min": lambda old, value: value if old is MISSING or sort_key(value) < sort_key(old) else old,
    "$max": lambda old, value: value if old is MISSING or sort_key(value) > sort_key(old) else old,
    "$push": _push,
    "$pull": _pull,
}
"""Each from what a field holds (or MISSING) and the argument to what it shall hold (or MISSING)."""

_TAKING = frozenset({"$unset", "$pull"})  # What these name and does not exist stays so.
