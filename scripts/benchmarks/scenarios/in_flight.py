"""Latency and CPU against the number of generations in flight."""

from __future__ import annotations

import statistics

from scripts.benchmarks.orders import FLUX_PRO, set_generation_time, warm_up
from scripts.benchmarks.processes import cpu_ms, spent
from scripts.benchmarks.source import Source
from scripts.benchmarks.table import Figure, Plot, Table
from scripts.development.stack import Stack

ROUNDS = 3
FULL = ((1, 10, 50, 100, 200), 5.0)
QUICK = ((1, 10, 25), 2.0)
Points = list[tuple[float, float]]


def run(stack: Stack, quick: bool) -> Table:  # noqa: FBT001 - every scenario's signature
    sizes, seconds = QUICK if quick else FULL
    figures: list[Figure] = []
    typical: Points = []
    slowest: Points = []
    cpu: Points = []
    with Source("load.py", stack.env) as load:
        warm_up(stack, load, FLUX_PRO)
        set_generation_time(stack, seconds)
        for size in sizes:
            added, worst, used = _measured(stack, load, size, seconds)
            figures += [Figure.of(f"{size} in flight, added", added, "ms"), Figure.of(f"{size} in flight, CPU", used, "ms")]
            typical.append((size, statistics.median(added)))
            slowest.append((size, statistics.median(worst)))
            cpu.append((size, statistics.median(used)))
    return Table(
        "In flight",
        f"flux-pro, {seconds:g} s at the emulator, started evenly over that time, so that as many are in flight as were started. Added "
        "is the median answer time less the generation; CPU is that of web, workers and watcher for each generation.",
        figures,
        [
            Plot("latency.png", "Added latency", "generations in flight", "ms", {"median": typical, "95 of 100": slowest}),
            Plot("cpu.png", "CPU per generation: web, workers, watcher", "generations in flight", "ms", {"ours": cpu}),
        ],
    )


def _measured(stack: Stack, load: Source, size: int, seconds: float) -> tuple[list[float], list[float], list[float]]:
    """Return the added milliseconds (median, 95th percentile) and the CPU milliseconds per generation of each round."""
    added, worst, used = [], [], []
    for _ in range(ROUNDS):
        before = cpu_ms(stack)
        outcome = load.ask(**FLUX_PRO.gateway(stack), count=size, over_s=seconds).require("201")
        used.append(spent(before, cpu_ms(stack)) / size)
        extra = sorted(1000 * (latency - seconds) for latency in outcome.latencies_s)
        added.append(statistics.median(extra))
        worst.append(extra[int(0.95 * (size - 1))])
    return added, worst, used
