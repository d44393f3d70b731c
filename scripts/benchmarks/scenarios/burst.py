"""Many generations asked for at the same moment: how long until the last is done, what memory that takes, what each costs.

The plots come from here as well: so many asked for at once are so many in flight.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from scripts.benchmarks import burst_tables
from scripts.benchmarks.burst_tables import Burst, Measured
from scripts.benchmarks.memory_watch import MemoryWatch
from scripts.benchmarks.orders import FLUX_PRO, plain_workers, set_generation_time, warm_up
from scripts.benchmarks.processes import cpu_ms, memory_mb, spent
from scripts.benchmarks.source import Source
from scripts.benchmarks.table import Table
from scripts.development.stack import Stack

ROUNDS, QUICK_ROUNDS = 3, 1
#: As many as there are workers. With more than a hundred threads each they were seen to stand still for two minutes.
SCRIPTS = 4
FULL = (
    Burst(1, 1.0),
    Burst(10, 1.0),
    Burst(50, 2.0, is_scripted=True, at_most_of_scripts=1.25),
    Burst(200, 3.0),
    Burst(500, 10.0, at_most_s=19.0),
    Burst(2000, 10.0, at_most_s=45.0),
)
QUICK = (Burst(50, 1.0, is_scripted=True), Burst(200, 2.0))
#: Plain RQ workers, a generation for each; seconds of one.
PLAIN, PLAIN_S = (10, 40), 2.0


def run(stack: Stack, quick: bool) -> Sequence[Table]:  # noqa: FBT001 - every scenario's signature
    idle = memory_mb(stack)
    measured: list[Measured] = []
    with contextlib.ExitStack() as sources:
        load = sources.enter_context(Source("load.py", stack.env))
        scripts = [sources.enter_context(Source("direct.py", stack.env)) for _ in range(SCRIPTS)]
        warm_up(stack, load, FLUX_PRO)
        script_mb = scripts[0].ask(**FLUX_PRO.direct(), count=1).require("200").pss_mb
        for burst in QUICK if quick else FULL:
            set_generation_time(stack, burst.seconds)
            measured.append(_measured(stack, load, scripts, burst, rounds=QUICK_ROUNDS if quick else ROUNDS))
    plain_ms = {} if quick else _plain(stack)
    return [
        burst_tables.bursts(measured, SCRIPTS),
        burst_tables.memory(idle, measured, script_mb),
        burst_tables.in_flight(measured, plain_ms),
    ]


def _measured(stack: Stack, load: Source, scripts: Sequence[Source], burst: Burst, *, rounds: int) -> Measured:
    measured = Measured(burst)
    for _ in range(rounds):
        if burst.is_scripted:
            measured.scripts_s.append(_scripted(scripts, burst.count))
        before = cpu_ms(stack)
        with MemoryWatch(stack) as watch:
            outcome = load.ask(**FLUX_PRO.gateway(stack), count=burst.count).require("201")
        measured.cpu_ms.append(spent(before, cpu_ms(stack)) / burst.count)
        measured.ours_s.append(outcome.seconds)
        measured.add_latencies(outcome.latencies_s)
        measured.peak_mb.append(watch.peak_mb)
    return measured


def _scripted(scripts: Sequence[Source], count: int) -> float:
    """Return the seconds until the slowest script has all of its share."""
    for number, script in enumerate(scripts):
        script.begin(**FLUX_PRO.direct(), count=(count + number) // len(scripts))
    return max(script.finish().require("200").seconds for script in scripts)


def _plain(stack: Stack) -> Mapping[int, Sequence[float]]:
    """Return the CPU milliseconds per generation of as many plain RQ workers, round by round."""
    set_generation_time(stack, PLAIN_S)
    with Source("worker_per_generation.py", stack.env) as plain:
        # The first time is the warming up.
        plain_workers(plain, FLUX_PRO, count=max(PLAIN), over_s=0.0, workers=max(PLAIN))
        return {
            count: [plain_workers(plain, FLUX_PRO, count=count, over_s=0.0, workers=max(PLAIN)) for _ in range(ROUNDS)] for count in PLAIN
        }
