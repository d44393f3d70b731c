"""Workers and watcher held: what is left to measure is the web process. On a machine this small they would be measured too."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from scripts.development.stack import Stack

HELD = ("worker", "watcher")


@contextlib.contextmanager
def standing_still(stack: Stack) -> Iterator[None]:
    """Hold workers and watcher; they must run again to end when they are told to."""
    for name in HELD:
        stack.kill(name, signal.SIGSTOP)
    try:
        yield
    finally:
        for name in HELD:
            stack.kill(name, signal.SIGCONT)
