"""Handles of fal's own clients, all asking how far their requests are, beside everything else that a web process has to do."""

import json
import statistics
from collections.abc import Sequence

from scripts.benchmarks.bench import FLUX_PRO, INPUTS, Bench
from scripts.benchmarks.source import BenchmarkError, Outcome
from scripts.benchmarks.tables import Figure, Table, p95

#: fal-client asks 0.1 s after each answer.
HANDLES, PAUSE_S = 200, 0.1
ASKED, ASKED_OVER_S = 100, 2.5
#: Long enough that every request is still at work when the last question is asked.
GENERATION_S = 600.0
MAX_P95_MS = 50.0


def run(bench: Bench) -> Sequence[Table]:
    """Does the web process still answer others at once?"""
    asker, poller = bench.warm_load(FLUX_PRO), bench.source("load.py")
    bench.set_generation_time(GENERATION_S)
    order = {"method": "POST", "url": f"{bench.stack.base_url}/fal/queue/{FLUX_PRO.endpoint}", "body": {**INPUTS, **FLUX_PRO.options}}
    asker.ask(**order, count=HANDLES, over_s=4.0).require("200")
    jobs = _at_work(bench)
    if len(jobs) != HANDLES:
        raise BenchmarkError(f"{len(jobs)} requests are at work, not {HANDLES}")
    urls = [f"{bench.stack.base_url}/fal/queue/fal-ai/flux-pro/requests/{job}/status?logs=false" for job in jobs]
    rates, health_ms, status_ms = [], [], []
    for _ in range(bench.rounds):
        poller.begin(method="GET", urls=urls, connections=HANDLES, pause_s=PAUSE_S, for_s=ASKED_OVER_S + 1.0)
        health = asker.ask(**bench.look_up("/healthz"), count=ASKED, over_s=ASKED_OVER_S).require("200")
        polled = Outcome(**poller.finish()).require("202")
        rates.append(len(polled.latencies_s) / polled.seconds)
        health_ms.append([1000 * latency for latency in health.latencies_s])
        status_ms.append([1000 * latency for latency in polled.latencies_s])
    text = (
        f"{HANDLES} requests at work, each asked after by a handle of its own {PAUSE_S:g} s after the last answer, as fal-client does, "
        f"while /healthz is asked {ASKED} times over {ASKED_OVER_S:g} s; one web process, everything running beside it."
    )
    figures = [
        Figure.of("status answers", rates, "/s"),
        Figure.of("a status answer, median", [statistics.median(values) for values in status_ms], "ms"),
        Figure.of("a status answer, 95th percentile", [p95(values) for values in status_ms], "ms"),
        Figure.of("GET /healthz, median", [statistics.median(values) for values in health_ms], "ms"),
        Figure.of("GET /healthz, 95th percentile", [p95(values) for values in health_ms], "ms", at_most=MAX_P95_MS),
        Figure.of("GET /healthz, slowest", [max(values) for values in health_ms], "ms"),
    ]
    return [Table("Polls of fal's own clients", text, figures)]


def _at_work(bench: Bench) -> list[str]:
    """Return the jobs that have not ended."""
    found: list[str] = []
    cursor = ""
    while True:
        page = json.loads(bench.fetch(f"/api/jobs?limit=100{cursor}"))
        found += [job["jobId"] for job in page["jobs"] if job["status"] in ("pending", "processing")]
        if not page["cursor"]["hasMore"]:
            return found
        cursor = f"&cursor={page['cursor']['next']}"
