"""Socket.IO: each client hears its own user's events, wherever they are made, as long as what let it in is good. Nothing can be sent."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping
from typing import Any

import socketio
from flask import Flask, current_app, request
from flask_socketio import ConnectionRefusedError as RefusedError
from flask_socketio import SocketIO, emit, join_room
from redis import Redis

from app.api.http import services, services_of
from app.api.http.auth import CHECK_EVERY_S, Caller, of_bearer, of_key
from app.api.http.origins import require_right_host
from app.api.schemas.fields import MAX_USER_ID_CHARS
from app.clients.events import NAMESPACES, SocketManager, room_of
from app.domain.api_key import Scope
from app.domain.errors import GatewayError, InvalidRequest, Unauthorized
from app.services.people.sessions import Credential, Sessions
from app.web.engine import Engine, SessionLimits

log = logging.getLogger("sockets")


class OpenSockets:
    """`server` is python-socketio's own. Anybody's sockets, without a credential, are not kept here: nothing ends them."""

    def __init__(self, server: Any, sessions: Sessions) -> None:
        self._server = server
        self._sessions = sessions
        self._credentials: dict[tuple[str, str], Credential] = {}

    def add(self, sid: str, namespace: str, credential: Credential | None) -> None:
        if credential is not None:
            self._credentials[sid, namespace] = credential

    def remove(self, sid: str, namespace: str) -> None:
        self._credentials.pop((sid, namespace), None)

    def watch(self) -> None:
        """Close for ever what has ended. A store that is away postpones it: what cannot be known ends nobody."""
        while True:
            time.sleep(CHECK_EVERY_S)
            try:
                self.close_ended()
            except GatewayError:
                log.warning("whose session has ended cannot be looked up, sockets stay open")

    def close_ended(self) -> None:
        held = dict(self._credentials)
        ended = self._sessions.ended_among(set(held.values()))
        for (sid, namespace), credential in held.items():
            if credential in ended:
                self.remove(sid, namespace)
                self._server.disconnect(sid, namespace=namespace, ignore_queue=True)
                log.info("a socket was closed: its session, key or account has ended")


#: How many jobs a reconnecting client may ask about at once.
MAX_REPLAYED_JOBS = 100
MAX_MESSAGE_BYTES = 64 * 1024


def init_app(app: Flask, redis: Redis, *, ping_s: tuple[float, float], stranger_s: float) -> SocketIO:
    """Serve Socket.IO beside the application; events of other processes come through Redis.

    `ping_s`: how often a client is asked whether it is there, and how long it has to answer before it is dropped.
    `stranger_s`: how long a session may be without a credential.
    """
    socketio.Server._engineio_server_class = lambda _: Engine  # noqa: SLF001 - made to be replaced, and the only way to do so
    sockets = SocketIO(
        app,
        async_mode="eventlet",
        client_manager=SocketManager(redis),
        cors_allowed_origins=app.extensions["origins"].accepts,
        max_http_buffer_size=MAX_MESSAGE_BYTES,
        ping_interval=ping_s[0],
        ping_timeout=ping_s[1],
        manage_session=False,
        always_connect=False,
    )
    sockets.server.eio.limits = SessionLimits(stranger_s=stranger_s)
    sockets.server.eio.is_member = functools.partial(_is_member, sockets.server.manager)
    held = OpenSockets(sockets.server, services_of(app).sessions)
    for namespace in NAMESPACES:
        sockets.on_event("connect", functools.partial(_connected, held), namespace=namespace)
        sockets.on_event("disconnect", functools.partial(_left, held), namespace=namespace)
    sockets.start_background_task(held.watch)
    sockets.on_error_default(_failed)
    return sockets


def _is_member(manager: Any, engine_sid: str) -> bool:
    """Tell whether a session is one that a credential was accepted in, and that has not left again."""
    found = ((manager.sid_from_eio_sid(engine_sid, space), space) for space in manager.get_namespaces())
    return any(sid is not None and manager.is_connected(sid, space) for sid, space in found)


def _connected(held: OpenSockets, auth: Any = None) -> None:
    """Let a client in and send it what it missed. A bad credential is a `connect_error`, never an anonymous session."""
    credentials = auth if isinstance(auth, Mapping) else {}
    try:
        require_right_host(request.headers.get("Host", ""))
        user_id, credential = _user_of(credentials)
    except GatewayError as exc:
        raise RefusedError(exc.message, {"code": exc.code}) from exc
    # The room first, the past second: nothing falls between. What comes twice is known by its `seq`.
    join_room(room_of(user_id))
    held.add(request.sid, request.namespace, credential)  # type: ignore[attr-defined]  # Flask-SocketIO's own attributes
    _replay(user_id, credentials.get("since"))


def _left(held: OpenSockets, _reason: Any = None) -> None:
    held.remove(request.sid, request.namespace)  # type: ignore[attr-defined]


def _user_of(credentials: Mapping[str, Any]) -> tuple[str, Credential | None]:
    """Return whose events to hear, and what proves that the client may."""
    token, key, user_id = (credentials.get(name) for name in ("token", "apiKey", "userId"))
    if isinstance(token, str) and token:
        who = of_bearer(token)
    elif isinstance(key, str) and key:
        who = of_key(key)
    elif services().settings.allow_anonymous and token is None and key is None:
        who = Caller()
    else:
        raise Unauthorized("Send auth: {token}, or {apiKey, userId}")
    named = user_id if isinstance(user_id, str) and 1 <= len(user_id) <= MAX_USER_ID_CHARS else None
    who.require_scope(Scope.READ)
    try:
        return who.acts_for(named), who.credential
    except InvalidRequest as exc:
        raise Unauthorized("Send userId with the key: whose events to hear") from exc


def _replay(user_id: str, since: Any) -> None:
    if not isinstance(since, Mapping):
        return
    for job_id, seq in list(since.items())[:MAX_REPLAYED_JOBS]:
        if not isinstance(seq, int) or isinstance(seq, bool):
            continue
        try:
            job = services().job_actions.job(str(job_id).lower(), user_id=user_id)
        except GatewayError:
            continue
        missed = services().announcer.missed(job, seq)
        for _, event in missed:
            emit(event.name, dict(event.payload))
        services().metrics.count("imagegw_events_replayed_total", len(missed))


def _failed(error: Exception) -> None:
    log.error("socket handler failed", exc_info=error, extra={"app": current_app.name})
    if request.event["message"] == "connect":  # type: ignore[attr-defined]  # Flask-SocketIO's own attribute
        # To return would let the client in, without a user.
        raise RefusedError("Something went wrong here; the operator's log has the details", {"code": "internal_error"})
