"""What comes from a client and goes to it, each with its time: only the waiting for the client counts, never the making of an answer."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import eventlet
import eventlet.wsgi

from app.domain.errors import BrokenBody, SlowBody

log = logging.getLogger("web")

#: A chunk's size in hexadecimal digits only: Python's own reading takes signs, underscores and blanks, which another server may read anew.
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")
MAX_CHUNK_LINE, MAX_TRAILER_LINE, MAX_TRAILERS = 256, 1024, 32
DRAINED_AT_ONCE = 64 * 1024
#: What nobody wants is read away at 6 MB/s at most.
DRAIN_PAUSE_S = 0.01
#: After so many bytes of a body it is everybody else's turn.
TURN_BYTES = 256 * 1024


class PacedReader(io.RawIOBase):
    """What a client sends. Raises TimeoutError once it has kept the reader waiting for longer than it may, and for too many bytes."""

    def __init__(self, raw: io.RawIOBase, connection: Any, *, write_s: float, request_bytes: int) -> None:
        super().__init__()
        self._raw, self._connection, self._write_s, self._request_bytes = raw, connection, write_s, request_bytes
        self.expect("head", write_s)

    def expect(self, part: str, seconds: float, *, bytes_per_s: float = math.inf) -> None:
        """Begin to count anew, for the next part."""
        self._part, self._seconds, self._bytes_per_s = part, seconds, bytes_per_s
        self._waited_s, self._received = 0.0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._seconds + self._received / self._bytes_per_s - self._waited_s
        if left <= 0 or self._received > self._request_bytes:
            log.info("a client was too slow, or sent too much: dropped", extra={"part": self._part, "received": self._received})
            raise TimeoutError(f"{self._part}: too slow, or too large")
        began = time.monotonic()
        # The connection's timeout is otherwise that of its writes.
        self._connection.settimeout(left)
        try:
            count: int | None = self._raw.readinto(buffer)
        finally:
            self._waited_s += time.monotonic() - began
            self._connection.settimeout(self._write_s)
        if count == 0 and self._part == "head":
            raise ConnectionAbortedError("the client has gone")  # To read half a head would cost as much as a whole one.
        before = self._received
        self._received += count or 0
        if self._received // TURN_BYTES != before // TURN_BYTES:
            eventlet.sleep(0)  # Who sends as fast as we read would never be waited for.
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class PacedWriter(io.RawIOBase):
    """What goes to a client: eventlet hands over whole parts of an answer, each is one send. It would keep 16 kB for each connection.

    Each part has its time, and more the more of it was taken: who takes a byte now and then is as good as one who takes none. What the
    kernel takes at once into its buffers is no sign of a client.
    """

    def __init__(self, raw: io.RawIOBase, connection: Any, *, write_s: float, bytes_per_s: float) -> None:
        super().__init__()
        self._raw, self._connection, self._write_s, self._bytes_per_s = raw, connection, write_s, bytes_per_s

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        left, sent = memoryview(data), self._raw.write(data) or 0
        waited_s = taken = 0.0
        while left := left[sent:]:
            seconds = self._write_s + taken / self._bytes_per_s - waited_s
            if seconds <= 0:
                raise TimeoutError("the answer is taken too slowly")
            self._connection.settimeout(min(seconds, self._write_s))
            began = time.monotonic()
            sent = self._raw.write(left) or 0
            waited_s, taken = waited_s + time.monotonic() - began, taken + sent
        if waited_s:
            self._connection.settimeout(self._write_s)
        return len(data)

    def writelines(self, lines: Iterable[Any]) -> None:
        self.write(b"".join(lines))

    def close(self) -> None:
        self._raw.close()
        super().close()


class BodyInput(eventlet.wsgi.Input):  # type: ignore[misc]
    """A request's body. Says what is wrong with it in errors that have an answer, and reads chunks by the letter."""

    is_broken = False
    chunk_length: int
    position: int

    def __init__(self, *args: Any, before_rest: Callable[[], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._before_rest = before_rest

    def read(self, length: int | None = None) -> bytes:
        with self._translated():
            data: bytes = super().read(length)
            return data

    def readline(self, size: int | None = None) -> bytes:
        with self._translated():
            line: bytes = super().readline(size)
            return line

    @property
    def is_left(self) -> bool:
        """Whether the client may still be sending."""
        if self.is_broken or self.should_send_hundred_continue:
            return False
        return self.chunk_length != 0 if self.chunked_input else self.position < (self.content_length or 0)

    def discard(self, buffer_size: int = DRAINED_AT_ONCE) -> None:
        """Read away what is left, beside all others. What cannot be read ends it."""
        if self.is_left:
            self._before_rest()
        with contextlib.suppress(BrokenBody, SlowBody):
            while self.is_left and self.read(buffer_size):
                eventlet.sleep(DRAIN_PAUSE_S)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as exc:
            self.is_broken = True
            raise SlowBody("The body came too slowly") from exc
        except (OSError, eventlet.wsgi.ChunkReadError) as exc:
            self.is_broken = True
            raise BrokenBody("The body breaks off, or its chunks cannot be read") from exc

    def _chunked_read(self, rfile: Any, length: int | None = None, use_readline: bool = False) -> bytes:  # noqa: FBT001, FBT002 - eventlet's
        if self.should_send_hundred_continue:
            self.send_hundred_continue_response()
            self.is_hundred_continue_response_sent = True
        left = -1 if length is None else length
        parts: list[bytes] = []
        while left != 0 and self._opens_chunk(rfile):
            rest = self.chunk_length - self.position
            wanted = rest if left < 0 else min(rest, left)
            data: bytes = rfile.readline(wanted) if use_readline else rfile.read(wanted)
            if not data:
                raise eventlet.wsgi.ChunkReadError("the end of a chunk is missing")
            parts.append(data)
            self._took(rfile, len(data))
            left -= len(data) if left > 0 else 0
            if use_readline and data.endswith(b"\n"):
                break
        return b"".join(parts)

    def _opens_chunk(self, rfile: Any) -> bool:
        """Be inside a chunk; False after the last one."""
        if self.chunk_length < 0:
            head = CHUNK.fullmatch(rfile.readline(MAX_CHUNK_LINE))
            if head is None:
                raise eventlet.wsgi.ChunkReadError("no size of a chunk")
            self.chunk_length, self.position = int(head[1], 16), 0
            if self.chunk_length == 0:
                self._skip_trailers(rfile)
        return self.chunk_length > 0

    def _took(self, rfile: Any, count: int) -> None:
        self.position += count
        if self.position == self.chunk_length:
            if rfile.readline(2) != b"\r\n":
                raise eventlet.wsgi.ChunkReadError("a chunk is longer than it says")
            self.chunk_length = -1

    def _skip_trailers(self, rfile: Any) -> None:
        for _ in range(MAX_TRAILERS):
            if rfile.readline(MAX_TRAILER_LINE) == b"\r\n":
                return
        raise eventlet.wsgi.ChunkReadError("the end of the trailers is missing")
