"""Many pictures as one zip file, made while it is sent: of whatever size, some kilobytes of it are in memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from attrs import define

from app.clients.storage import Storage
from app.domain.account import Whose
from app.domain.errors import NotFound
from app.domain.job import JobStatus
from app.domain.job_filter import JobFilter
from app.services.pictures.finding import Picture, Pictures
from app.services.reports.history import History

CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Entry:
    """A picture as it stands in an archive."""

    key: str
    name: str
    made_at: datetime


@define(eq=False, slots=False, kw_only=True)
class Archives:
    _storage: Storage
    _pictures: Pictures
    _history: History

    def of_batch(self, batch_id: str) -> Iterator[bytes]:
        """Yield the zip of all pictures that a batch has now. Who may have it is asked before. Raises what `zipped` raises."""
        jobs = self._history.all(JobFilter(batch_id=batch_id, status=JobStatus.COMPLETED))
        return zipped((_entry(Picture(job, image)) for job in jobs for image in job.images), self._storage)

    def of_pictures(self, image_ids: Sequence[str], *, user_id: Whose) -> Iterator[bytes]:
        """Yield the zip of these pictures, each once. Raises NotFound at once where one of them is not there, or somebody else's."""
        entries = [_entry(self._pictures.get(image_id, user_id=user_id)) for image_id in dict.fromkeys(image_ids)]
        return zipped(entries, self._storage)


def _entry(picture: Picture) -> Entry:
    return Entry(picture.image.key, picture.file_name, picture.job.completed_at or picture.job.updated_at)


def zipped(entries: Iterable[Entry], storage: Storage) -> Iterator[bytes]:
    """Yield a zip file of stored pictures, uncompressed: they are pressed already. One that was deleted meanwhile is left out.

    Raises StorageUnavailable, StoreUnavailable on the way: what was sent until then has no directory, so nobody takes it for whole.
    """
    sink = _Sink()
    names: dict[str, int] = {}
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for entry in entries:
            try:
                file = storage.open(entry.key)
            except NotFound:
                continue
            with file:
                info = zipfile.ZipInfo(_unique(entry.name, names), entry.made_at.timetuple()[:6])
                info.external_attr = 0o644 << 16
                yield from _written(archive, info, file, sink)
    yield sink.taken()


def _written(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: IO[bytes], sink: _Sink) -> Iterator[bytes]:
    with archive.open(info, "w") as out:
        while chunk := file.read(CHUNK_BYTES):
            out.write(chunk)
            yield sink.taken()


def _unique(name: str, names: dict[str, int]) -> str:
    """Return a name that no other picture of the archive has."""
    count = names[name] = names.get(name, 0) + 1
    if count == 1:
        return name
    stem, _, extension = name.rpartition(".")
    return _unique(f"{stem}-{count}.{extension}", names)


class _Sink(io.RawIOBase):
    """Where the archive is written; what has been written is taken away piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self._pieces.append(piece)
        return len(piece)

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
