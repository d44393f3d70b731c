"""Who is connected to a web process, and who must go where they are too many: so that there always is a place for one more.

A connection either waits for its client (for a request's head, or the next request) or is in a request. Of those that wait, whoever has
waited longest goes, at the address that has most of them: an honest head comes within milliseconds. Requests beyond their bounds are
answered 503. Health checks are never counted, and find a place since the bounds together are below what the process can hold.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.domain.places import Places

#: Within so short a time also an honest client's head may not have been looked at yet, in a rush.
GRACE_S = 1.0
#: A rush may go so far above the bound.
RUSH = 4


class Crowd:
    """`waiting` connections that wait; requests: `busy` in all and `busy_of_one` address, fewer of them without a credential."""

    def __init__(self, *, waiting: int, busy: int, busy_of_one: int, strangers: int, strangers_of_one: int) -> None:
        self._most = waiting
        self._requests = Places(busy, each=busy_of_one)
        self._strangers = Places(strangers, each=strangers_of_one)
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
