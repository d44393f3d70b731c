"""Resident memory of our processes: before the first generation, and after bursts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scripts.benchmarks.orders import FLUX_PRO, set_generation_time
from scripts.benchmarks.processes import memory_mb
from scripts.benchmarks.source import Source
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

BURSTS = 3
FULL = (200, 5.0)
QUICK = (50, 1.0)
LIMITS_MB = {"web": 150.0, "worker": 120.0, "watcher": 120.0}
Reading = Mapping[str, Sequence[float]]


def run(stack: Stack, quick: bool) -> Table:  # noqa: FBT001 - every scenario's signature
    count, seconds = QUICK if quick else FULL
    idle = memory_mb(stack)
    after: list[Reading] = []
    with Source("load.py", stack.env) as load, Source("direct.py", stack.env) as script:
        set_generation_time(stack, seconds)
        for _ in range(BURSTS):
            load.ask(**FLUX_PRO.gateway(stack), count=count).require("201")
            after.append(memory_mb(stack))
        script_mb = [script.ask(**FLUX_PRO.direct(), count=1).require("200").pss_mb]
    figures = [Figure.of(f"{name}, idle", values, "MB") for name, values in idle.items()]
    figures += [
        Figure.of(f"{name}, after bursts", [mb for reading in after for mb in reading[name]], "MB", at_most=LIMITS_MB.get(name))
        for name in idle
    ]
    totals = [sum(map(sum, reading.values())) for reading in after]
    figures += [Figure.of("all of ours, after bursts", totals, "MB"), Figure.of("one script with fal_client", script_mb, "MB")]
    return Table(
        "Memory",
        f"PSS (shared pages divided among those who share them) right after the start, and after each of {BURSTS} bursts of {count} "
        "flux-pro generations; 4 workers.",
        figures,
    )
