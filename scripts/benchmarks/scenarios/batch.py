"""Batches: how long 500 orders take to be accepted together."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.benchmarks.orders import FLUX_PRO, set_generation_time, warm_up
from scripts.benchmarks.source import Source
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

ROUNDS = 3
ITEMS = 500


def run(stack: Stack, quick: bool) -> Sequence[Table]:  # noqa: FBT001 - every scenario's signature
    rounds = 1 if quick else ROUNDS
    took: list[float] = []
    with Source("load.py", stack.env) as load:
        warm_up(stack, load, FLUX_PRO, count=4)
        set_generation_time(stack, 0.5)
        item = {name: value for name, value in FLUX_PRO.gateway(stack)["body"].items() if name in ("model", "inputs", "options")}
        body = {"items": [item] * ITEMS, "userId": "bench"}
        for _ in range(rounds):
            outcome = load.ask(method="POST", url=f"{stack.base_url}/api/images/batch", body=body, count=1).require("202")
            took.append(outcome.latencies_s[0])
    text = f"{ITEMS} items in one POST: checked, priced, written and queued before it is answered."
    return [Table("Batch", text, [Figure.of(f"a batch of {ITEMS} accepted", took, "s", at_most=2.0)])]
