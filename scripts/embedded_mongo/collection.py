"""One collection: its documents, their order by `_id`, its indexes.

Documents are never changed in place (updates.py), so whoever was handed one may keep it.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from .errors import Code, CommandError, not_supported
from .values import MISSING, Document, Key, SortKey, candidates, canonical, sort_key

Sink = Callable[[str, Document], None]
"""Takes every effect on a collection: its kind (`put`, `delete`, `index`, `unindex`) and its body."""

_INDEX_OPTIONS = {"v", "key", "name", "unique", "expireAfterSeconds", "sparse", "background", "ns"}


@dataclass
class Index:
    """One index: `first` maps a value of the first field to ids, `owners` a unique key to the id that has it."""

    spec: Document
    first: dict[Key, dict[Key, None]] = field(default_factory=dict)
    owners: dict[Key, Key] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = str(self.spec["name"])
        self.keys = list(self.spec["key"].items())
        self.unique, self.sparse = bool(self.spec.get("unique")), bool(self.spec.get("sparse"))
        self.expire_after_s = self.spec.get("expireAfterSeconds")
        self.definition = (self.keys, self.unique, self.sparse, self.expire_after_s)
        self.first_path = str(self.keys[0][0])
        self._paths = [path.split(".") for path, _ in self.keys]

    def check(self, key: Key, document: Document, namespace: str) -> None:
        """Raise CommandError (11000) when another document than `key` already has the document's unique key."""
        if self.unique and any(self.owners.get(entry, key) != key for entry in self._unique_entries(document)):
            raise _duplicate(namespace, self.name, self.spec["key"], document)

    def add(self, key: Key, document: Document) -> None:
        for value in self._first_values(document):
            self.first.setdefault(value, {})[key] = None
        if self.unique:
            for entry in self._unique_entries(document):
                self.owners[entry] = key

    def remove(self, key: Key, document: Document) -> None:
        for value in self._first_values(document):
            bucket = self.first[value]
            del bucket[key]
            if not bucket:
                del self.first[value]
        if self.unique:
            for entry in self._unique_entries(document):
                if self.owners.get(entry) == key:
                    del self.owners[entry]

    def touched(self, before: Document, after: Document) -> bool:
        """Say whether a change of the document may change its entries (shared values are the same object)."""
        return any(before.get(path[0], MISSING) is not after.get(path[0], MISSING) for path in self._paths)

    def expired(self, now: datetime) -> set[Key]:
        """Return the ids whose date, or any date of whose array, is older than the index allows."""
        if self.expire_after_s is None:
            return set()
        limit = now - timedelta(seconds=self.expire_after_s)
        return {key for value, keys in self.first.items() if isinstance(value, datetime) and value <= limit for key in keys}

    def _first_values(self, document: Document) -> set[Key]:
        path = self._paths[0]
        if len(path) == 1:
            value = document.get(path[0], MISSING)
            if value.__class__ is not list:
                return {canonical(value)}
        return {canonical(value) for value in _spread(candidates(document, path))}

    def _unique_entries(self, document: Document) -> Iterator[Key]:
        fields = [list(_spread(candidates(document, path))) or [MISSING] for path in self._paths]
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


def _duplicate(namespace: str, index: str, pattern: Document, document: Document) -> CommandError:
    values = {path: next(candidates(document, path.split(".")), None) for path in pattern}
    values = {path: None if value is MISSING else value for path, value in values.items()}
    shown = ", ".join(f"{path}: {value!r}" for path, value in values.items())
    return CommandError(
        f"E11000 duplicate key error collection: {namespace} index: {index} dup key: {{ {shown} }}",
        Code.DuplicateKey,
        {"keyPattern": dict(pattern), "keyValue": values},
    )


