"""Many generations submitted at the same moment: how long until the last one is done."""

from __future__ import annotations

from scripts.benchmarks.orders import FLUX_PRO, set_generation_time, warm_up
from scripts.benchmarks.source import Source
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

ROUNDS = 3
#: Generations in one burst, seconds of each, and how much longer than one generation the whole may take.
FULL = (200, 10.0, 6.0)
QUICK = (50, 2.0, 6.0)


def run(stack: Stack, quick: bool) -> Table:  # noqa: FBT001 - every scenario's signature
    count, seconds, allowed_s = QUICK if quick else FULL
    ours: list[float] = []
    theirs: list[float] = []
    with Source("load.py", stack.env) as load, Source("direct.py", stack.env) as script:
        warm_up(stack, load, FLUX_PRO)
        set_generation_time(stack, seconds)
        for _ in range(ROUNDS):
            theirs.append(script.ask(**FLUX_PRO.direct(), count=count).require("200").seconds)
            ours.append(load.ask(**FLUX_PRO.gateway(stack), count=count).require("201").seconds)
    return Table(
        f"Burst of {count}",
        f"{count} flux-pro generations of {seconds:g} s asked for at once, 4 workers; time until the last waiting request is answered. "
        "None failed. The script runs as many threads as there are generations, each with `fal_client.subscribe` and a download.",
        [
            Figure.of("script with fal_client", theirs, "s"),
            Figure.of("gateway", ours, "s", at_most=seconds + allowed_s),
        ],
    )
