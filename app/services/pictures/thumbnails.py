"""Thumbnails: made when first looked at, and kept in storage beside their pictures."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from typing import IO, Any

from attrs import define, field

from app.clients.storage import Storage
from app.domain import keys
from app.domain.errors import NotAnImage, NotFound, StorageUnavailable
from app.pictures.thumbnail import CONTENT_TYPE, thumbnail
from app.stores.tombstones import Tombstones

log = logging.getLogger(__name__)

#: More would only share the processor, and each takes its memory.
AT_ONCE = 2
#: Pictures that cannot be made small are remembered, so that looking at one again and again costs no work.
REMEMBERED = 1000


@define(eq=False, slots=False, kw_only=True)
class Thumbnails:
    """`offload` runs the work where it blocks nobody: the web process gives it real threads."""

    _storage: Storage
    _tombstones: Tombstones
    _offload: Callable[..., Any]
    _places: threading.BoundedSemaphore = field(init=False, factory=lambda: threading.BoundedSemaphore(AT_ONCE))
    _hopeless: dict[str, None] = field(init=False, factory=dict)

    def of(self, key: str, size: int) -> IO[bytes] | None:
        """Return the WebP of a stored picture, its longest side `size` pixels at most; None where the picture cannot be made small.

        Raises NotFound, StorageUnavailable.
        """
        if (kept := self._kept(key, size)) is not None or key in self._hopeless:
            return kept
        with self._places:
            if (kept := self._kept(key, size)) is not None:
                return kept  # Many look at once for the first time: one of them has made it meanwhile.
            made = self._made(key, size)
            if made is not None:
                self._keep(key, size, made)
        return None if made is None else io.BytesIO(made)

    def _kept(self, key: str, size: int) -> IO[bytes] | None:
        try:
            return self._storage.open(keys.thumbnail(key, size))
        except NotFound:
            return None

    def _made(self, key: str, size: int) -> bytes | None:
        with self._storage.open(key) as file:
            content = file.read()
        try:
            return self._offload(_thumbnail, content, size)  # type: ignore[no-any-return]
        except NotAnImage:
            log.warning("a picture cannot be made small", extra={"key": key}, exc_info=True)
            if len(self._hopeless) >= REMEMBERED:
                self._hopeless.clear()
            self._hopeless[key] = None
            return None

    def _keep(self, key: str, size: int, made: bytes) -> None:
        """Store a thumbnail, unless its picture is deleted meanwhile: whoever deletes afterwards removes this too."""
        name = keys.thumbnail(key, size)
        try:
            self._storage.put(name, io.BytesIO(made), CONTENT_TYPE)
            if self._is_gone(key):
                self._storage.delete(name)
        except StorageUnavailable:
            log.warning("a thumbnail is not kept, the next look makes it again", extra={"key": key}, exc_info=True)

    def _is_gone(self, key: str) -> bool:
        job_id = keys.job_of(key)
        return (job_id is not None and self._tombstones.get(job_id) is not None) or not self._storage.has(key)


def _thumbnail(content: bytes, size: int) -> bytes:
    return thumbnail(io.BytesIO(content), size)
