"""So many at a time: a bound on what is under way at once, in all and for each who asks."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.domain.errors import Busy


class Places:
    """Counts what is under way. `total` at a time, `each` of them for one and the same; `waiting` may stand in line for a place."""

    def __init__(self, total: int, *, each: int, waiting: int = 0) -> None:
        self._total, self._each, self._room = total, each, waiting
        self._taken: Counter[Any] = Counter()
        self._free = threading.Condition()

    def take(self, who: object, *, wait_s: float = 0.0) -> bool:
        """Take a place, within so many seconds; False where there is none, or too many stand in line already."""
        with self._free:
            if self._is_free(who):
                self._taken[who] += 1
                return True
            if wait_s <= 0 or self._room <= 0:
                return False
            self._room -= 1
            try:
                return self._waited(who, time.monotonic() + wait_s)
            finally:
                self._room += 1

    def give_back(self, who: object) -> None:
        with self._free:
            self._taken[who] -= 1
            if self._taken[who] <= 0:
                del self._taken[who]
            self._free.notify_all()

    @contextmanager
    def taken(self, who: object, *, wait_s: float = 0.0) -> Iterator[None]:
        """Have a place for as long as this lasts. Raises Busy where there is none."""
        if not self.take(who, wait_s=wait_s):
            raise Busy("Too much is under way here; try again soon")
        try:
            yield
        finally:
            self.give_back(who)

    def _is_free(self, who: object) -> bool:
        return self._taken.total() < self._total and self._taken[who] < self._each

    def _waited(self, who: object, until: float) -> bool:
        while not self._is_free(who):
            left = until - time.monotonic()
            if left <= 0 or not self._free.wait(left):
                return False
        self._taken[who] += 1
        return True
