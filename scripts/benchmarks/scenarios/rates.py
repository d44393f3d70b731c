"""How many requests one web process answers per second."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from typing import Any

from scripts.benchmarks.orders import FLUX_PRO, set_generation_time, warm_up
from scripts.benchmarks.source import BenchmarkError, Source
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

ROUNDS = 3
CONNECTIONS = 16


def run(stack: Stack, quick: bool) -> Table:  # noqa: FBT001 - every scenario's signature
    for_s = 1.0 if quick else 4.0
    with Source("load.py", stack.env) as load:
        warm_up(stack, load, FLUX_PRO)
        set_generation_time(stack, 1.0)
        asked = _asked(stack, load)
        rates: dict[str, list[float]] = {name: [] for name in asked}
        busy: dict[str, list[float]] = {name: [] for name in asked}
        with _standing_still(stack):
            for _ in range(ROUNDS):
                for name, (order, status) in asked.items():
                    outcome = load.ask(**order, connections=CONNECTIONS, for_s=for_s).require(status)
                    rates[name].append(len(outcome.latencies_s) / outcome.seconds)
                    busy[name].append(100 * outcome.cpu_s / outcome.seconds)
    figures = [Figure.of(name, values, "/s") for name, values in rates.items()]
    ceiling = rates["GET /healthz"]
    figures += [Figure.ratio(f"{name}, of /healthz", values, ceiling) for name, values in rates.items() if values is not ceiling]
    figures.append(Figure.of("load generator, of one core", [share for shares in busy.values() for share in shares], "%"))
    return Table(
        "Requests per second, one web process",
        f"{CONNECTIONS} connections, {for_s:g} s each, taking turns. Workers and watcher stand still meanwhile: on a machine this small "
        "they would be measured too. /healthz touches no store and is the ceiling of the server itself.",
        figures,
    )


@contextlib.contextmanager
def _standing_still(stack: Stack) -> Iterator[None]:
    """Hold workers and watcher; they must run again to end when they are told to."""
    names = ("worker", "watcher")
    for name in names:
        stack.kill(name, signal.SIGSTOP)
    try:
        yield
    finally:
        for name in names:
            stack.kill(name, signal.SIGCONT)


def _asked(stack: Stack, load: Source) -> dict[str, tuple[dict[str, Any], str]]:
    base = stack.base_url
    return {
        "GET /healthz": ({"method": "GET", "url": f"{base}/healthz"}, "200"),
        "GET /api/images/models": ({"method": "GET", "url": f"{base}/api/images/models"}, "200"),
        "GET /api/jobs/{jobId}": ({"method": "GET", "url": f"{base}/api/jobs/{_a_job(stack, load)}"}, "200"),
        "POST /api/images/generate, async": (FLUX_PRO.gateway(stack, asynchronous=True), "202"),
    }


def _a_job(stack: Stack, load: Source) -> str:
    """Return the id of a finished job."""
    answer = load.ask(method="GET", url=f"{stack.base_url}/api/jobs?limit=1", count=1).require("200").first_body
    jobs = json.loads(answer)["jobs"]
    if not jobs:
        raise BenchmarkError("no job is listed")
    return str(jobs[0]["jobId"])
