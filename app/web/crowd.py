"""Who is connected to a web process, and who must go where they are too many: so that there always is a place for one more.

A connection either waits for its client (for a request's head, or the next request) or is in a request. Of those that wait, whoever has
waited longest goes, at the address that has most of them: an honest head comes within milliseconds. Requests beyond their bounds are
answered 503. Health checks are never counted, and find a place since the bounds together are below what the process can hold.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import eventlet

from app.domain.places import Places

#: Within so short a time also an honest client's head may not have been looked at yet, in a rush.
GRACE_S = 1.0
#: A rush may go so far above the bound.
RUSH = 4
#: So many requests begin at each turn of the event loop.
AT_ONCE = 6


@dataclass(frozen=True)
class CrowdLimits:
    """Connections that wait for a head; requests in all and of one address; those without a credential."""

    waiting: int = 1000
    busy: int = 8000
    busy_of_one: int = 6000
    strangers: int = 2000
    strangers_of_one: int = 400


class Crowd:
    def __init__(self, limits: CrowdLimits) -> None:
        self._most = limits.waiting
        self._requests = Places(limits.busy, each=limits.busy_of_one)
        self._strangers = Places(limits.strangers, each=limits.strangers_of_one)
        #: By address, the one that waits longest first: connections, and since when.
        self._waiting: dict[str, dict[Any, float]] = {}
        self._count = 0

    def waits(self, connection: Any, home: str) -> None:
        """A connection begins to wait for its client, and others may have to go."""
        self.goes_on(connection, home)
        self._waiting.setdefault(home, {})[connection] = time.monotonic()
        self._count += 1
        while self._count > self._most and self._drops_one():
            pass

    def goes_on(self, connection: Any, home: str) -> None:
        """Count a connection that waits no longer, because its client was heard or is gone."""
        theirs = self._waiting.get(home, {})
        if theirs.pop(connection, None) is not None:
            self._count -= 1
            if not theirs:
                del self._waiting[home]

    @contextmanager
    def request(self, home: str, *, is_stranger: bool) -> Iterator[bool]:
        """Have a place for a request; False where there is none."""
        if not self._requests.take(home):
            yield False
            return
        try:
            if not is_stranger:
                yield True
            elif self._strangers.take(home):
                try:
                    yield True
                finally:
                    self._strangers.give_back(home)
            else:
                yield False
        finally:
            self._requests.give_back(home)

    def _drops_one(self) -> bool:
        home = max(self._waiting, key=lambda name: len(self._waiting[name]))
        connection, since = next(iter(self._waiting[home].items()))
        if time.monotonic() - since < GRACE_S and self._count <= RUSH * self._most:
            return False
        self.goes_on(connection, home)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        return True


class Gate:
    """The order in which requests begin: a few at each turn of the event loop, and of each caller or address in turn.

    Otherwise a rush of requests all begin in one turn, and whoever comes a moment later, a health check too, waits until each of them has
    had its milliseconds. While fewer come, none waits.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._begun = 0
        #: Who stands in which line; the line whose turn it is comes first.
        self._lines: dict[str, deque[Any]] = {}
        self._is_turning = False

    def enter(self, name: str) -> None:
        """Return when a request of the line of this name may begin."""
        if not self._is_turning:
            self._is_turning = True
            eventlet.spawn(self._turn)
        if not self._lines and self._begun < self._at_once:
            self._begun += 1
            return
        called = eventlet.Event()
        self._lines.setdefault(name, deque()).append(called)
        called.wait()

    def _turn(self) -> None:
        while self._lines or self._begun:
            eventlet.sleep(0)
            self._begun = 0
            while self._lines and self._begun < self._at_once:
                self._begun += 1
                self._call_next()
        self._is_turning = False

    def _call_next(self) -> None:
        home = next(iter(self._lines))
        line = self._lines.pop(home)
        line.popleft().send()
        if line:
            self._lines[home] = line
