"""Engine.IO with an end to every session: of one that nobody reads, and of one without a credential.

Socket.IO asks for a credential inside a session, so a session comes first, for anybody. The library would keep each until a client that
never answers has missed its ping, and a request that ends one would wait until its last words are fetched, which may be never.
"""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import engineio
import eventlet
from engineio import exceptions, payload

from app.domain.addresses import household

log = logging.getLogger("sockets")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

#: Socket.IO's packets with attachments, each of which would be kept until the last has come.
BINARY_KINDS = ("5", "6")


@dataclass(frozen=True)
class SessionLimits:
    """How long a session may be without a credential, in seconds, and how many may: of one address, and in all."""

    stranger_s: float = 15.0
    per_address: int = 200
    strangers: int = 2000


@dataclass(frozen=True)
class _Stranger:
    address: str
    since: float


class Engine(engineio.Server):  # type: ignore[misc]
    """Knows of each session whether anybody was let in (`is_member`, set by its owner), and ends those that nobody was.

    Also refused: a second poll of a session while one waits (the protocol has no use for it), and whatever is binary (no client of ours
    has anything to send).
    """

    limits = SessionLimits()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.is_member: Callable[[str], bool] = lambda _: False
        #: Sessions that nobody was let into, as far as is known, oldest first.
        self._strangers: dict[str, _Stranger] = {}
        self._environs: dict[str, Environ] = {}
        self._busy: set[tuple[str, str]] = set()
        self._watch: Any = None

    def disconnect(self, sid: str | None = None) -> None:
        """End a session, or all. Never waits for the client to fetch the last words: the library does, for ever."""
        for one in [sid] if sid is not None else list(self.sockets):
            if found := self.sockets.get(one):
                found.close(wait=False, reason=self.reason.SERVER_DISCONNECT)
                self.sockets.pop(one, None)

    def handle_request(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        sid = parse_qs(environ.get("QUERY_STRING", "")).get("sid", [None])[0]
        if sid not in self.sockets:
            return self._handled(environ, start_response)
        kind = "upgrade" if "HTTP_UPGRADE" in environ else environ["REQUEST_METHOD"]
        if (sid, kind) in self._busy:
            return self._refused(environ, start_response)
        self._busy.add((sid, kind))
        try:
            if kind == "upgrade":
                return self._upgraded(sid, environ, start_response)
            if kind == "POST" and not self._has_sense(environ):
                self.disconnect(sid)
                return self._refused(environ, start_response)
            return self._handled(environ, start_response)
        finally:
            self._busy.discard((sid, kind))

    def _handled(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        answer: Iterable[bytes] = super().handle_request(environ, start_response)
        return answer

    def _refused(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        answer = self._bad_request()
        start_response(answer["status"], answer["headers"] + self._cors_headers(environ))
        return [answer["response"]]

    def _upgraded(self, sid: str, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a session's WebSocket, which must have become the session's transport in time."""

        def cut() -> None:
            found = self.sockets.get(sid)
            if found is None or not found.upgraded:
                _cut(environ)

        timer = eventlet.spawn_after(self.limits.stranger_s, cut)
        try:
            return self._handled(environ, start_response)
        finally:
            timer.cancel()

    def _has_sense(self, environ: Environ) -> bool:
        """Read the body of a POST, whole, where it may be read at all; the library would take half of one, or log a trace of a bad one."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > self.max_http_buffer_size:
            return False
        try:
            body = environ["wsgi.input"].read(length)
            payload.Payload(encoded_payload=body.decode())
        except (ValueError, KeyError, IndexError, RecursionError, OSError):
            return False
        environ["wsgi.input"] = io.BytesIO(body)
        return len(body) == length

    def _handle_connect(self, environ: Environ, start_response: StartResponse, transport: str, jsonp_index: Any = None) -> Any:
        if self._watch is None:
            self._watch = eventlet.spawn(self._keep_watch)
        if not self._has_place(_home_of(environ)):
            return self._bad_request("Too many sessions without a credential")
        return super()._handle_connect(environ, start_response, transport, jsonp_index)

    def _trigger_event(self, event: str, *args: Any, **kwargs: Any) -> Any:
        if event == "connect":
            sid, self._environs[sid] = args
            self._met(sid)
        elif event == "disconnect":
            self._strangers.pop(args[0], None)
            self._environs.pop(args[0], None)
        elif event == "message" and (not isinstance(args[1], str) or args[1][:1] in BINARY_KINDS):
            raise exceptions.SocketIsClosedError
        return super()._trigger_event(event, *args, **kwargs)

    def _has_place(self, address: str) -> bool:
        """Tell whether one more session may begin here; where all are too many the oldest gives way, so that none can keep others out."""
        if self._at(address) >= self.limits.per_address or len(self._strangers) >= self.limits.strangers:
            self._forget_members()
        if self._at(address) >= self.limits.per_address:
            return False
        if len(self._strangers) >= self.limits.strangers:
            self._end(next(iter(self._strangers)))
        return True

    def _at(self, address: str) -> int:
        return sum(stranger.address == address for stranger in self._strangers.values())

    def _keep_watch(self) -> None:
        """End the sessions that nobody was let into in time. A session that everybody has left counts from then on."""
        while True:
            eventlet.sleep(self.limits.stranger_s / 4)
            self._forget_members()
            for sid in self._environs:
                if sid not in self._strangers and not self.is_member(sid):
                    self._met(sid)
            late = time.monotonic() - self.limits.stranger_s
            for sid in [sid for sid, stranger in self._strangers.items() if stranger.since < late]:
                log.info("a Socket.IO session without a credential has ended", extra={"address": self._strangers[sid].address})
                self._end(sid)

    def _met(self, sid: str) -> None:
        self._strangers[sid] = _Stranger(_home_of(self._environs[sid]), time.monotonic())

    def _forget_members(self) -> None:
        for sid in [sid for sid in self._strangers if self.is_member(sid)]:
            del self._strangers[sid]

    def _end(self, sid: str) -> None:
        environ, found = self._environs[sid], self.sockets.get(sid)
        self.disconnect(sid)
        if found is not None and found.upgraded:
            _cut(environ)


def _home_of(environ: Environ) -> str:
    return household(environ.get("REMOTE_ADDR", ""))


def _cut(environ: Environ) -> None:
    """Break off a connection; whoever reads from it or writes to it notices."""
    with contextlib.suppress(OSError):
        environ["eventlet.input"].get_socket().shutdown(socket.SHUT_RDWR)
