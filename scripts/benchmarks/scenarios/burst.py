"""Many generations submitted at the same moment: how long until the last one is done."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from scripts.benchmarks.orders import FLUX_PRO, set_generation_time, warm_up
from scripts.benchmarks.source import Source
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

ROUNDS = 3
#: As many as there are workers. One script with 200 threads was seen to stand still for two minutes in fal-client's one connection pool.
SCRIPTS = 4
#: Generations in one burst, seconds of each, and how much longer than one generation the whole may take.
FULL = (200, 10.0, 6.0)
QUICK = (50, 1.0, 6.0)


def run(stack: Stack, quick: bool) -> Table:  # noqa: FBT001 - every scenario's signature
    count, seconds, allowed_s = QUICK if quick else FULL
    ours: list[float] = []
    theirs: list[float] = []
    with contextlib.ExitStack() as sources:
        load = sources.enter_context(Source("load.py", stack.env))
        scripts = [sources.enter_context(Source("direct.py", stack.env)) for _ in range(SCRIPTS)]
        warm_up(stack, load, FLUX_PRO)
        set_generation_time(stack, seconds)
        for _ in range(ROUNDS):
            theirs.append(_scripted(scripts, count))
            ours.append(load.ask(**FLUX_PRO.gateway(stack), count=count).require("201").seconds)
    return Table(
        f"Burst of {count}",
        f"{count} flux-pro generations of {seconds:g} s asked for at once, 4 workers; time until the last waiting request is answered. "
        f"None failed. The {SCRIPTS} scripts share the generations, a thread for each, with `fal_client.subscribe` and a download.",
        [
            Figure.of(f"{SCRIPTS} scripts with fal_client", theirs, "s"),
            Figure.of("gateway", ours, "s", at_most=seconds + allowed_s),
        ],
    )


def _scripted(scripts: Sequence[Source], count: int) -> float:
    """Return the seconds until the slowest script has all of its share."""
    for script in scripts:
        script.begin(**FLUX_PRO.direct(), count=-(-count // len(scripts)))
    return max(script.finish().require("200").seconds for script in scripts)
