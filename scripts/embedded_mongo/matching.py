"""Filters: a query document compiled once into a predicate over stored documents.

An operator this file does not know is refused by name, so no query is ever answered wrongly in silence.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from bson.regex import Regex

from .errors import BAD_VALUE, CommandError, not_supported
from .values import MISSING, PLAIN, Document, candidates, canonical, sort_key, type_rank

Predicate = Callable[[Any], bool]

_REFUSED = frozenset(
    {"$where", "$expr", "$text", "$jsonSchema", "$near", "$nearSphere", "$geoWithin", "$geoIntersects", "$rand"}
    | {"$bitsAllSet", "$bitsAllClear", "$bitsAnySet", "$bitsAnyClear", "$sampleRate"}
)
_REGEX_OPTIONS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
_TYPE_RANKS = {
    "string": 15, "object": 20, "array": 25, "binData": 30, "objectId": 35, "bool": 40, "date": 45, "null": 5,
    "number": 10, 2: 15, 3: 20, 4: 25, 5: 30, 7: 35, 8: 40, 9: 45, 10: 5,
}  # fmt: skip


def compile_filter(query: Any) -> Predicate:
    """Return the predicate of a query document. Raises CommandError for what is malformed or not supported."""
    if not isinstance(query, dict):
        raise CommandError("the match filter must be an expression in an object")
    tests: list[Predicate] = []
    for name, condition in query.items():
        if name == "$comment":
            continue
        tests.append(_logical(name, condition) if name.startswith("$") else _field(name, condition))
    return _all_of(tests)


def _all_of(tests: list[Predicate]) -> Predicate:
    if not tests:
        return lambda _value: True
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda value: first(value) and second(value)
    return lambda value: all(test(value) for test in tests)


def _logical(name: str, condition: Any) -> Predicate:
    if name not in {"$and", "$or", "$nor"}:
        raise not_supported(name) if name in _REFUSED else CommandError(f"unknown top level operator: {name}")
    if not isinstance(condition, list) or not condition:
        raise CommandError(f"{name} argument must be a nonempty array")
    tests = [compile_filter(query) for query in condition]
    if name == "$and":
        return _all_of(tests)
    if name == "$or":
        return lambda document: any(test(document) for test in tests)
    return lambda document: not any(test(document) for test in tests)


def _field(path: str, condition: Any) -> Predicate:
    parts = path.split(".")
    if len(parts) == 1 and condition.__class__ in PLAIN and condition is not None:
        return _plain_equality(path, condition)
    test = compile_condition(condition)
    if len(parts) == 1:
        return lambda document: test((document.get(path, MISSING),) if document.__class__ is dict else ())
    return lambda document: test(tuple(candidates(document, parts)))


def _plain_equality(name: str, wanted: Any) -> Predicate:
    """Test one top-level field for one plain value: the filter most used, so the one kept shortest."""

    def test(document: Any) -> bool:
        if document.__class__ is not dict:
            return False
        value = document.get(name)
        return value == wanted or (value.__class__ is list and wanted in value)

    return test


def is_operators(condition: Any) -> bool:
    """Say whether a condition is operators (`{"$gt": 1}`); mixed with plain fields it is malformed."""
    if condition.__class__ is not dict or not condition:
        return False
    dollars = [name.startswith("$") for name in condition]
    if any(dollars) and not all(dollars):
        if dollars[0]:
            raise CommandError(f"unknown operator: {next(n for n in condition if not n.startswith('$'))}")
        return False
    return all(dollars) and next(iter(condition)) not in {"$ref", "$id"}


def compile_condition(condition: Any) -> Predicate:
    """Return the test of one condition over the tuple of values a path led to."""
    if isinstance(condition, Regex):
        return _regex_test(condition, None)
    if not is_operators(condition):
        return _equality(condition)
    tests = [_operator(name, argument, condition) for name, argument in condition.items() if name != "$options"]
    return _all_of(tests)


def _operator(name: str, argument: Any, condition: Document) -> Predicate:
    builder = _OPERATORS.get(name)
    if builder is not None:
        return builder(argument)
    if name == "$regex":
        return _regex_test(argument, condition.get("$options"))
    raise not_supported(name) if name in _REFUSED else CommandError(f"unknown operator: {name}")


def _equality(wanted: Any) -> Predicate:
    if wanted is None:
        return lambda values: any(v is None or v is MISSING or (v.__class__ is list and None in v) for v in values)
    key = canonical(wanted)

    def test(values: Iterable[Any]) -> bool:
        for value in values:
            if canonical(value) == key:
                return True
            if value.__class__ is list and any(canonical(item) == key for item in value):
                return True
        return False

    return test


def _inequality(wanted: Any) -> Predicate:
    test = compile_condition(wanted) if isinstance(wanted, Regex) else _equality(wanted)
    return lambda values: not test(values)


def _one_of(wanted: Any) -> Predicate:
    if not isinstance(wanted, list):
        raise CommandError("$in needs an array")
    regexes = [_regex_test(item, None) for item in wanted if isinstance(item, Regex)]
    keys = frozenset(canonical(item) for item in wanted if not isinstance(item, Regex))
    null_too = None in keys

    def test(values: Any) -> bool:
        for value in values:
            if value is MISSING:
                if null_too:
                    return True
            elif canonical(value) in keys or (value.__class__ is list and not keys.isdisjoint(map(canonical, value))):
                return True
        return any(regex(values) for regex in regexes)

    return test


def _none_of(wanted: Any) -> Predicate:
    if not isinstance(wanted, list):
        raise CommandError("$nin needs an array")
    test = _one_of(wanted)
    return lambda values: not test(values)


def _comparison(holds: Callable[[Any, Any], bool], *, or_equal: bool) -> Callable[[Any], Predicate]:
    def build(wanted: Any) -> Predicate:
        rank, bound = type_rank(wanted), sort_key(wanted)
        if rank == 5:
            return _equality(None) if or_equal else lambda _values: False

        def test(values: Iterable[Any]) -> bool:
            for value in values:
                if value is MISSING:
                    continue
                if type_rank(value) == rank and holds(sort_key(value), bound) and sort_key(value)[0] == bound[0]:
                    return True
                if value.__class__ is list and any(type_rank(v) == rank and test((v,)) for v in value):
                    return True
            return False

        return test

    return build


def _exists(wanted: Any) -> Predicate:
    if wanted:
        return lambda values: any(value is not MISSING for value in values)
    return lambda values: all(value is MISSING for value in values)


def _elem_match(query: Any) -> Predicate:
    if not isinstance(query, dict):
        raise CommandError("$elemMatch needs an Object")
    if is_operators(query) and next(iter(query)) not in {"$and", "$or", "$nor"}:
        condition = compile_condition(query)
        return lambda values: any(v.__class__ is list and any(condition((item,)) for item in v) for v in values)
    inner = compile_filter(query)
    return lambda values: any(v.__class__ is list and any(item.__class__ is dict and inner(item) for item in v) for v in values)


def _size(wanted: Any) -> Predicate:
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or wanted < 0:
        raise CommandError(f"Failed to parse $size. Expected a non-negative number, found: {wanted!r}")
    return lambda values: any(v.__class__ is list and len(v) == wanted for v in values)


def _all(wanted: Any) -> Predicate:
    if not isinstance(wanted, list):
        raise CommandError("$all needs an array")
    if not wanted:
        return lambda _values: False
    return _all_of([compile_condition(item) for item in wanted])


def _not(condition: Any) -> Predicate:
    if not isinstance(condition, Regex) and not is_operators(condition):
        raise CommandError("$not needs a regex or a document")
    test = compile_condition(condition)
    return lambda values: not test(values)


def _type(wanted: Any) -> Predicate:
    names = wanted if isinstance(wanted, list) else [wanted]
    unknown = [name for name in names if name not in _TYPE_RANKS]
    if unknown:
        raise not_supported(f"$type {unknown[0]!r}")
    ranks = {_TYPE_RANKS[name] for name in names}

    def test(values: Iterable[Any]) -> bool:
        for value in values:
            if value is MISSING:
                continue
            if type_rank(value) in ranks or (value.__class__ is list and any(type_rank(v) in ranks for v in value)):
                return True
        return False

    return test


def _regex_test(pattern: Any, options: Any) -> Predicate:
    flags = 0
    if isinstance(pattern, Regex):
        flags, pattern = pattern.flags, pattern.pattern
    if not isinstance(pattern, str):
        raise CommandError("$regex has to be a string")
    for letter in options or "":
        if letter not in _REGEX_OPTIONS:
            raise CommandError(f"invalid flag in regex options: {letter}")
        flags |= _REGEX_OPTIONS[letter]
    try:
        search = re.compile(pattern, flags).search
    except re.error as exc:
        raise CommandError(f"Regular expression is invalid: {exc}", BAD_VALUE) from exc

    def test(values: Iterable[Any]) -> bool:
        for value in values:
            if value.__class__ is str and search(value):
                return True
            if value.__class__ is list and any(item.__class__ is str and search(item) for item in value):
                return True
        return False

    return test


_OPERATORS: dict[str, Callable[[Any], Predicate]] = {
    "$eq": _equality,
    "$ne": _inequality,
    "$in": _one_of,
    "$nin": _none_of,
    "$gt": _comparison(lambda a, b: a > b, or_equal=False),
    "$gte": _comparison(lambda a, b: a >= b, or_equal=True),
    "$lt": _comparison(lambda a, b: a < b, or_equal=False),
    "$lte": _comparison(lambda a, b: a <= b, or_equal=True),
    "$exists": _exists,
    "$elemMatch": _elem_match,
    "$size": _size,
    "$all": _all,
    "$not": _not,
    "$type": _type,
}
