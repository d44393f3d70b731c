"""The state of the server: all collections in memory, kept on disk by the journal, and the open cursors.

Every change of a collection passes through `Engine` as an effect (a whole document put, an id deleted, an index made),
so a replay repeats results and not commands: generated ids, times and half-failed commands come back as they were.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import bson

from .collection import Collection
from .cursors import Cursors
from .errors import Code, CommandError
from .journal import CODEC, Journal
from .values import Document

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
_COMPACT_AT_BYTES = 64 * 1024 * 1024


class Engine:
    """One command at a time: change, then `commit`, then answer."""

    def __init__(self, data_dir: Path, *, compact_at_bytes: int = _COMPACT_AT_BYTES) -> None:
        """Load what the data directory holds. Raises JournalError when it cannot be used."""
        self.collections: dict[str, Collection] = {}
        self.cursors = Cursors()
        self._pending: list[bytes] = []
        self._journal = Journal(data_dir)
        self._compact_at_bytes = compact_at_bytes
        self._limit_bytes = compact_at_bytes
        for header, body in self._journal.replay():
            self._apply(header, body)
        self._pending = []  # What the replay has made is on disk already.
        if self._journal.size_bytes:
            self.compact()

    def get(self, namespace: str) -> Collection | None:
        return self.collections.get(namespace)

    def create(self, namespace: str) -> Collection:
        """Return the collection, made if it is not there."""
        collection = self.collections.get(namespace)
        if collection is None:
            self._record(namespace, "create", {})
            collection = self.collections[namespace] = Collection(namespace, partial(self._record, namespace))
        return collection

    def drop(self, namespace: str) -> None:
        self._record(namespace, "drop", {})
        del self.collections[namespace]

    def in_database(self, database: str) -> list[str]:
        """Return the full names of the database's collections."""
        return [name for name in self.collections if name.startswith(f"{database}.")]

    def commit(self) -> None:
        """Append the effects since the last commit to the journal. Raises OSError: the process must end then."""
        if not self._pending:
            return
        self._journal.append(self._pending)
        self._pending = []
        if self._journal.size_bytes > self._limit_bytes:
            self.compact()

    def expire(self) -> None:
        """Delete what TTL indexes no longer allow, and commit."""
        now = datetime.now(UTC)
        for collection in self.collections.values():
            for document in collection.expired(now):
                collection.delete(document)
        self.commit()

    def compact(self) -> None:
        """Write the whole state as a new snapshot and start an empty journal."""
        self._journal.compact(self._snapshot())
        # A journal as large as the state: rewriting everything must not become the main work.
        self._limit_bytes = max(self._compact_at_bytes, self._journal.snapshot_bytes)

    def close(self) -> None:
        self._journal.close()

    def _record(self, namespace: str, kind: str, body: Document) -> None:
        encoded = bson.encode(body, codec_options=CODEC)
        if len(encoded) > MAX_DOCUMENT_BYTES:
            raise CommandError(f"object to insert too large. size in bytes: {len(encoded)}", Code.BSONObjectTooLarge)
        self._pending.append(bson.encode({"o": kind, "n": namespace}) + encoded)

    def _apply(self, header: Document, body: Document) -> None:
        namespace = header["n"]
        match header["o"]:
            case "put":
                self.collections[namespace].put(body)
            case "delete":
                self.collections[namespace].discard(body["_id"])
            case "index":
                self.collections[namespace].create_index(body)
            case "unindex":
                del self.collections[namespace].indexes[body["name"]]
            case "create":
                self.create(namespace)
            case "drop":
                del self.collections[namespace]

    def _snapshot(self) -> Iterator[bytes]:
        for namespace, collection in self.collections.items():
            yield bson.encode({"o": "create", "n": namespace}) + bson.encode({})
            for index in collection.indexes.values():
                yield bson.encode({"o": "index", "n": namespace}) + bson.encode(index.spec, codec_options=CODEC)
            header = bson.encode({"o": "put", "n": namespace})
            for document in collection.documents.values():
                yield header + bson.encode(document, codec_options=CODEC)
