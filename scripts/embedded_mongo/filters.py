"""Filters: a query document compiled once into a predicate over stored documents.

An operator this file does not know is refused by name, so no query is ever answered wrongly in silence.
"""

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from bson.regex import Regex

from .errors import CommandError, not_supported
from .values import MISSING, PLAIN, Document, candidates, canonical, sort_key, type_rank

Predicate = Callable[[Any], bool]

_REGEX_OPTIONS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}


def compile_filter(query: Any) -> Predicate:
    """Return the predicate of a query document. Raises CommandError for what is malformed or not supported."""
    if not isinstance(query, dict):
        raise CommandError("the match filter must be an expression in an object")
    tests: list[Predicate] = []
    for name, condition in query.items():
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
        raise not_supported(name)
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
        return lambda document: test((document.get(path, MISSING),))
    return lambda document: test(tuple(candidates(document, parts)))


def _plain_equality(name: str, wanted: Any) -> Predicate:
    """Test one top-level field for one plain value: the filter most used, so the one kept shortest."""

    def test(document: Any) -> bool:
        value = document.get(name)
        return value == wanted or (value.__class__ is list and wanted in value)

    return test


def is_operators(condition: Any) -> bool:
    """Say whether a condition is operators (`{"$gt": 1}`) and not a value."""
    return condition.__class__ is dict and next(iter(condition), "").startswith("$") and next(iter(condition)) not in {"$ref", "$id"}


def conditions(query: Document) -> Iterator[tuple[str, str, Any]]:
    """Yield path, operator and argument of what every matching document must fulfil, that within `$and` too."""
    for name, condition in query.items():
        if name == "$and":
            for part in condition:
                yield from conditions(part)
        elif is_operators(condition):
            yield from ((name, dollar, argument) for dollar, argument in condition.items())
        elif not name.startswith("$"):
            yield name, "$regex" if isinstance(condition, Regex) else "$eq", condition


def compile_condition(condition: Any) -> Predicate:
    """Return the test of one condition over the tuple of values a path led to."""
    if isinstance(condition, Regex):
        return _regex_test(condition, None)
    if not is_operators(condition):
        return _equality(condition)
    tests: list[Predicate] = []
    for name, argument in condition.items():
        if name in _OPERATORS:
            tests.append(_OPERATORS[name](argument))
        elif name == "$regex":
            tests.append(_regex_test(argument, condition.get("$options")))
        elif name != "$options":
            raise not_supported(name)
    return _all_of(tests)


def _any(test: Predicate) -> Predicate:
    """Test the values a path led to, and the elements of those that are arrays, until one passes."""

    def passes(values: Any) -> bool:
        for value in values:  # noqa: SIM110 - every document of a scan comes here, and any() takes half as long again.
            if test(value) or (value.__class__ is list and any(map(test, value))):
                return True
        return False

    return passes


def _equality(wanted: Any) -> Predicate:
    if wanted is None:
        return _any(lambda value: value is None or value is MISSING)
    if isinstance(wanted, Regex):
        raise not_supported("a regex as an operator's value")
    key = canonical(wanted)
    return _any(lambda value: canonical(value) == key)


def _negation(build: Callable[[Any], Predicate]) -> Callable[[Any], Predicate]:
    def build_negated(wanted: Any) -> Predicate:
        test = build(wanted)
        return lambda values: not test(values)

    return build_negated


def _one_of(wanted: Any) -> Predicate:
    if not isinstance(wanted, list):
        raise CommandError("$in and $nin need an array")
    if any(isinstance(item, Regex) for item in wanted):
        raise not_supported("a regex in $in")
    keys = set(map(canonical, wanted))
    if None in keys:
        keys.add(MISSING)
    return _any(lambda value: canonical(value) in keys)


def _comparison(holds: Callable[[Any, Any], bool]) -> Callable[[Any], Predicate]:
    def build(wanted: Any) -> Predicate:
        rank, bound = type_rank(wanted), sort_key(wanted)
        if wanted is None:
            return _equality(None) if holds(bound, bound) else lambda _values: False

        def test(value: Any) -> bool:
            return type_rank(value) == rank and (key := sort_key(value))[0] == bound[0] and holds(key, bound)

        return _any(test)

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


def _negatable(condition: Any) -> Predicate:
    if not isinstance(condition, Regex) and not is_operators(condition):
        raise CommandError("$not needs a regex or a document")
    return compile_condition(condition)


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
        raise CommandError(f"Regular expression is invalid: {exc}") from exc
    return _any(lambda value: value.__class__ is str and search(value) is not None)


_OPERATORS: dict[str, Callable[[Any], Predicate]] = {
    "$eq": _equality,
    "$ne": _negation(_equality),
    "$in": _one_of,
    "$nin": _negation(_one_of),
    "$gt": _comparison(operator.gt),
    "$gte": _comparison(operator.ge),
    "$lt": _comparison(operator.lt),
    "$lte": _comparison(operator.le),
    "$exists": _exists,
    "$elemMatch": _elem_match,
    "$not": _negation(_negatable),
}
