"""eventlet's HTTP server with limits: how long a client may keep the server waiting.

eventlet's own timeout is for each read: a byte per second holds a connection for ever. Here a whole head, a whole body has its time. Only
the waiting for the client counts, never the time an answer takes to make: a request that waits for its picture is silent for minutes.
WebSockets read beside this, with Socket.IO's ping for a limit.
"""

from __future__ import annotations

import functools
import io
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import eventlet
import eventlet.websocket
import eventlet.wsgi

from app.addresses import Network, client_address

log = logging.getLogger("web")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

MAX_URL_CHARS = 16384
#: A connection holds it for as long as its request waits; Python's own has 8 kB.
READ_BUFFER = 1024
#: The last words of a connection go to the kernel's buffer or nowhere.
FAREWELL_S = 0.1


@dataclass(frozen=True)
class Limits:
    """What a client may take; seconds of waiting for it.

    A body has `body_s`, and a second more for each `body_bytes_per_s` that came. `write_s` is for an answer that nobody takes, without any
    progress. `idle_s` lies above the 60 s after which common proxies give up an idle connection: the server must not be first.
    """

    head_s: float = 20.0
    idle_s: float = 75.0
    body_s: float = 30.0
    body_bytes_per_s: float = 8192.0
    write_s: float = 60.0
    #: More than any body the application takes; what is above is not even read away.
    request_bytes: int = 64 * 1024 * 1024
    #: How often a Socket.IO client is asked whether it is there, and how long it has to answer.
    ping_interval_s: float = 25.0
    ping_timeout_s: float = 20.0
    #: How long a Socket.IO session may be without a credential.
    stranger_s: float = 15.0


LIMITS = Limits()


def run(listener: Any, app: Application, pool: eventlet.GreenPool, limits: Limits, trusted: Sequence[Network] = ()) -> None:
    """Serve connections in `pool` until this green thread is killed. `trusted`: the proxies whose word counts for who their client is."""
    eventlet.websocket.RFC6455WebSocket.Message = BoundedMessage
    eventlet.wsgi.server(
        listener,
        _on_a_stack_of_its_own(app),
        custom_pool=pool,
        # Otherwise eventlet holds events back until they make 4 kB. (Flask-SocketIO copies the environ: one request cannot ask for it.)
        minimum_chunk_size=1,
        protocol=functools.partial(LimitedProtocol, limits, trusted),
        log_output=False,
        debug=False,
        url_length_limit=MAX_URL_CHARS,
        socket_timeout=limits.write_s,
    )


def _on_a_stack_of_its_own(app: Application) -> Application:
    """Call `app` in a green thread that ends with the call.

    A stack keeps what its deepest call once took, and a connection's lives as long as its request waits: 8 of 40 kB of a waiting request.
    A WebSocket lives within its call, for hours: a second stack would be no gain.
    """

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_UPGRADE" in environ:
            return app(environ, start_response)
        answer: Iterable[bytes] = eventlet.spawn(app, environ, start_response).wait()
        return answer

    return call


class PacedReader(io.RawIOBase):
    """What a client sends. Raises TimeoutError once it has kept the reader waiting for longer than it may, and for too many bytes."""

    def __init__(self, raw: io.RawIOBase, connection: Any, limits: Limits) -> None:
        super().__init__()
        self._raw, self._connection, self._limits = raw, connection, limits
        self.expect("head", limits.head_s)

    def expect(self, part: str, seconds: float, *, bytes_per_s: float = math.inf) -> None:
        """Begin to count anew, for the next part."""
        self._part, self._seconds, self._bytes_per_s = part, seconds, bytes_per_s
        self._waited_s, self._received = 0.0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._seconds + self._received / self._bytes_per_s - self._waited_s
        if left <= 0 or self._received > self._limits.request_bytes:
            log.info("a client was too slow, or sent too much: dropped", extra={"part": self._part, "received": self._received})
            raise TimeoutError(f"{self._part}: too slow, or too large")
        began = time.monotonic()
        # The connection's timeout is otherwise that of its writes.
        self._connection.settimeout(left)
        try:
            count: int | None = self._raw.readinto(buffer)
        finally:
            self._waited_s += time.monotonic() - began
            self._connection.settimeout(self._limits.write_s)
        self._received += count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class UnbufferedWriter(io.RawIOBase):
    """What goes to a client: eventlet hands over whole parts of an answer, each is one send. It would keep 16 kB for each connection."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__()
        self._raw = raw

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        left = memoryview(data)
        while left:
            left = left[self._raw.write(left) or 0 :]
        return len(data)

    def writelines(self, lines: Iterable[Any]) -> None:
        self.write(b"".join(lines))

    def close(self) -> None:
        self._raw.close()
        super().close()


class LimitedProtocol(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """One connection, request after request."""

    def __init__(self, limits: Limits, trusted: Sequence[Network], conn_state: list[Any], server: Any) -> None:
        self._limits, self._trusted = limits, trusted
        self._is_first = True
        super().__init__(conn_state, server)  # This serves the connection, to its end.

    def setup(self) -> None:
        super().setup()
        self._reader = PacedReader(self.rfile.detach(), self.connection, self._limits)
        self.rfile: io.BufferedReader = io.BufferedReader(self._reader, READ_BUFFER)
        self.wfile: Any = UnbufferedWriter(self.wfile.detach())

    def _read_request_line(self) -> bytes:
        """Wait for a request's first byte, then begin to count the time for its head."""
        if not self._is_first:
            self._reader.expect("nothing", self._limits.idle_s)
        self._is_first = False
        try:
            if not self.rfile.peek(1):
                return b""
            self._reader.expect("head", self._limits.head_s)
            line: bytes = super()._read_request_line()
        except (OSError, ValueError):  # Gone, silent or slow; ValueError: closed by a WebSocket.
            return b""
        return line

    def parse_request(self) -> bool:
        try:
            is_right: bool = super().parse_request()
        except OSError:
            self.close_connection = True
            return False
        self._reader.expect("body", self._limits.body_s, bytes_per_s=self._limits.body_bytes_per_s)
        return is_right

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        # Whoever asks for the address, for a limit or for the log, gets the client's.
        environ["REMOTE_ADDR"] = client_address(environ["REMOTE_ADDR"], environ.get("HTTP_X_FORWARDED_FOR", ""), self._trusted)
        return environ

    def finish(self) -> None:
        self.connection.settimeout(FAREWELL_S)
        super().finish()


class BoundedMessage(eventlet.websocket.RFC6455WebSocket.Message):  # type: ignore[misc]
    """A WebSocket message whose fragments together may have what eventlet lets a single one have.

    eventlet has no such bound: anybody, before any credential is asked for, could send fragments until the memory is full.
    """

    def push(self, data: bytes, *, final: bool = False) -> None:
        super().push(data, final=final)
        self._size = getattr(self, "_size", 0) + len(data)
        if self._size > self.max_frame_length:
            raise eventlet.websocket.FailedConnectionError(1009, "The message is too large")
