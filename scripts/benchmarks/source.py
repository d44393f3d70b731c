"""A process that makes requests, and both ends of the pipe to it: one JSON line in (an order), one JSON line out (its answer).

`load.py` and `listeners.py` make them to the gateway, `direct.py` and `worker_per_generation.py` to fal; each has a `main`.
"""

import contextlib
import json
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

ROOT = Path(__file__).resolve().parents[2]
#: What a script that has processes of its own has to end them.
FAREWELL_S = 3.0
Order = dict[str, Any]
Answer = dict[str, Any]


class BenchmarkError(Exception):
    """A scenario did not run as it must to count: a generation failed, or a process gave no answer."""


@dataclass
class Outcome:
    """What became of one order; seconds are the caller's own clock, CPU and memory those of the process that asked."""

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    first_body: str = ""
    first_failure: str = ""
    cpu_s: float = 0.0
    pss_mb: float = 0.0

    def add(self, latency_s: float, status: str, body: str = "") -> None:
        self.latencies_s.append(latency_s)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.first_body = self.first_body or body
        if not status.startswith("2"):
            self.first_failure = self.first_failure or body[:300]

    def require(self, status: str) -> Self:
        """Return itself; raise BenchmarkError where any answer had another status."""
        if set(self.statuses) != {status}:
            raise BenchmarkError(f"expected only {status}, got {self.statuses}: {self.first_failure}")
        return self


class Source:
    """Stays for a whole scenario, so its connections are warm. In a process of its own: its work is not the service's."""

    def __init__(self, script: str, env: Mapping[str, str], *, timeout_s: float = 240.0) -> None:
        self._timeout_s = timeout_s
        # Imported, not run as a file: RQ finds a job's function by the name of its module.
        program = f"from scripts.benchmarks.{Path(script).stem} import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], env=dict(env), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(FAREWELL_S)
        self._process.kill()
        self._process.communicate()

    def ask(self, **order: Any) -> Outcome:
        """Have the order carried out and return what became of it. Raises BenchmarkError when no answer comes in time."""
        return Outcome(**self.talk(**order))

    def talk(self, **order: Any) -> Answer:
        """Have an order carried out by a script that answers in words of its own."""
        self.begin(**order)
        return self.finish()

    def begin(self, **order: Any) -> None:
        """Have the order carried out beside others; `finish` waits for its answer."""
        print(json.dumps(order), file=self._process.stdin, flush=True)

    def finish(self) -> Answer:
        stdout = self._process.stdout
        if not stdout or not select.select([stdout], [], [], self._timeout_s)[0]:
            raise BenchmarkError(f"no answer within {self._timeout_s:.0f} s")
        if not (line := stdout.readline()):
            raise BenchmarkError("the process that makes the requests ended")
        return dict(json.loads(line))


def serve(carry_out: Callable[[Order], Answer]) -> None:
    """Carry out the orders of standard input until it ends; in the script's process."""
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), flush=True)


@contextlib.contextmanager
def measured() -> Iterator[Outcome]:
    """Yield an outcome to add to; when the block ends it knows what that took this process."""
    outcome, process, began = Outcome(), psutil.Process(), time.perf_counter()
    cpu_began_s = sum(process.cpu_times()[:2])
    yield outcome
    outcome.seconds = time.perf_counter() - began
    outcome.cpu_s = sum(process.cpu_times()[:2]) - cpu_began_s
    outcome.pss_mb = process.memory_full_info().pss / 1e6
