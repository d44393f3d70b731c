"""Open cursors: the rest of a result, handed out batch by batch."""

import secrets
from collections import deque
from collections.abc import Iterable

import bson
from bson import Int64
from bson.raw_bson import RawBSONDocument

from .errors import Code, CommandError
from .values import CODEC, Document

_BATCH_BYTES = 16 * 1024 * 1024
_MOST_OPEN = 10_000
FIRST_BATCH = 101


class Cursors:
    """All open cursors of the server, by id. Those that clients left open go when there are too many, the oldest first."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[str, deque[Document]]] = {}

    def start(self, namespace: str, documents: Iterable[Document], batch_size: int, *, single_batch: bool = False) -> Document:
        """Return the answer of a command that opens a cursor; none stays open when the first batch is all."""
        rest = deque(documents)
        batch = _take(rest, batch_size)
        cursor_id = 0
        if rest and not single_batch:
            cursor_id = secrets.randbits(62) + 1
            self._open[cursor_id] = namespace, rest
            if len(self._open) > _MOST_OPEN:
                del self._open[next(iter(self._open))]
        return {"cursor": {"firstBatch": batch, "id": Int64(cursor_id), "ns": namespace}}

    def more(self, cursor_id: int, namespace: str, batch_size: int) -> Document:
        """Return the answer to getMore. Raises CommandError when the cursor is not open."""
        opened_in, rest = self._open.get(cursor_id, ("", deque()))
        if opened_in != namespace:
            raise CommandError(f"cursor id {cursor_id} not found", Code.CursorNotFound)
        batch = _take(rest, batch_size or len(rest))
        if not rest:
            del self._open[cursor_id]
            cursor_id = 0
        return {"cursor": {"nextBatch": batch, "id": Int64(cursor_id), "ns": namespace}}

    def kill(self, cursor_ids: list[int]) -> Document:
        killed = [number for number in cursor_ids if self._open.pop(number, None) is not None]
        missing = [number for number in cursor_ids if number not in killed]
        return {"cursorsKilled": killed, "cursorsNotFound": missing, "cursorsAlive": [], "cursorsUnknown": []}


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
