"""Indexes of one collection: uniqueness, and which documents may have a value in the index's first field."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from .errors import CANNOT_CREATE_INDEX, DUPLICATE_KEY, CommandError, not_supported
from .values import MISSING, Document, Key, candidates, canonical

_KNOWN = {"v", "key", "name", "unique", "expireAfterSeconds", "sparse", "background", "ns"}


@dataclass
class Index:
    """One index: `first` maps a value of the first field to ids, `owners` a unique key to the id that has it."""

    spec: Document
    paths: list[list[str]]
    unique: bool
    sparse: bool
    expire_after_s: float | None
    first: dict[Key, dict[Key, None]] = field(default_factory=dict)
    owners: dict[Key, Key] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def first_path(self) -> str:
        return str(next(iter(self.spec["key"])))

    def check(self, key: Key, document: Document, namespace: str) -> None:
        """Raise CommandError (11000) when another document than `key` already has the document's unique key."""
        if not self.unique:
            return
        for entry in self._unique_entries(document):
            if self.owners.get(entry, key) != key:
                raise duplicate(namespace, self.name, self.spec["key"], document)

    def add(self, key: Key, document: Document) -> None:
        for value in self._first_values(document):
            self.first.setdefault(value, {})[key] = None
        if self.unique:
            for entry in self._unique_entries(document):
                self.owners[entry] = key

    def remove(self, key: Key, document: Document) -> None:
        for value in self._first_values(document):
            bucket = self.first.get(value)
            if bucket is not None:
                bucket.pop(key, None)
                if not bucket:
                    del self.first[value]
        if self.unique:
            for entry in self._unique_entries(document):
                if self.owners.get(entry) == key:
                    del self.owners[entry]

    def touched(self, before: Document, after: Document) -> bool:
        """Say whether a change of the document may change its entries (shared values are the same object)."""
        return any(before.get(path[0], MISSING) is not after.get(path[0], MISSING) for path in self.paths)

    def expired(self, now: datetime) -> set[Key]:
        """Return the ids whose date, or any date of whose array, is older than the index allows."""
        if self.expire_after_s is None:
            return set()
        limit = now - timedelta(seconds=self.expire_after_s)
        return {key for value, keys in self.first.items() if isinstance(value, datetime) and value <= limit for key in keys}

    def _first_values(self, document: Document) -> set[Key]:
        path = self.paths[0]
        if len(path) == 1:
            value = document.get(path[0], MISSING)
            if value.__class__ is not list:
                return {canonical(value)}
        return {canonical(value) for value in _spread(candidates(document, path))}

    def _unique_entries(self, document: Document) -> Iterator[Key]:
        fields = [list(_spread(candidates(document, path))) or [MISSING] for path in self.paths]
        if self.sparse and all(value is MISSING for values in fields for value in values):
            return
        for combination in product(*fields):
            yield tuple(None if value is MISSING else canonical(value) for value in combination)


def _spread(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if value.__class__ is list:
            yield from value or [None]
        else:
            yield value


def duplicate(namespace: str, index: str, pattern: Document, document: Document) -> CommandError:
    """Return MongoDB's duplicate key error for the document, with the pattern and the values of the key."""
    values = {path: next(candidates(document, path.split(".")), None) for path in pattern}
    values = {path: None if value is MISSING else value for path, value in values.items()}
    shown = ", ".join(f"{path}: {value!r}" for path, value in values.items())
    return CommandError(
        f"E11000 duplicate key error collection: {namespace} index: {index} dup key: {{ {shown} }}",
        DUPLICATE_KEY,
        {"keyPattern": dict(pattern), "keyValue": values},
    )


def parse_index(spec: Any) -> Index:
    """Make an empty index of a `createIndexes` entry. Raises CommandError for what is malformed or not supported."""
    if not isinstance(spec, dict) or not isinstance(spec.get("key"), dict) or not spec["key"] or not spec.get("name"):
        raise CommandError("an index needs a key and a name", CANNOT_CREATE_INDEX)
    unknown = set(spec) - _KNOWN
    if unknown:
        raise not_supported(f"the index option {min(unknown)}")
    for path, direction in spec["key"].items():
        if isinstance(direction, bool) or direction not in {1, -1}:
            raise not_supported(f"an index of kind {direction!r} on {path}")
    expire = spec.get("expireAfterSeconds")
    if expire is not None and (isinstance(expire, bool) or not isinstance(expire, int | float) or expire < 0):
        raise CommandError("expireAfterSeconds must be a non-negative number", CANNOT_CREATE_INDEX)
    if expire is not None and len(spec["key"]) > 1:
        raise CommandError("TTL indexes are single-field indexes", CANNOT_CREATE_INDEX)
    kept = {name: value for name, value in spec.items() if name not in {"v", "ns", "background"}}
    return Index(
        spec={"v": 2, **kept},
        paths=[path.split(".") for path in spec["key"]],
        unique=bool(spec.get("unique")),
        sparse=bool(spec.get("sparse")),
        expire_after_s=expire,
    )
