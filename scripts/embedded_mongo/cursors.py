"""Open cursors: the rest of a result, handed out batch by batch."""

import secrets
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import bson
from bson import Int64
from bson.raw_bson import RawBSONDocument

from .errors import Code, CommandError
from .values import CODEC, Document

_BATCH_BYTES = 16 * 1024 * 1024
_IDLE_S = 600.0
FIRST_BATCH = 101


@dataclass
class _Open:
    namespace: str
    rest: deque[Document]
    used_at: float = field(default_factory=time.monotonic)


class Cursors:
    """All open cursors of the server, by id. One forgotten by its client goes after ten minutes."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}

    def start(self, namespace: str, documents: Iterable[Document], batch_size: int, *, single_batch: bool = False) -> Document:
        """Return the answer of a command that opens a cursor; none stays open when the first batch is all."""
        rest = deque(documents)
        batch = _take(rest, batch_size)
        cursor_id = 0
        if rest and not single_batch:
            cursor_id = secrets.randbits(62) + 1
            self._open[cursor_id] = _Open(namespace, rest)
        return {"cursor": {"firstBatch": batch, "id": Int64(cursor_id), "ns": namespace}}

    def more(self, cursor_id: int, namespace: str, batch_size: int) -> Document:
        """Return the answer to getMore. Raises CommandError when the cursor is not open."""
        cursor = self._open.get(cursor_id)
        if cursor is None or cursor.namespace != namespace:
            raise CommandError(f"cursor id {cursor_id} not found", Code.CursorNotFound)
        batch = _take(cursor.rest, batch_size or len(cursor.rest))
        cursor.used_at = time.monotonic()
        if not cursor.rest:
            del self._open[cursor_id]
            cursor_id = 0
        return {"cursor": {"nextBatch": batch, "id": Int64(cursor_id), "ns": namespace}}

    def kill(self, cursor_ids: list[int]) -> Document:
        killed = [number for number in cursor_ids if self._open.pop(number, None) is not None]
        missing = [number for number in cursor_ids if number not in killed]
        return {"cursorsKilled": killed, "cursorsNotFound": missing, "cursorsAlive": [], "cursorsUnknown": []}

    def forget_idle(self) -> None:
        limit = time.monotonic() - _IDLE_S
        self._open = {number: cursor for number, cursor in self._open.items() if cursor.used_at > limit}


def _take(rest: deque[Document], count: int) -> list[RawBSONDocument]:
    """Take up to `count` documents and 16 MB, but always one of however many there are."""
    batch: list[RawBSONDocument] = []
    size = 0
    while rest and len(batch) < count:
        encoded = bson.encode(rest[0], codec_options=CODEC)
        size += len(encoded)
        if batch and size > _BATCH_BYTES:
            break
        rest.popleft()
        batch.append(RawBSONDocument(encoded))
    return batch
