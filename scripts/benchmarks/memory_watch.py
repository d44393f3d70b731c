"""The most memory our processes have while something happens: looked at again and again from a thread."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from scripts.benchmarks.processes import memory_mb
from scripts.development.stack import Stack

LOOK_S = 0.5
TOTAL = "all of ours"


class MemoryWatch:
    """A context manager; `peak_mb` holds the most that was seen of each name: the largest worker's under `worker`, the sum under `TOTAL`.

    It looks once at the beginning and once at the end too: a worker that is recycled in between was seen before that.
    """

    def __init__(self, stack: Stack, *, look_s: float = LOOK_S) -> None:
        self.peak_mb: dict[str, float] = {}
        self._stack, self._look_s = stack, look_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory")

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._done.wait(self._look_s):
            self._look()

    def _look(self) -> None:
        seen = memory_mb(self._stack)
        seen[TOTAL] = [sum(map(sum, seen.values()))]
        for name, values in seen.items():
            self.peak_mb[name] = max([self.peak_mb.get(name, 0.0), *values])
