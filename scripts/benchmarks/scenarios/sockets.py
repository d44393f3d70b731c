"""The web app: people register and submit beside connected sockets; how late events are, and what a socket costs."""

from __future__ import annotations

import statistics

from scripts.benchmarks.orders import set_generation_time
from scripts.benchmarks.processes import pss_mb
from scripts.benchmarks.source import BenchmarkError, Source
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

ROUNDS = 3
SOCKETS = 200
PAIRS_PER_S = 5.0
FULL_S, QUICK_S = 15.0, 4.0
MAX_LATE_MS, MAX_SOCKET_KB = 150.0, 60.0


def run(stack: Stack, quick: bool) -> Table:  # noqa: FBT001 - every scenario's signature
    seconds = QUICK_S if quick else FULL_S
    set_generation_time(stack, 2.0)
    late_ms: list[list[float]] = []
    took: list[float] = []
    with Source("listeners.py", stack.env) as people:
        people.talk(op="register", url=stack.base_url, count=SOCKETS)
        before = _web_kb(stack)
        people.talk(op="connect", url=stack.base_url)
        socket_kb = (_web_kb(stack) - before) / SOCKETS
        for _ in range(1 if quick else ROUNDS):
            answer = people.talk(op="pairs", url=stack.base_url, per_s=PAIRS_PER_S, for_s=seconds)
            if answer["failures"] or answer["ended"] != int(PAIRS_PER_S * seconds):
                raise BenchmarkError(f"{answer['ended']} generations ended; failures: {answer['failures']}")
            late_ms.append([1000 * late for late in answer["late_s"]])
            took.append(answer["seconds"])
    figures = [
        Figure.of("event at its socket after the change, median", [statistics.median(late) for late in late_ms], "ms"),
        Figure.of("event at its socket after the change, 95th percentile", [_p95(late) for late in late_ms], "ms", at_most=MAX_LATE_MS),
        Figure.of("memory of one idle socket", [socket_kb], "kB", at_most=MAX_SOCKET_KB),
        Figure.of("register and submit, pairs a minute", [60 * PAIRS_PER_S * seconds / max(seconds, t - 3) for t in took]),
    ]
    return Table(
        "Sockets",
        f"{SOCKETS} signed-in users listen on Socket.IO (websocket) while {60 * PAIRS_PER_S:.0f} times a minute somebody new registers "
        "(argon2) and a listener submits a generation of 2 s; every event of every generation is timed.",
        figures,
    )


def _web_kb(stack: Stack) -> float:
    return 1000 * sum(pss_mb(pid) for pid in stack.pids("web"))


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]
