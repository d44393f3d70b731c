"""eventlet's HTTP server with limits: how long a client may keep the server waiting, and how many there may be.

eventlet's own timeout is for each read: a byte per second holds a connection for ever. Here a whole head, a whole body has its time. Only
the waiting for the client counts, never the time an answer takes to make: a request that waits for its picture is silent for minutes.
WebSockets read beside this, with Socket.IO's ping for a limit.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import io
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

import eventlet
import eventlet.websocket
import eventlet.wsgi

from app.domain.addresses import Network, address_of, client_address, household, is_within
from app.web.crowd import Crowd, CrowdLimits, Gate
from app.web.http_head import Refusal, refusal_of, refused
from app.web.http_input import DRAINED_AT_ONCE, BodyInput, PacedReader, PacedWriter

log = logging.getLogger("web")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

MAX_URL_CHARS = 16384
#: A connection holds it for as long as its request waits; Python's own has 8 kB.
READ_BUFFER = 1024
#: The last words of a connection go to the kernel's buffer or nowhere.
FAREWELL_S = 0.1
#: What is read away after a refused head, so that the refusal is not lost with it.
AFTER_REFUSAL_S, AFTER_REFUSAL_READS = 1.0, 16
#: Of a rush, so many connections are taken before the others go on.
ACCEPTED_AT_ONCE = 128
#: Accepting fails while there are no descriptors, or when a client is gone already; eventlet would end the server.
PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ETIMEDOUT}
ACCEPT_PAUSE_S = 0.05
HEALTH_PATHS = ("/healthz", "/readyz")
#: Where a credential comes later than in the head; its sessions have bounds of their own.
SOCKETS_PATH = "/socket.io/"
CREDENTIALS = ("Authorization", "X-API-Key")
MAX_KNOWN = 10_000


@dataclass(frozen=True)
class Limits(CrowdLimits):
    """What a client may take; seconds of waiting for it.

    A body has `body_s`, and a second more for each `body_bytes_per_s` that came; each part of an answer likewise. `idle_s` is for callers
    and proxies; it lies above the 60 s after which common proxies give up an idle connection: the server must not be first.
    """

    head_s: float = 20.0
    idle_s: float = 75.0
    stranger_idle_s: float = 20.0
    body_s: float = 20.0
    body_bytes_per_s: float = 8192.0
    #: For reading away what a refused request still sends.
    rest_s: float = 5.0
    write_s: float = 20.0
    write_bytes_per_s: float = 1024.0
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
        PatientListener(listener),
        _on_a_stack_of_its_own(app),
        custom_pool=pool,
        # Otherwise eventlet holds events back until they make 4 kB. (Flask-SocketIO copies the environ: one request cannot ask for it.)
        minimum_chunk_size=1,
        protocol=functools.partial(LimitedProtocol, Door(limits, trusted, Crowd(limits), Gate())),
        log_output=False,
        debug=False,
        url_length_limit=MAX_URL_CHARS,
        socket_timeout=limits.write_s,
    )


class PatientListener:
    """A listening socket that outlives a lack of descriptors, and lets others have their turn in a rush."""

    def __init__(self, listener: Any) -> None:
        self._listener = listener
        self._accepted = 0

    def accept(self) -> Any:
        self._accepted += 1
        if self._accepted % ACCEPTED_AT_ONCE == 0:
            eventlet.sleep(0)
        while True:
            try:
                return self._listener.accept()
            except OSError as exc:
                if exc.errno not in PASSING:
                    raise
                eventlet.sleep(ACCEPT_PAUSE_S)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)


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


@dataclass(frozen=True)
class Door:
    """What all connections of a server share."""

    limits: Limits
    trusted: Sequence[Network]
    crowd: Crowd
    gate: Gate
    #: Credentials that were right lately, as digests: only for whom to stand in line with, never for who may do what.
    known: dict[bytes, None] = field(default_factory=dict)

    def line_of(self, headers: Message, home: str) -> str:
        """Return where a request stands in line: callers each in their own, and all others of an address together."""
        digest = _digest(headers)
        return digest.hex() if digest in self.known else home

    def knows(self, headers: Message) -> None:
        self.known[_digest(headers)] = None
        if len(self.known) > MAX_KNOWN:
            del self.known[next(iter(self.known))]


def _digest(headers: Message) -> bytes:
    return hashlib.sha256("\n".join(str(headers.get(name, "")) for name in CREDENTIALS).encode("utf-8", "replace")).digest()


class Visit:
    """What the application knows of who made the last request on a connection."""

    is_caller = False


class LimitedProtocol(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """One connection, request after request."""

    def __init__(self, door: Door, conn_state: list[Any], server: Any) -> None:
        self._door = door
        self._limits, self._trusted, self._crowd, self._gate = door.limits, door.trusted, door.crowd, door.gate
        self._is_first, self._visit = True, Visit()
        peer = address_of(conn_state[0][0])
        self._is_proxy = peer is not None and is_within(peer, door.trusted)
        # A proxy's connections stand each for itself: they are other people's.
        self._home = f"{conn_state[0]}" if self._is_proxy else household(conn_state[0][0])
        super().__init__(conn_state, server)  # This serves the connection, to its end.

    def setup(self) -> None:
        super().setup()
        limits = self._limits
        self._reader = PacedReader(self.rfile.detach(), self.connection, write_s=limits.write_s, request_bytes=limits.request_bytes)
        self.rfile: io.BufferedReader = io.BufferedReader(self._reader, READ_BUFFER)
        self.wfile: Any = PacedWriter(self.wfile.detach(), self.connection, write_s=limits.write_s, bytes_per_s=limits.write_bytes_per_s)

    def _read_request_line(self) -> bytes:
        """Wait for a request's first byte, then begin to count the time for its head."""
        limits = self._limits
        known = self._visit.is_caller or self._is_proxy
        idle_s = limits.idle_s if known else min(limits.stranger_idle_s, limits.idle_s)
        self._reader.expect("nothing", limits.head_s if self._is_first else idle_s)
        self._is_first, self._visit = False, Visit()
        self._crowd.waits(self.connection, self._home)
        try:
            if not self.rfile.peek(1):
                return b""
            self._reader.expect("head", limits.head_s)
            line: bytes = super()._read_request_line()
        except (OSError, ValueError):  # Gone, silent or slow; ValueError: closed by a WebSocket.
            return b""
        if len(line) >= self.server.url_length_limit:
            self._refuse(Refusal(414, "uri_too_long", f"The address is longer than {MAX_URL_CHARS} characters"))
            return b""
        return line

    def parse_request(self) -> bool:
        try:
            is_right: bool = super().parse_request()
            refusal = refusal_of(self.request_version, self.path, self.headers) if is_right else None
        except OSError:
            self.close_connection = True
            return False
        except (eventlet.wsgi.HeaderLineTooLong, eventlet.wsgi.HeadersTooLarge):
            is_right, refusal = True, Refusal(431, "headers_too_large", "The headers are too large")
        if refusal:
            self._refuse(refusal)
        self._crowd.goes_on(self.connection, self._home)
        self._reader.expect("body", self._limits.body_s, bytes_per_s=self._limits.body_bytes_per_s)
        return is_right and refusal is None

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - Python's signature
        """Answer what Python's parser refuses; its own words would be a page of HTML that repeats the request."""
        words = {431: "The headers are too many or too large", 505: "This server speaks HTTP/1.1"}
        codes = {431: "headers_too_large", 505: "http_version_not_supported"}
        self._refuse(Refusal(int(code), codes.get(int(code), "bad_request"), words.get(int(code), "The request is not HTTP")))

    def handle_one_response(self) -> None:
        """Answer a request if there is a place for it, then read away what it still sends."""
        environ = self.environ
        body: BodyInput = environ["eventlet.input"]
        is_health = environ["PATH_INFO"] in HEALTH_PATHS
        is_stranger = environ["PATH_INFO"] != SOCKETS_PATH and not any(name in self.headers for name in CREDENTIALS)
        with contextlib.ExitStack() as place:
            home = household(environ["REMOTE_ADDR"])
            if not is_health and not place.enter_context(self._crowd.request(home, is_stranger=is_stranger)):
                self._refuse(Refusal(503, "busy", "Too much is under way here; try again soon"))
                return
            if not is_health:
                self._gate.enter(self._door.line_of(self.headers, home))
            super().handle_one_response()
        if self._visit.is_caller and not is_stranger:
            self._door.knows(self.headers)
        if body.is_broken:
            self.close_connection = True
        elif self.close_connection and body.is_left:
            body.discard()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what never became a request, and end the connection so that the answer arrives."""
        self.close_connection = True
        with contextlib.suppress(OSError, ValueError):
            self.wfile.write(refused(refusal, is_head=getattr(self, "command", "") == "HEAD"))
            self.connection.shutdown(socket.SHUT_WR)
            # To close before all was read that came would take the answer from the client.
            self._begin_rest(AFTER_REFUSAL_S)
            for _ in range(AFTER_REFUSAL_READS):
                if not self._reader.read(DRAINED_AT_ONCE):
                    break
                eventlet.sleep(0)

    def _begin_rest(self, seconds: float) -> None:
        """What a client still sends is of no use to anybody: it counts as waiting, and has little time."""
        self._crowd.waits(self.connection, self._home)
        self._reader.expect("rest", seconds)

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        # Whoever asks for the address, for a limit or for the log, gets the client's.
        environ["REMOTE_ADDR"] = client_address(environ["REMOTE_ADDR"], environ.get("HTTP_X_FORWARDED_FOR", ""), self._trusted)
        environ["imagegw.visit"] = self._visit
        read = environ["eventlet.input"]
        environ["wsgi.input"] = environ["eventlet.input"] = BodyInput(
            self.rfile,
            read.content_length,
            self.connection,
            wfile=read.wfile,
            wfile_line=read.wfile_line,
            chunked_input=read.chunked_input,
            before_rest=functools.partial(self._begin_rest, self._limits.rest_s),
        )
        return environ

    def finish(self) -> None:
        self._crowd.goes_on(self.connection, self._home)
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
