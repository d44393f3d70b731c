"""A process that makes requests: `load.py` and `listeners.py` against the gateway, `direct.py` and `worker_per_generation.py` against fal.

One JSON line in, one JSON line out.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).resolve().parent
#: What a script that has processes of its own has to end them.
FAREWELL_S = 3.0


class BenchmarkError(Exception):
    """A scenario did not run as it must to count: a generation failed, or a process gave no answer."""


@dataclass(frozen=True)
class Outcome:
    """What became of one order; seconds are the caller's own clock, CPU and memory those of the process that asked."""

    seconds: float
    latencies_s: list[float]
    statuses: dict[str, int]
    first_body: str
    first_failure: str
    cpu_s: float
    pss_mb: float

    def require(self, status: str) -> Outcome:
        """Return itself; raise BenchmarkError where any answer had another status."""
        if set(self.statuses) != {status}:
            raise BenchmarkError(f"expected only {status}, got {self.statuses}: {self.first_failure}")
        return self


class Source:
    """Stays for a whole scenario, so its connections are warm. In a process of its own: its work is not the service's."""

    def __init__(self, script: str, env: Mapping[str, str], *, timeout_s: float = 240.0) -> None:
        self._timeout_s = timeout_s
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / script)], env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(FAREWELL_S)
        self._process.kill()
        self._process.communicate()

    def ask(self, **order: Any) -> Outcome:
        """Have the order carried out and return what became of it. Raises BenchmarkError when no answer comes in time."""
        self.begin(**order)
        return self.finish()

    def begin(self, **order: Any) -> None:
        """Have the order carried out beside others; `finish` waits for it."""
        if self._process.stdin is None:
            raise BenchmarkError("a source has no pipes")
        print(json.dumps(order), file=self._process.stdin, flush=True)

    def finish(self) -> Outcome:
        return Outcome(**self._answer())

    def talk(self, **order: Any) -> dict[str, Any]:
        """Have an order carried out by a script that answers in words of its own."""
        self.begin(**order)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        if self._process.stdout is None:
            raise BenchmarkError("a source has no pipes")
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(self._timeout_s):
                raise BenchmarkError(f"no answer within {self._timeout_s:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError("the process that makes the requests ended")
        answer: dict[str, Any] = json.loads(line)
        return answer
