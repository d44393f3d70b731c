"""Small pictures of stored ones, made when they are asked for and kept nowhere."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from typing import Any

from attrs import define, field

from app.clients.storage import Storage
from app.domain.errors import NotAnImage, NotFound, StorageUnavailable
from app.domain.job import StoredImage
from app.pictures.preview import preview

log = logging.getLogger(__name__)

#: More would only share the processor, and each takes its memory.
AT_ONCE = 2


@define(eq=False, slots=False, kw_only=True)
class Previews:
    """`offload` runs the work where it blocks nobody: the web process gives it real threads."""

    _storage: Storage
    _offload: Callable[..., Any]
    _places: threading.BoundedSemaphore = field(init=False, factory=lambda: threading.BoundedSemaphore(AT_ONCE))

    def of(self, image: StoredImage, *, max_bytes: int) -> bytes | None:
        """Return a JPEG of a stored picture, or None where there cannot be one just now: it is an extra, the picture has its link."""
        try:
            with self._places, self._storage.open(image.key) as file:
                content = file.read()
                return self._offload(_preview, content, max_bytes)  # type: ignore[no-any-return]
        except (NotAnImage, NotFound, StorageUnavailable):
            log.warning("no preview of a picture", extra={"upload_id": image.upload_id}, exc_info=True)
            return None


def _preview(content: bytes, max_bytes: int) -> bytes:
    return preview(io.BytesIO(content), max_bytes=max_bytes)
