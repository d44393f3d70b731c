"""The order in which requests begin: a few at each turn of the event loop, and of each caller or address in turn.

Otherwise a rush of requests all begin in one turn, and whoever comes a moment later, a health check too, waits until each of them has had
its milliseconds.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import eventlet

AT_ONCE = 6


class Gate:
    """Lets `at_once` requests begin at each turn. While fewer come, none waits."""

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
