"""CPU time of one generation, by process: what a machine can carry."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from scripts.benchmarks.orders import FLUX_DEV_PNG, plain_workers, set_generation_time, warm_up
from scripts.benchmarks.processes import BACKING, OURS, cpu_ms, spent
from scripts.benchmarks.source import Source
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

ROUNDS, QUICK_ROUNDS = 3, 1
SECONDS = 2.0
IDLE_S = 2.0
#: Generations, seconds over which they start, and the plain workers that carry as many at a time.
FULL = (100, 5.0, 44)
QUICK = (30, 2.0, 32)
MAX_MS = 40.0
MAX_OF_PLAIN = 1 / 3
Readings = list[Mapping[str, float]]


def run(stack: Stack, quick: bool) -> Sequence[Table]:  # noqa: FBT001 - every scenario's signature
    count, over_s, workers = QUICK if quick else FULL
    rounds: Readings = []
    idle: Readings = []
    script_ms: list[float] = []
    plain_ms: list[float] = []
    with ExitStack() as sources:
        load, script, plain = (
            sources.enter_context(Source(name, stack.env)) for name in ("load.py", "direct.py", "worker_per_generation.py")
        )
        warm_up(stack, load, FLUX_DEV_PNG)
        script.ask(**FLUX_DEV_PNG.direct(), count=1)
        plain_workers(plain, FLUX_DEV_PNG, count=workers, over_s=0.0, workers=workers)
        set_generation_time(stack, SECONDS)
        for _ in range(QUICK_ROUNDS if quick else ROUNDS):
            idle.append(_idle(stack))
            rounds.append(_ours(stack, load, count, over_s))
            script_ms.append(1000 * script.ask(**FLUX_DEV_PNG.direct(), count=4).require("200").cpu_s / 4)
            plain_ms.append(plain_workers(plain, FLUX_DEV_PNG, count=count, over_s=over_s, workers=workers))
    text = (
        f"One 1024 x 1024 PNG stored: flux-dev, {SECONDS:g} s at the emulator, {count} generations started evenly over {over_s:g} s; user "
        "and system time of each process, divided by the generations. Idle is with nothing to do, in milliseconds per second. A worker "
        f"for each generation: {workers} plain `rq.Worker`, everything imported before they fork, with a job that calls "
        "`fal_client.subscribe`, downloads the picture into a folder and inserts one document; what queues the jobs is not counted."
    )
    return [Table("CPU per generation", text, _figures(rounds, idle, script_ms, plain_ms))]


def _figures(rounds: Readings, idle: Readings, script_ms: list[float], plain_ms: list[float]) -> list[Figure]:
    ours = [sum(reading[name] for name in OURS) for reading in rounds]
    return [
        Figure.of("ours: web, workers, watcher", ours, "ms", at_most=MAX_MS),
        *(Figure.of(f"of these {name}", [reading[name] for reading in rounds], "ms") for name in OURS),
        *(Figure.of(f"beside them {name}", [reading[name] for reading in rounds], "ms") for name in BACKING),
        Figure.of("a worker for each generation", plain_ms, "ms"),
        Figure.ratio("ours / a worker for each generation", ours, plain_ms, at_most=MAX_OF_PLAIN),
        Figure.of("script with fal_client", script_ms, "ms"),
        *(Figure.of(f"idle {name}", [reading[name] for reading in idle], "ms/s") for name in OURS),
    ]


def _ours(stack: Stack, load: Source, count: int, over_s: float) -> Mapping[str, float]:
    before = cpu_ms(stack)
    load.ask(**FLUX_DEV_PNG.gateway(stack), count=count, over_s=over_s).require("201")
    after = cpu_ms(stack)
    return {name: (after[name] - before[name]) / count for name in after}


def _idle(stack: Stack) -> Mapping[str, float]:
    before = cpu_ms(stack)
    time.sleep(IDLE_S)
    after = cpu_ms(stack)
    return {name: spent(before, after, [name]) / IDLE_S for name in OURS}
