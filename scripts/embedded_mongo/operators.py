"""The update operators, each writing into a document whose top level is already the update's own copy."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from bson import Int64

from .errors import BAD_VALUE, FAILED_TO_PARSE, TYPE_MISMATCH, CommandError, not_supported
from .matching import compile_condition, compile_filter, is_operators
from .treepath import descend, get, put
from .values import MISSING, Document, candidates, canonical, equal, sort_by_field, sort_key

Operator = Callable[[Document, str, Any, datetime], None]


def _set(root: Document, path: str, value: Any, _now: datetime) -> None:
    parts = path.split(".")
    put(descend(root, parts, create=True), parts[-1], value)


def _unset(root: Document, path: str, _value: Any, _now: datetime) -> None:
    parts = path.split(".")
    parent = descend(root, parts, create=False)
    if get(parent, parts[-1]) is MISSING:
        return
    if parent.__class__ is dict:
        del parent[parts[-1]]
    else:
        parent[int(parts[-1])] = None


def _changed(change: Callable[[Any, Any], Any]) -> Operator:
    """Make an operator of a function from the old value (or MISSING) and the argument to the new value."""

    def operator(root: Document, path: str, argument: Any, _now: datetime) -> None:
        parts = path.split(".")
        parent = descend(root, parts, create=True)
        put(parent, parts[-1], change(get(parent, parts[-1]), argument))

    return operator


def _number(value: Any, operator: str) -> Any:
    if value.__class__ not in {int, Int64, float}:
        raise CommandError(f"Cannot {operator} with a value of non-numeric type {type(value).__name__}", TYPE_MISMATCH)
    return value


def _typed(result: Any, *operands: Any) -> Any:
    """Keep a 64-bit integer one, as MongoDB does, and refuse what does not fit into it."""
    if isinstance(result, float):
        return result
    if not -(2**63) <= result < 2**63:
        raise CommandError("the result is out of the range of a 64-bit integer", BAD_VALUE)
    return Int64(result) if any(isinstance(item, Int64) for item in operands) else result


def _inc(old: Any, by: Any) -> Any:
    _number(by, "increment")
    return by if old is MISSING else _typed(_number(old, "increment") + by, old, by)


def _mul(old: Any, by: Any) -> Any:
    _number(by, "multiply")
    return _typed(by * 0 if old is MISSING else _number(old, "multiply") * by, old, by)


def _min(old: Any, value: Any) -> Any:
    return value if old is MISSING or sort_key(value) < sort_key(old) else old


def _max(old: Any, value: Any) -> Any:
    return value if old is MISSING or sort_key(value) > sort_key(old) else old


def _array(old: Any, operator: str) -> list[Any]:
    if old is MISSING:
        return []
    if old.__class__ is not list:
        raise CommandError(f"{operator} needs an array, found a value of type {type(old).__name__}", BAD_VALUE)
    return list(old)


def _push(old: Any, argument: Any) -> list[Any]:
    array = _array(old, "$push")
    if not (isinstance(argument, dict) and "$each" in argument):
        array.append(argument)
        return array
    _check_clauses(argument, {"$each", "$position", "$sort", "$slice"}, "$push")
    each, position = argument["$each"], argument.get("$position", len(array))
    array[position:position] = each
    if "$sort" in argument:
        array = _sorted(array, argument["$sort"])
    size = argument.get("$slice")
    if size is not None:
        array = array[:size] if size >= 0 else array[size:]
    return array


def _sorted(array: list[Any], order: Any) -> list[Any]:
    if not isinstance(order, dict):
        return sorted(array, key=sort_key, reverse=order < 0)
    for name, direction in reversed(order.items()):
        sort_by_field(array, name.split("."), descending=direction < 0)
    return array


def _add_to_set(old: Any, argument: Any) -> list[Any]:
    array = _array(old, "$addToSet")
    each = [argument]
    if isinstance(argument, dict) and "$each" in argument:
        _check_clauses(argument, {"$each"}, "$addToSet")
        each = argument["$each"]
    keys = {canonical(item) for item in array}
    for item in each:
        if canonical(item) not in keys:
            keys.add(canonical(item))
            array.append(item)
    return array


def _check_clauses(argument: Document, known: set[str], operator: str) -> None:
    unknown = set(argument) - known
    if unknown:
        raise CommandError(f"Unrecognized clause in {operator}: {unknown.pop()}")
    if not isinstance(argument["$each"], list):
        raise CommandError(f"The argument to $each in {operator} must be an array")
    for name in ("$position", "$slice"):
        if not isinstance(argument.get(name, 0), int):
            raise CommandError(f"The value for {name} must be an integer")


def _filtered(operator: str, keeps: Callable[[Any], Callable[[Any], bool]]) -> Operator:
    """Make an operator that drops elements of an array; a missing array stays missing."""

    def apply(root: Document, path: str, argument: Any, _now: datetime) -> None:
        parts = path.split(".")
        parent = descend(root, parts, create=False)
        old = get(parent, parts[-1])
        if old is not MISSING:
            put(parent, parts[-1], list(filter(keeps(argument), _array(old, operator))))

    return apply


def _unpulled(condition: Any) -> Callable[[Any], bool]:
    if not isinstance(condition, dict):
        if condition.__class__.__name__ != "Regex":
            return lambda item: not equal(item, condition)
        test = compile_condition(condition)
        return lambda item: not test((item,))
    if is_operators(condition):
        test = compile_condition(condition)
        return lambda item: not test((item,))
    inner = compile_filter(condition)
    return lambda item: not (item.__class__ is dict and inner(item))


def _not_among(values: Any) -> Callable[[Any], bool]:
    if not isinstance(values, list):
        raise CommandError("$pullAll requires an array argument")
    keys = {canonical(value) for value in values}
    return lambda item: canonical(item) not in keys


def _pop(root: Document, path: str, end: Any, _now: datetime) -> None:
    if end not in {1, -1}:
        raise CommandError(f"$pop expects 1 or -1, found: {end!r}", FAILED_TO_PARSE)
    parts = path.split(".")
    parent = descend(root, parts, create=False)
    old = get(parent, parts[-1])
    if old is not MISSING:
        array = _array(old, "$pop")
        put(parent, parts[-1], array[:-1] if end == 1 else array[1:])


def _rename(root: Document, path: str, target: Any, now: datetime) -> None:
    parts = path.split(".")
    value = next(candidates(root, parts), MISSING)
    if value is MISSING:
        return
    if get(descend(root, parts, create=False), parts[-1]) is MISSING:
        raise CommandError(f"The source field of $rename cannot be an array element: '{path}'")
    _unset(root, path, None, now)
    _set(root, target, value, now)


def _current_date(root: Document, path: str, kind: Any, now: datetime) -> None:
    if kind is not True and kind != {"$type": "date"}:
        raise not_supported("$currentDate of a type other than date")
    _set(root, path, now, now)


OPERATORS: dict[str, Operator] = {
    "$set": _set,
    "$unset": _unset,
    "$inc": _changed(_inc),
    "$mul": _changed(_mul),
    "$min": _changed(_min),
    "$max": _changed(_max),
    "$push": _changed(_push),
    "$addToSet": _changed(_add_to_set),
    "$pull": _filtered("$pull", _unpulled),
    "$pullAll": _filtered("$pullAll", _not_among),
    "$pop": _pop,
    "$rename": _rename,
    "$currentDate": _current_date,
}
