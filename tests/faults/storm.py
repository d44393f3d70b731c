"""Kills processes at random moments while customers order; the seed decides which and, as far as machines go, when."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from scripts.stack.stack import Stack
from tests.acceptance.service import a_prompt
from tests.faults.customers import Customer

KINDS = ("one worker", "one worker", "worker", "watcher", "web")


class Storm:
    """`rest_s`: the least and the longest time between two kills, in seconds."""

    def __init__(self, stack: Stack, seed: int, *, rest_s: tuple[float, float] = (0.3, 1.2)) -> None:
        self._stack = stack
        self._random = random.Random(seed)
        self._rest_s = rest_s
        self.struck: list[str] = []

    def strike(self) -> None:
        """Kill something, and start it again after a moment; a single worker is replaced by its parent."""
        kind = self._random.choice(KINDS)
        self.struck.append(kind)
        if kind == "one worker":
            family = [pid for pid in self._stack.pids("worker") if pid != self._stack.process("worker").pid]
            if family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._random.choice(family), signal.SIGKILL)
            return
        self._stack.kill(kind)
        time.sleep(self._random.uniform(0, 0.5))
        self._stack.start(kind)

    def rage(self, until: threading.Event) -> None:
        while not until.is_set():
            time.sleep(self._random.uniform(*self._rest_s))
            self.strike()


def ordering(pool: ThreadPoolExecutor, customers: Sequence[Customer], count: int, *, num_images: Sequence[int] = (1,)) -> list[Future[str]]:
    """Let customers order in turn, beside each other; every future gives a job's id."""
    return [pool.submit(customers[n % len(customers)].order, a_prompt(), num_images=num_images[n % len(num_images)]) for n in range(count)]
