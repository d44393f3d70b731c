"""One collection: its documents, their order by `_id`, its indexes.

Documents are never changed in place (updating.py), so whoever was handed one may keep it.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from .errors import INDEX_KEY_SPECS_CONFLICT, INDEX_OPTIONS_CONFLICT, CommandError
from .indexes import Index, duplicate, parse_index
from .values import Document, Key, SortKey, canonical, sort_key

Sink = Callable[[str, Document], None]
"""Takes every effect on a collection: its kind (`put`, `delete`, `index`, `unindex`) and its body."""


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
            raise duplicate(self.namespace, "_id_", {"_id": 1}, document)
        sort_key(document["_id"])  # Refuses a type that has no place in the order, before anything is written.
        self._check_unique(key, document)
        self._sink("put", document)
        self.put(document)

    def change(self, before: Document, after: Document) -> None:
        """Put `after` in the place of `before`, which has the same `_id`. Raises CommandError as `insert` does."""
        self._check_unique(canonical(before["_id"]), after)
        self._sink("put", after)
        self.put(after)

    def delete(self, document: Document) -> None:
        self._sink("delete", {"_id": document["_id"]})
        self.discard(document["_id"])

    def create_index(self, spec: Any) -> None:
        """Add an index, or nothing when it is there already. Raises CommandError on a conflict or on duplicates."""
        index = parse_index(spec)
        if index.spec["key"] == {"_id": 1} or self._has(index):
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
        keys = {key for index in self.indexes.values() for key in index.expired(now)}
        return self.with_keys(keys)

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

    def restore_index(self, spec: Document) -> None:
        """Add an index that was accepted before, without telling the sink."""
        index = parse_index(spec)
        for key, document in self.documents.items():
            index.add(key, document)
        self.indexes[index.name] = index

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

    def _check_unique(self, key: Key, document: Document) -> None:
        for index in self.indexes.values():
            index.check(key, document, self.namespace)

    def _has(self, index: Index) -> bool:
        known = self.indexes.get(index.name)
        if known is not None:
            if list(known.spec["key"].items()) != list(index.spec["key"].items()) or _options(known) != _options(index):
                raise CommandError(
                    f"An existing index has the same name as the requested index: {index.name}",
                    INDEX_KEY_SPECS_CONFLICT,
                )
            return True
        for other in self.indexes.values():
            if list(other.spec["key"].items()) == list(index.spec["key"].items()):
                raise CommandError(f"Index already exists with a different name: {other.name}", INDEX_OPTIONS_CONFLICT)
        return False


def _options(index: Index) -> tuple[bool, bool, float | None]:
    return index.unique, index.sparse, index.expire_after_s
