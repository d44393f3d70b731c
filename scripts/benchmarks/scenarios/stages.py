"""Where the time of one generation goes, by the gateway's own histogram of stages."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from scripts.benchmarks import metrics
from scripts.benchmarks.orders import FLUX_PRO, set_generation_time, warm_up
from scripts.benchmarks.source import BenchmarkError, Source
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

ROUNDS, QUICK_ROUNDS = 3, 1
SECONDS = 2.0
#: Generations of a round, one after the other.
FULL_ALONE, QUICK_ALONE = 3, 1
#: Generations of a round started evenly, and over how many seconds.
FULL_TOGETHER, QUICK_TOGETHER = (100, 4.0), (25, 1.0)
STAGES = {
    "accept": "request received → its job is written and queued",
    "queue": "job made → a worker claims it",
    "submit": "claimed → fal's receipt is written",
    "fal": "receipt → fal was last seen at work on it",
    "notice": "last seen at work → we know that it has ended",
    "collect": "known → a worker has fetched the result and downloaded the picture",
    "store": "downloaded → the picture is stored and the job written as done",
    "answer": "done → the waiting request is answered",
}
Means = Mapping[str, float]


def run(stack: Stack, quick: bool) -> Sequence[Table]:  # noqa: FBT001 - every scenario's signature
    alone = QUICK_ALONE if quick else FULL_ALONE
    rounds = QUICK_ROUNDS if quick else ROUNDS
    together, over_s = QUICK_TOGETHER if quick else FULL_TOGETHER
    with Source("load.py", stack.env) as load:
        warm_up(stack, load, FLUX_PRO)
        set_generation_time(stack, SECONDS)
        metrics.settled(stack)  # Else the end of the warming up is counted in the first round.

        def one_by_one() -> list[float]:
            return [_asked(stack, load, 1, 0.0)[0] for _ in range(alone)]

        def evenly() -> list[float]:
            return _asked(stack, load, together, over_s)

        return [
            _table(f"{alone} one at a time", [_round(stack, one_by_one) for _ in range(rounds)]),
            _table(f"{together} started evenly over {over_s:g} s", [_round(stack, evenly) for _ in range(rounds)]),
        ]


def _asked(stack: Stack, load: Source, count: int, over_s: float) -> list[float]:
    return load.ask(**FLUX_PRO.gateway(stack), count=count, over_s=over_s).require("201").latencies_s


def _round(stack: Stack, generate: Callable[[], list[float]]) -> Means:
    """Return the mean milliseconds of each stage, their sum, and what the client's own clock says."""
    before = metrics.by_stage(metrics.read(stack))
    latencies_s = generate()
    after = metrics.by_stage(metrics.settled(stack))
    means = in_order(metrics.mean_ms(before, after))
    return {**means, "total": sum(means.values()), "client": 1000 * statistics.mean(latencies_s)}


def in_order(means: Means) -> Means:
    """Return the stages in the order they are passed through. Raises BenchmarkError where one was not."""
    if missing := [stage for stage in STAGES if stage not in means]:
        raise BenchmarkError(f"no generation was seen in the stages {', '.join(missing)}")
    return {stage: means[stage] for stage in STAGES}


def _table(how: str, rounds: Sequence[Means]) -> Table:
    figures = [Figure.of(f"{stage}: {text}", [means[stage] for means in rounds], "ms") for stage, text in STAGES.items()]
    figures += [
        Figure.of("total", [means["total"] for means in rounds], "ms"),
        Figure.of("by the client's clock", [means["client"] for means in rounds], "ms"),
    ]
    return Table(
        f"Stages, {how}",
        f"flux-pro, {SECONDS:g} s at the emulator, without webhooks; the mean of each stage in a round, from `{metrics.STAGE_SECONDS}` of "
        "`GET /metrics`.",
        figures,
    )
