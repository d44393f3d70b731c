"""A job's pictures on their way to a client as base64: from storage, chunk by chunk, in the format that was asked for."""

from __future__ import annotations

import base64
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

from app.api.openai.asked import Asked
from app.clients.storage import Storage
from app.domain.errors import NotAnImage
from app.domain.job import StoredImage
from app.pictures.convert import PIXEL_BYTES, convert

log = logging.getLogger("http")

#: Read at once: a multiple of three, so that the pieces one after the other are base64 too.
CHUNK_BYTES = 48 * 1024
#: Each may take 256 MB of memory, and one keeps a processor busy.
_conversions = threading.BoundedSemaphore(1)


class Pictures:
    """`offload` runs a conversion where it blocks nobody: the web process gives it real threads."""

    def __init__(self, storage: Storage, offload: Callable[..., Any], asked: Asked) -> None:
        self._storage = storage
        self._offload = offload
        self._kind = asked.output_format
        self._quality = asked.output_compression

    @contextlib.contextmanager
    def opened(self, image: StoredImage) -> Iterator[tuple[str, IO[bytes]]]:
        """Open a picture as it is sent: its format and its bytes, converted where another was asked for than is stored.

        As stored where it cannot be converted. What is in storage stays as it is. Raises NotFound, StorageUnavailable.
        """
        stored = stored_kind(image)
        with contextlib.ExitStack() as files:
            file = files.enter_context(self._storage.open(image.key))
            if self._kind in PIXEL_BYTES and self._kind != stored and (made := self._converted(file, self._kind)):
                yield self._kind, files.enter_context(made)
            else:
                file.seek(0)
                yield stored, file

    def _converted(self, file: IO[bytes], kind: str) -> IO[bytes] | None:
        try:
            with _conversions:
                made: IO[bytes] | None = self._offload(convert, file, kind, self._quality)
        except NotAnImage:
            log.warning("a stored picture cannot be decoded: it is answered as it is", exc_info=True)
            return None
        return made


def stored_kind(image: StoredImage) -> str:
    """Return the format a picture is stored in, in OpenAI's words: png, jpeg, webp."""
    return image.content_type.partition("/")[2]


def encoded(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file as base64 in pieces of 64 kB, and let others have their turn between them."""
    while chunk := file.read(CHUNK_BYTES):
        yield base64.b64encode(chunk)
        time.sleep(0)
