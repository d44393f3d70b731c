"""Updates: an update document applied to a stored document.

Stored documents never change in place: what an operator touches is copied along its path, the rest is shared. So
readers and open cursors keep what they saw, and no update pays for a deep copy.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from .errors import (
    CONFLICTING_UPDATE_OPERATORS,
    FAILED_TO_PARSE,
    IMMUTABLE_FIELD,
    CommandError,
    not_supported,
)
from .operators import OPERATORS
from .treepath import descend
from .values import Document, equal

_ON_INSERT = "$setOnInsert"


def check_update(update: Any) -> bool:
    """Say whether `update` is operators (True) or a replacement; raises CommandError for anything else."""
    if isinstance(update, list):
        raise not_supported("an update with an aggregation pipeline")
    if not isinstance(update, dict):
        raise CommandError("Update argument must be an object", FAILED_TO_PARSE)
    dollars = [name.startswith("$") for name in update]
    if not any(dollars):
        return False
    if not all(dollars):
        plain = next(name for name in update if not name.startswith("$"))
        raise CommandError(f"Unknown modifier: {plain}. Expected a valid update modifier", FAILED_TO_PARSE)
    _check_operators(update)
    return True


def _check_operators(update: Document) -> None:
    paths: list[str] = []
    for name, fields in update.items():
        if name == "$bit":
            raise not_supported(name)
        if name != _ON_INSERT and name not in OPERATORS:
            raise CommandError(f"Unknown modifier: {name}. Expected a valid update modifier", FAILED_TO_PARSE)
        if not isinstance(fields, dict):
            raise CommandError(f"Modifiers operate on fields but we found another type for {name}", FAILED_TO_PARSE)
        paths.extend(_paths(name, fields))
    _check_conflicts(paths)


def _paths(operator: str, fields: Document) -> Iterator[str]:
    for path, argument in fields.items():
        yield path
        if operator == "$rename":
            if not isinstance(argument, str):
                raise CommandError("The 'to' field for $rename must be a string")
            yield argument


def _check_conflicts(paths: list[str]) -> None:
    seen: set[str] = set()
    for path in sorted(paths, key=lambda item: item.split(".")):
        parts = path.split(".")
        for part in parts:
            if not part:
                raise CommandError(f"The update path '{path}' contains an empty field name", 56)
            if part.startswith("$"):
                raise not_supported(f"the positional operator in '{path}'")
        if any(".".join(parts[:length]) in seen for length in range(1, len(parts) + 1)):
            raise CommandError(f"Updating the path '{path}' would create a conflict at '{path}'", CONFLICTING_UPDATE_OPERATORS)
        seen.add(path)


def apply_update(document: Document, update: Any, *, inserting: bool = False) -> Document:
    """Return the document after an update that `check_update` found to be operators; `document` stays as it is."""
    result = dict(document)
    now = _now()
    for name, fields in update.items():
        if name == _ON_INSERT:
            if not inserting:
                continue
            name = "$set"  # noqa: PLW2901 - on an insert the two are the same.
        operator = OPERATORS[name]
        for path, argument in fields.items():
            operator(result, path, argument, now)
    _check_same_id(document, result)
    return result


def _now() -> datetime:
    """Return the time as BSON keeps it: to the millisecond."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _check_same_id(before: Document, after: Document) -> None:
    if "_id" in before and ("_id" not in after or not equal(before["_id"], after["_id"])):
        raise CommandError("Performing an update on the path '_id' would modify the immutable field '_id'", IMMUTABLE_FIELD)


def replace(document: Document, replacement: Document) -> Document:
    """Return `replacement` under the `_id` of `document`, which it may repeat but not change."""
    if "_id" not in document:
        return dict(replacement)
    result = {"_id": document["_id"], **{name: value for name, value in replacement.items() if name != "_id"}}
    if "_id" in replacement:
        _check_same_id(document, replacement)
    return result


def upsert_seed(query: Document) -> Document:
    """Return the fields an upsert takes over from its query: those it compares for equality."""
    seed: Document = {}
    for path, value in _equalities(query):
        parts = path.split(".")
        parent = descend(seed, parts, create=True)
        if parent is not None:
            parent[parts[-1]] = value
    return seed


def _equalities(query: Document) -> Iterator[tuple[str, Any]]:
    for name, condition in query.items():
        if name == "$and" and isinstance(condition, list):
            for part in condition:
                yield from _equalities(part)
        elif name.startswith("$"):
            continue
        elif isinstance(condition, dict) and condition and next(iter(condition)).startswith("$"):
            if "$eq" in condition:
                yield name, condition["$eq"]
        elif condition.__class__.__name__ != "Regex":
            yield name, condition
