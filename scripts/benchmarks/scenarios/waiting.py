"""Many who wait beside many who listen, in one web process: does it still answer at once, and what does one who waits cost?"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence

from scripts.benchmarks import metrics
from scripts.benchmarks.orders import FLUX_PRO, set_generation_time, warm_up
from scripts.benchmarks.processes import web_mb
from scripts.benchmarks.source import BenchmarkError, Source
from scripts.benchmarks.standing_still import standing_still
from scripts.benchmarks.table import Figure, Table, p95
from scripts.development.stack import Stack

ROUNDS, QUICK_ROUNDS = 3, 1
#: So many more start to wait at each step; sockets, and the users who share them: registering costs 20 ms of argon2 each.
STEPS, FULL_STEP, QUICK_STEP = 3, 500, 70
FULL_SOCKETS, QUICK_SOCKETS, USERS = 1000, 100, 20
ASKED, FULL_S, QUICK_S = 100, 2.5, 1.0
ARRIVAL_S, ARRIVAL_LIMIT_S, SETTLE_S = 4.0, 60.0, 1.0
MAX_P95_MS, MAX_WAITER_KB = 50.0, 35.0


def run(stack: Stack, quick: bool) -> Sequence[Table]:  # noqa: FBT001 - every scenario's signature
    step, sockets, for_s = (QUICK_STEP, QUICK_SOCKETS, QUICK_S) if quick else (FULL_STEP, FULL_SOCKETS, FULL_S)
    rounds: list[list[float]] = []
    with contextlib.ExitStack() as sources:
        asker, people = (sources.enter_context(Source(script, stack.env)) for script in ("load.py", "listeners.py"))
        crowds = [sources.enter_context(Source("load.py", stack.env)) for _ in range(STEPS)]
        warm_up(stack, asker, FLUX_PRO)
        set_generation_time(stack, 1.0)
        people.talk(op="register", url=stack.base_url, count=USERS)
        people.talk(op="connect", url=stack.base_url, count=sockets)
        metrics.settled(stack)  # Else the end of the warming up is counted among those who wait.
        with standing_still(stack):
            waiter_kb = [_come_to_wait(stack, crowd, step) for crowd in crowds]
            for _ in range(QUICK_ROUNDS if quick else ROUNDS):
                health = asker.ask(method="GET", url=f"{stack.base_url}/healthz", count=ASKED, over_s=for_s).require("200")
                rounds.append([1000 * latency for latency in health.latencies_s])
        began = time.perf_counter()
        for crowd in crowds:
            crowd.finish().require("201")
        answered_s = time.perf_counter() - began
    count = STEPS * step
    text = (
        f"{count:,} synchronous POSTs of flux-pro wait beside {sockets:,} Socket.IO clients (websocket; {USERS} users) in one web process, "
        f"while /healthz is asked {ASKED} times over {for_s:g} s. Workers and watcher stand still until then; afterwards every one is "
        f"answered with its picture, 1 s each at the emulator. Memory is what the web process grows by with {step} more who come "
        f"within {ARRIVAL_S:g} s and wait, {STEPS} times."
    )
    return [Table("Waiting", text, _figures(rounds, waiter_kb, answered_s, count))]


def _come_to_wait(stack: Stack, crowd: Source, count: int) -> float:
    """Open so many requests that wait; return by how many kB the web process grew for each."""
    before_mb, accepted = web_mb(stack), _accepted(stack)
    crowd.begin(**FLUX_PRO.gateway(stack), count=count, over_s=ARRIVAL_S)
    end = time.monotonic() + ARRIVAL_LIMIT_S
    # With no worker running, a request that was accepted waits. (Queues are shorter: a worker may be held with a task in its hand.)
    while (now := _accepted(stack)) < accepted + count:
        if time.monotonic() > end:
            raise BenchmarkError(f"{now - accepted:.0f} of {count} requests wait after {ARRIVAL_LIMIT_S:.0f} s")
        time.sleep(0.2)
    time.sleep(SETTLE_S)
    return 1000 * (web_mb(stack) - before_mb) / count


def _accepted(stack: Stack) -> float:
    return metrics.by_stage(metrics.read(stack)).get("accept", metrics.Spent()).count


def _figures(rounds: Sequence[list[float]], waiter_kb: Sequence[float], answered_s: float, count: int) -> list[Figure]:
    return [
        Figure.of("GET /healthz, median", [statistics.median(values) for values in rounds], "ms"),
        Figure.of("GET /healthz, 95th percentile", [p95(values) for values in rounds], "ms", at_most=MAX_P95_MS),
        Figure.of("GET /healthz, slowest", [max(values) for values in rounds], "ms"),
        Figure.of("memory of one who waits", waiter_kb, "kB", at_most=MAX_WAITER_KB),
        Figure.of(f"all {count:,} answered, once workers go on", [answered_s], "s"),
    ]
