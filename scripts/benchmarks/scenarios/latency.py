"""One generation at a time: what the gateway adds to a script that asks fal itself."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.benchmarks.orders import FLUX_PRO, set_generation_time, warm_up
from scripts.benchmarks.source import Source
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

SECONDS = 2.0
PAIRS, QUICK_PAIRS = 7, 2


def run(stack: Stack, quick: bool) -> Sequence[Table]:  # noqa: FBT001 - every scenario's signature
    figures = compared(stack, QUICK_PAIRS if quick else PAIRS, at_most=1.05)
    text = (
        f"flux-pro, 1024 x 1024, {SECONDS:g} s at the emulator. The script calls `fal_client.subscribe` and downloads the picture; the "
        "gateway answers when the picture is in its storage and the job is written."
    )
    return [Table("Latency, one at a time", text, figures)]


def compared(stack: Stack, pairs: int, *, at_most: float) -> list[Figure]:
    """Return the time of a script, of the gateway, and the ratio, measured in turn so many times."""
    ours: list[float] = []
    theirs: list[float] = []
    with Source("load.py", stack.env) as load, Source("direct.py", stack.env) as script:
        warm_up(stack, load, FLUX_PRO)
        script.ask(**FLUX_PRO.direct(), count=1)
        set_generation_time(stack, SECONDS)
        for _ in range(pairs):
            theirs += script.ask(**FLUX_PRO.direct(), count=1).require("200").latencies_s
            ours += load.ask(**FLUX_PRO.gateway(stack), count=1).require("201").latencies_s
    return [
        Figure.of("script with fal_client", theirs, "s"),
        Figure.of("POST /api/images/generate", ours, "s"),
        Figure.ratio("gateway / script", ours, theirs, at_most=at_most),
    ]