def _parse_index(spec: Any) -> Index:
    """Make an empty index of a `createIndexes` entry. Raises CommandError for what is malformed or not supported."""
    if not isinstance(spec, dict) or not isinstance(spec.get("key"), dict) or not spec["key"] or not spec.get("name"):
        raise CommandError("an index needs a key and a name", Code.CannotCreateIndex)
    for option in spec:
        if option not in _INDEX_OPTIONS:
            raise not_supported(f"the index option {option}")
    for path, direction in spec["key"].items():
        if isinstance(direction, bool) or direction not in {1, -1}:
            raise not_supported(f"an index of kind {direction!r} on {path}")
    expire = spec.get("expireAfterSeconds", 0)
    if isinstance(expire, bool) or not isinstance(expire, int | float) or expire < 0:
        raise CommandError("expireAfterSeconds must be a non-negative number", Code.CannotCreateIndex)
    if "expireAfterSeconds" in spec and len(spec["key"]) > 1:
        raise CommandError("TTL indexes are single-field indexes", Code.CannotCreateIndex)
    return Index({"v": 2, **{name: value for name, value in spec.items() if name not in {"v", "ns", "background"}}})


class Collection:
    """Documents under their `_id`. Every change goes to `sink` first, which may refuse it by raising."""

    def __init__(self, namespace: str, sink: Sink) -> None:
        self.namespace = namespace
        self.documents: dict[Key, Document] = {}
        self.order: list[tuple[SortKey, Key]] = []
        self.indexes: dict[str, Index] = {}
        self._sink = sink

    def insert(self, document: Document) -> None:
        """Add a document that has an `_id`. Raises CommandError (11000) when a unique key is taken."""
        key = canonical(document["_id"])
        if key in self.documents:
            raise _duplicate(self.namespace, "_id_", {"_id": 1}, document)
        sort_key(document["_id"])  # Refuses a type that has no place in the order, before anything is written.
        self.change(document)

    def change(self, document: Document) -> None:
        """Put a document in the place of the one with its `_id`. Raises CommandError as `insert` does."""
        key = canonical(document["_id"])
        for index in self.indexes.values():
            index.check(key, document, self.namespace)
        self._sink("put", document)
        self.put(document)

    def delete(self, document: Document) -> None:
        self._sink("delete", {"_id": document["_id"]})
        self.discard(document["_id"])

    def create_index(self, spec: Any) -> None:
        """Add an index, or nothing when it is there already. Raises CommandError on a conflict or on duplicates."""
        index = _parse_index(spec)
        if index.keys == [("_id", 1)] or self._has(index):
            return
        for key, document in self.documents.items():
            index.check(key, document, self.namespace)
            index.add(key, document)
        self._sink("index", index.spec)
        self.indexes[index.name] = index

    def drop_index(self, name: str) -> None:
        self._sink("unindex", {"name": name})
        del self.indexes[name]

    def expired(self, now: datetime) -> list[Document]:
        """Return the documents some TTL index no longer allows."""
        return self.with_keys({key for index in self.indexes.values() for key in index.expired(now)})

    def put(self, document: Document) -> None:
        """Store a document without checks and without telling the sink: the end of every change, and of a replay."""
        key = canonical(document["_id"])
        before = self.documents.get(key)
        if before is None:
            self._place(key, document["_id"])
        for index in self.indexes.values():
            if before is not None:
                if not index.touched(before, document):
                    continue
                index.remove(key, before)
            index.add(key, document)
        self.documents[key] = document

    def discard(self, document_id: Any) -> None:
        """Forget a document without telling the sink."""
        key = canonical(document_id)
        document = self.documents.pop(key, None)
        if document is None:
            return
        del self.order[bisect_left(self.order, (sort_key(document_id),))]
        for index in self.indexes.values():
            index.remove(key, document)

    def index_specs(self) -> list[Document]:
        return [{"v": 2, "key": {"_id": 1}, "name": "_id_"}, *(index.spec for index in self.indexes.values())]

    def with_keys(self, keys: Iterable[Key]) -> list[Document]:
        return [self.documents[key] for key in keys if key in self.documents]

    def _place(self, key: Key, document_id: Any) -> None:
        entry = (sort_key(document_id), key)
        if not self.order or self.order[-1][0] < entry[0]:
            self.order.append(entry)
        else:
            insort(self.order, entry)

    def _has(self, index: Index) -> bool:
        known = self.indexes.get(index.name)
        if known is not None and known.definition != index.definition:
            raise CommandError(f"An existing index has the same name as the requested index: {index.name}", Code.IndexKeySpecsConflict)
        for other in self.indexes.values():
            if other.name != index.name and other.keys == index.keys:
                raise CommandError(f"Index already exists with a different name: {other.name}", Code.IndexOptionsConflict)
        return known is not None
