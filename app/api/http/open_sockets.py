"""Sockets that stay open only as long as what let them in: a session, a key, an account."""

from __future__ import annotations

import logging
import time
from typing import Any

from app.domain.errors import GatewayError
from app.services.people.sessions import Credential, Sessions

log = logging.getLogger("sockets")

#: How often all are looked at, a few queries for each 500 of them. Half of what is promised, for a store that is slow.
LOOK_EVERY_S = 10.0


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
            time.sleep(LOOK_EVERY_S)
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
