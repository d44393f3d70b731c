"""The data on disk: a snapshot and the journal of every effect since.

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
from pathlib import Path
from typing import Any, Final

import bson
from bson.codec_options import CodecOptions

from .values import Document

CODEC: Final[CodecOptions[Any]] = CodecOptions(tz_aware=True)

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
    if position + _HEADER.size > len(data):
        return
    length, _ = _HEADER.unpack_from(data, position)
    ends_inside = position + _HEADER.size + length < len(data)
    if ends_inside and data[position:].strip(b"\0"):
        raise JournalError(f"{path.name} is damaged at byte {position}; move the file away to start without it")


def _effects(payload: bytes) -> Iterator[tuple[Document, Document]]:
    documents = bson.decode_all(payload, CODEC)
    return zip(documents[::2], documents[1::2], strict=True)
