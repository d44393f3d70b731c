"""CPU time of one generation, by process: what a machine can carry."""

from __future__ import annotations

import time
from collections.abc import Mapping

from scripts.benchmarks.orders import FLUX_DEV_PNG, set_generation_time, warm_up
from scripts.benchmarks.processes import BACKING, OURS, cpu_ms, spent
from scripts.benchmarks.source import Source
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

ROUNDS = 3
SECONDS = 2.0
IDLE_S = 2.0


def run(stack: Stack, quick: bool) -> Table:  # noqa: FBT001 - every scenario's signature
    count, over_s = (50, 2.5) if quick else (200, 10.0)
    rounds: list[Mapping[str, float]] = []
    idle: list[Mapping[str, float]] = []
    script_ms: list[float] = []
    with Source("load.py", stack.env) as load, Source("direct.py", stack.env) as script:
        warm_up(stack, load, FLUX_DEV_PNG)
        script.ask(**FLUX_DEV_PNG.direct(), count=1)
        set_generation_time(stack, SECONDS)
        for _ in range(ROUNDS):
            idle.append(_idle(stack))
            before = cpu_ms(stack)
            load.ask(**FLUX_DEV_PNG.gateway(stack), count=count, over_s=over_s).require("201")
            after = cpu_ms(stack)
            rounds.append({name: (after[name] - before[name]) / count for name in after})
            script_ms.append(1000 * script.ask(**FLUX_DEV_PNG.direct(), count=4).require("200").cpu_s / 4)
    ours = [sum(reading[name] for name in OURS) for reading in rounds]
    return Table(
        "CPU per generation",
        f"One 1024 x 1024 PNG stored: flux-dev, {SECONDS:g} s at the emulator, {count} generations started evenly over {over_s:g} s; user "
        "and system time of each process, divided by the generations. Idle is with nothing to do, in milliseconds per second.",
        [
            Figure.of("ours: web, workers, watcher", ours, "ms"),
            *(Figure.of(f"of these {name}", [reading[name] for reading in rounds], "ms") for name in OURS),
            *(Figure.of(f"beside them {name}", [reading[name] for reading in rounds], "ms") for name in BACKING),
            Figure.of("script with fal_client", script_ms, "ms"),
            *(Figure.of(f"idle {name}", [reading[name] for reading in idle], "ms/s") for name in OURS),
        ],
    )


def _idle(stack: Stack) -> Mapping[str, float]:
    before = cpu_ms(stack)
    time.sleep(IDLE_S)
    after = cpu_ms(stack)
    return {name: spent(before, after, [name]) / IDLE_S for name in OURS}
