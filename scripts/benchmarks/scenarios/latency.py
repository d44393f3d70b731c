"""One generation at a time: what the gateway adds to a script that asks fal itself."""

from __future__ import annotations

from scripts.benchmarks.orders import FLUX_PRO, set_generation_time, warm_up
from scripts.benchmarks.source import Source
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

SECONDS = 2.0


def run(stack: Stack, quick: bool) -> Table:  # noqa: FBT001 - every scenario's signature
    ours: list[float] = []
    theirs: list[float] = []
    with Source("load.py", stack.env) as load, Source("direct.py", stack.env) as script:
        warm_up(stack, load, FLUX_PRO)
        script.ask(**FLUX_PRO.direct(), count=1)
        set_generation_time(stack, SECONDS)
        for _ in range(4 if quick else 15):
            theirs += script.ask(**FLUX_PRO.direct(), count=1).require("200").latencies_s
            ours += load.ask(**FLUX_PRO.gateway(stack), count=1).require("201").latencies_s
    return Table(
        "Latency, one at a time",
        f"flux-pro, 1024 x 1024, {SECONDS:g} s at the emulator. The script calls `fal_client.subscribe` and downloads the picture; the "
        "gateway answers when the picture is in its storage and the job is written.",
        [
            Figure.of("script with fal_client", theirs, "s"),
            Figure.of("POST /api/images/generate", ours, "s"),
            Figure.ratio("gateway / script", ours, theirs, at_most=1.05),
        ],
    )
