"""Batches: how long 500 orders take to be accepted together."""

from __future__ import annotations

from scripts.benchmarks.orders import FLUX_PRO, set_generation_time, warm_up
from scripts.benchmarks.source import Source
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

ROUNDS = 3
ITEMS = 500


def run(stack: Stack, quick: bool) -> Table:  # noqa: FBT001, ARG001 - every scenario's signature
    took: list[float] = []
    with Source("load.py", stack.env) as load:
        warm_up(stack, load, FLUX_PRO, count=4)
        set_generation_time(stack, 0.5)
        item = {name: value for name, value in FLUX_PRO.gateway(stack)["body"].items() if name in ("model", "inputs", "options")}
        body = {"items": [item] * ITEMS, "userId": "bench"}
        for _ in range(ROUNDS):
            outcome = load.ask(method="POST", url=f"{stack.base_url}/api/images/batch", body=body, count=1).require("202")
            took.append(outcome.latencies_s[0])
    return Table(
        "Batch",
        f"{ITEMS} items in one POST: checked, priced, written and queued before it is answered.",
        [Figure.of(f"a batch of {ITEMS} accepted", took, "s", at_most=2.0)],
    )
