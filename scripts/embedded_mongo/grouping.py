"""The $group stage.

Expressions are field paths ("$a.b"), constants, objects of those, and $ifNull; others are refused.
"""

from collections.abc import Callable
from typing import Any

from bson import Int64

from .errors import CommandError, not_supported
from .values import MISSING, Document, Key, canonical, sort_key

_NUMBERS = {int, float, Int64}


def group(documents: list[Document], specification: Any) -> list[Document]:
    """Return one document per value of `_id`, in the order the values were met."""
    if not isinstance(specification, dict) or "_id" not in specification:
        raise CommandError("a group specification must include an _id", 15955)
    accumulators = {name: _accumulator(name, given) for name, given in specification.items() if name != "_id"}
    groups: dict[Key, tuple[Any, list[Document]]] = {}
    for document in documents:
        value = evaluate(specification["_id"], document)
        value = None if value is MISSING else value
        groups.setdefault(canonical(value), (value, []))[1].append(document)
    return [{"_id": value, **{name: reduce(members) for name, reduce in accumulators.items()}} for value, members in groups.values()]


def _accumulator(name: str, given: Any) -> Callable[[list[Document]], Any]:
    if not isinstance(given, dict) or len(given) != 1:
        raise CommandError(f"The field '{name}' must be an accumulator object", 40234)
    operator, expression = next(iter(given.items()))
    if operator == "$count":
        return len
    reduce = _REDUCERS.get(operator)
    if reduce is None:
        raise not_supported(f"the accumulator {operator}")
    evaluate(expression, {})  # Refuses what it cannot do even when there is no document.
    return lambda members: reduce([evaluate(expression, document) for document in members])


def evaluate(expression: Any, document: Document) -> Any:
    """Return the value of an expression, MISSING for a field that is not there. Raises CommandError."""
    if isinstance(expression, str) and expression.startswith("$"):
        if expression.startswith("$$"):
            raise not_supported(f"the variable {expression} in $group")
        return _follow(document, expression[1:].split("."))
    if not isinstance(expression, dict):
        return expression
    if "$ifNull" in expression and isinstance(expression["$ifNull"], list):
        values = [evaluate(part, document) for part in expression["$ifNull"]]
        return next((value for value in values[:-1] if value is not None and value is not MISSING), values[-1])
    if list(expression) == ["$literal"]:
        return expression["$literal"]
    for name in expression:
        if name.startswith("$"):
            raise not_supported(f"the expression {name} in $group")
    shown = {name: evaluate(part, document) for name, part in expression.items()}
    return {name: value for name, value in shown.items() if value is not MISSING}


def _follow(value: Any, parts: list[str]) -> Any:
    for place, part in enumerate(parts):
        if value.__class__ is list:
            found = [_follow(item, parts[place:]) for item in value if item.__class__ in {dict, list}]
            return [item for item in found if item is not MISSING]
        if value.__class__ is not dict:
            return MISSING
        value = value.get(part, MISSING)
    return value


def _numbers(values: list[Any]) -> list[Any]:
    return [value for value in values if value.__class__ in _NUMBERS]


def _sum(values: list[Any]) -> Any:
    numbers = _numbers(values)
    total = sum(numbers)
    return Int64(total) if isinstance(total, int) and any(isinstance(n, Int64) for n in numbers) else total


def _average(values: list[Any]) -> float | None:
    numbers = _numbers(values)
    return sum(numbers) / len(numbers) if numbers else None


def _present(values: list[Any]) -> list[Any]:
    return [value for value in values if value is not None and value is not MISSING]


def _nulled(value: Any) -> Any:
    return None if value is MISSING else value


_REDUCERS: dict[str, Callable[[list[Any]], Any]] = {
    "$sum": _sum,
    "$avg": _average,
    "$min": lambda values: min(_present(values), key=sort_key, default=None),
    "$max": lambda values: max(_present(values), key=sort_key, default=None),
    "$first": lambda values: _nulled(values[0]),
    "$last": lambda values: _nulled(values[-1]),
    "$push": lambda values: [value for value in values if value is not MISSING],
    "$addToSet": lambda values: list({canonical(v): v for v in values if v is not MISSING}.values()),
}
