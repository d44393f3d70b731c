"""The state of the server: all collections in memory, kept on disk by a journal, and the open cursors.

Every change of a collection passes through `Engine` as an effect (a whole document put, an id deleted, an index made),
so a replay repeats results and not commands: generated ids, times and half-failed commands come back as they were.

`snapshot-<n>` holds everything up to the start of `journal-<n>`; the highest snapshot counts. A record is its length, a
CRC-32, and BSON documents in pairs (what happened, to what). Appending reaches the operating system before a command
is answered, so the death of the process loses nothing; the loss of power may.
"""

import fcntl
import os
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import bson

from .collection import Collection
from .cursors import Cursors
from .errors import Code, CommandError
from .values import CODEC, Document

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
_COMPACT_AT_BYTES = 64 * 1024 * 1024
_HEADER = struct.Struct("<II")
_END = bson.encode({"o": "end"}) + bson.encode({})
_SNAPSHOT_RECORD_BYTES = 1 << 20


class JournalError(Exception):
    """The data directory cannot be used: another server has it, or a file in it is damaged."""


class Journal:
    """The files of one data directory, locked for this process. Not for use by several threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = self._take_lock()
        self._generation = max(self._generations("snapshot"), default=0)
        self._file = os.open(self._path("journal"), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.size_bytes, self.snapshot_bytes = os.fstat(self._file).st_size, 0

    def replay(self) -> Iterator[tuple[Document, Document]]:
        """Yield every effect so far, oldest first; cut off what a death while writing left at the end.

        Raises JournalError when a file is damaged anywhere else.
        """
        snapshot, journal = self._path("snapshot"), self._path("journal")
        if snapshot.exists():
            yield from _snapshot_effects(snapshot)
        data = journal.read_bytes()
        for position, payload in _records(data):
            if payload is None:
                _check_torn(data, position, journal)
                print(f"embedded_mongo: cut {len(data) - position} unfinished bytes off the journal", file=sys.stderr)
                os.truncate(self._file, position)
                self.size_bytes = position
                return
            yield from _effects(payload)

    def append(self, parts: list[bytes]) -> None:
        """Write one command's effects as one record. Raises OSError; the caller must not go on then."""
        record = _record(b"".join(parts))
        written = os.write(self._file, record)
        while written < len(record):
            written += os.write(self._file, record[written:])
        self.size_bytes += len(record)

    def compact(self, effects: Iterable[bytes]) -> None:
        """Replace snapshot and journal by a snapshot of `effects`, which must rebuild the present state."""
        old = self._generation
        target = self._directory / f"snapshot-{old + 1}"
        _write_durably(target.with_suffix(".tmp"), effects)
        target.with_suffix(".tmp").rename(target)
        self._generation = old + 1
        file = os.open(self._path("journal"), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        directory = os.open(self._directory, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        os.close(self._file)
        self._file, self.size_bytes, self.snapshot_bytes = file, 0, target.stat().st_size
        self._remove_other_generations()

    def close(self) -> None:
        """Put everything on the disk and give the directory free."""
        os.fsync(self._file)
        os.close(self._file)
        os.close(self._lock)

    def _take_lock(self) -> int:
        file = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            owner = os.read(file, 20).decode(errors="replace").strip()
            os.close(file)
            raise JournalError(f"the data directory is in use by another server (process {owner})") from exc
        os.truncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        return file

    def _generations(self, kind: str) -> list[int]:
        names = [path.name.partition("-")[2] for path in self._directory.glob(f"{kind}-*")]
        return [int(name) for name in names if name.isdecimal()]

    def _path(self, kind: str) -> Path:
        return self._directory / f"{kind}-{self._generation}"

    def _remove_other_generations(self) -> None:
        for kind in ("snapshot", "journal"):
            for number in self._generations(kind):
                if number != self._generation:
                    (self._directory / f"{kind}-{number}").unlink()
        for leftover in self._directory.glob("*.tmp"):
            leftover.unlink()


def _write_durably(path: Path, effects: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        pending = bytearray()
        for effect in effects:
            pending += effect
            if len(pending) >= _SNAPSHOT_RECORD_BYTES:
                file.write(_record(bytes(pending)))
                pending.clear()
        if pending:
            file.write(_record(bytes(pending)))
        file.write(_record(_END))
        file.flush()
        os.fsync(file.fileno())


def _record(payload: bytes) -> bytes:
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def _records(data: bytes) -> Iterator[tuple[int, bytes | None]]:
    """Yield where each record begins and its payload; None for one that is not whole and correct, which ends it."""
    position = 0
    while position < len(data):
        start = position + _HEADER.size
        length, checksum = _HEADER.unpack_from(data, position) if start <= len(data) else (0, 0)
        payload = data[start : start + length]
        if not length or len(payload) < length or zlib.crc32(payload) != checksum:
            yield position, None
            return
        yield position, payload
        position = start + length


def _snapshot_effects(path: Path) -> Iterator[tuple[Document, Document]]:
    data = path.read_bytes()
    for position, payload in _records(data):
        if payload is None:
            raise JournalError(f"{path.name} is damaged at byte {position}")
        if payload == _END:
            return
        yield from _effects(payload)
    raise JournalError(f"{path.name} is damaged at byte {len(data)}")


def _check_torn(data: bytes, position: int, path: Path) -> None:
    """Raise JournalError when the bad record is not the end of the file: that is damage, not an unfinished write."""
    length = _HEADER.unpack_from(data, position)[0] if position + _HEADER.size <= len(data) else len(data)
    if position + _HEADER.size + length < len(data) and data[position:].strip(b"\0"):
        raise JournalError(f"{path.name} is damaged at byte {position}; move the file away to start without it")


def _effects(payload: bytes) -> Iterator[tuple[Document, Document]]:
    documents = bson.decode_all(payload, CODEC)
    return zip(documents[::2], documents[1::2], strict=True)


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
