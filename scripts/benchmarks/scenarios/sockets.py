"""The web app: people register and submit beside connected sockets; how late events are, and what a socket costs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from scripts.benchmarks.orders import set_generation_time
from scripts.benchmarks.processes import web_mb
from scripts.benchmarks.source import BenchmarkError, Source
from scripts.benchmarks.table import Figure, Table, p95
from scripts.development.stack import Stack

ROUNDS = 3
SOCKETS, QUICK_SOCKETS = 200, 50
PAIRS_PER_S = 5.0
FULL_S, QUICK_S = 6.0, 3.0
MAX_LATE_MS, MAX_SOCKET_KB = 150.0, 60.0


def run(stack: Stack, quick: bool) -> Sequence[Table]:  # noqa: FBT001 - every scenario's signature
    seconds, count = (QUICK_S, QUICK_SOCKETS) if quick else (FULL_S, SOCKETS)
    set_generation_time(stack, 2.0)
    late_ms: list[list[float]] = []
    took: list[float] = []
    with Source("listeners.py", stack.env) as people:
        people.talk(op="register", url=stack.base_url, count=count)
        before = web_mb(stack)
        people.talk(op="connect", url=stack.base_url, count=count)
        socket_kb = 1000 * (web_mb(stack) - before) / count
        for _ in range(1 if quick else ROUNDS):
            answer = people.talk(op="pairs", url=stack.base_url, per_s=PAIRS_PER_S, for_s=seconds)
            if answer["failures"] or answer["ended"] != int(PAIRS_PER_S * seconds):
                raise BenchmarkError(f"{answer['ended']} generations ended; failures: {answer['failures']}")
            late_ms.append([1000 * late for late in answer["late_s"]])
            took.append(answer["seconds"])
    figures = [
        Figure.of("event at its socket after the change, median", [statistics.median(late) for late in late_ms], "ms"),
        Figure.of("event at its socket after the change, 95th percentile", [p95(late) for late in late_ms], "ms", at_most=MAX_LATE_MS),
        Figure.of("memory of one idle socket", [socket_kb], "kB", at_most=MAX_SOCKET_KB),
        Figure.of("register and submit, pairs a minute", [60 * PAIRS_PER_S * seconds / max(seconds, t - 3) for t in took]),
    ]
    text = (
        f"{count} signed-in users listen on Socket.IO (websocket) while {60 * PAIRS_PER_S:.0f} times a minute somebody new registers "
        "(argon2) and a listener submits a generation of 2 s; every event of every generation is timed."
    )
    return [Table("Sockets", text, figures)]
