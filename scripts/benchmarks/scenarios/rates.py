"""How many requests one web process answers per second."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from scripts.benchmarks.orders import FLUX_PRO, set_generation_time, warm_up
from scripts.benchmarks.source import BenchmarkError, Source
from scripts.benchmarks.standing_still import standing_still
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

ROUNDS, QUICK_ROUNDS = 3, 1
CONNECTIONS = 16
HEALTH, MODELS, STATUS, SUBMIT = "GET /healthz", "GET /api/images/models", "GET /api/jobs/{jobId}", "POST /api/images/generate, async"
MIN_PER_S = {MODELS: 1200.0, STATUS: 800.0, SUBMIT: 250.0}
FULL_S, QUICK_S = 2.0, 0.7


def run(stack: Stack, quick: bool) -> Sequence[Table]:  # noqa: FBT001 - every scenario's signature
    for_s = QUICK_S if quick else FULL_S
    with Source("load.py", stack.env) as load:
        warm_up(stack, load, FLUX_PRO)
        set_generation_time(stack, 1.0)
        asked = _asked(stack, load)
        rates: dict[str, list[float]] = {name: [] for name in asked}
        busy: list[float] = []
        with standing_still(stack):
            for _ in range(QUICK_ROUNDS if quick else ROUNDS):
                for name, (order, status) in asked.items():
                    outcome = load.ask(**order, connections=CONNECTIONS, for_s=for_s).require(status)
                    rates[name].append(len(outcome.latencies_s) / outcome.seconds)
                    busy.append(100 * outcome.cpu_s / outcome.seconds)
    figures = [Figure.of(name, values, "/s", at_least=MIN_PER_S.get(name)) for name, values in rates.items()]
    figures += [Figure.ratio(f"{name}, of /healthz", rates[name], rates[HEALTH]) for name in MIN_PER_S]
    figures.append(Figure.of("load generator, of one core", busy, "%"))
    text = (
        f"{CONNECTIONS} connections, {for_s:g} s each, taking turns. Workers and watcher stand still meanwhile: on a machine this small "
        "they would be measured too. /healthz touches no store and is the ceiling of the server itself."
    )
    return [Table("Requests per second, one web process", text, figures)]


def _asked(stack: Stack, load: Source) -> dict[str, tuple[dict[str, Any], str]]:
    base = stack.base_url
    return {
        HEALTH: ({"method": "GET", "url": f"{base}/healthz"}, "200"),
        MODELS: ({"method": "GET", "url": f"{base}/api/images/models"}, "200"),
        STATUS: ({"method": "GET", "url": f"{base}/api/jobs/{_a_job(stack, load)}"}, "200"),
        SUBMIT: (FLUX_PRO.gateway(stack, asynchronous=True), "202"),
    }


def _a_job(stack: Stack, load: Source) -> str:
    """Return the id of a finished job."""
    answer = load.ask(method="GET", url=f"{stack.base_url}/api/jobs?limit=1", count=1).require("200").first_body
    jobs = json.loads(answer)["jobs"]
    if not jobs:
        raise BenchmarkError("no job is listed")
    return str(jobs[0]["jobId"])
