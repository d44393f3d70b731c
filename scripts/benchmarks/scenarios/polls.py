"""Handles of fal's own clients, all asking how far their requests are, beside everything else that a web process has to do."""

import json
import statistics
import time
from collections.abc import Sequence

from scripts.benchmarks.bench import FLUX_PRO, INPUTS, Bench
from scripts.benchmarks.source import BenchmarkError, Outcome, Source
from scripts.benchmarks.tables import Figure, Table, p95

#: fal-client asks 0.1 s after each answer.
HANDLES, PAUSE_S = 200, 0.1
BEGUN_OVER_S, ASKED, ASKED_OVER_S = 2.0, 100, 2.5
#: Long enough that every request is still at work when the last question is asked.
GENERATION_S = 600.0
MAX_P95_MS = 50.0


def run(bench: Bench) -> Sequence[Table]:
    """Does the web process still answer others at once?"""
    asker, poller = bench.warm_load(FLUX_PRO), bench.source("load.py")
    urls = _at_work(bench, asker)
    alone_ms, health_ms, status_ms, rates = [], [], [], []
    for _ in range(bench.rounds):
        alone_ms.append(_health_ms(bench, asker))
        for_s = BEGUN_OVER_S + ASKED_OVER_S + 1.0
        poller.begin(method="GET", urls=urls, connections=HANDLES, over_s=BEGUN_OVER_S, pause_s=PAUSE_S, for_s=for_s)
        time.sleep(BEGUN_OVER_S)
        health_ms.append(_health_ms(bench, asker))
        polled = Outcome(**poller.finish()).require("202")
        rates.append(len(polled.latencies_s) / polled.seconds)
        status_ms.append([1000 * latency for latency in polled.latencies_s])
    text = (
        f"{HANDLES} requests at work, each asked after by a handle of its own {PAUSE_S:g} s after the last answer, as fal-client does; "
        f"they begin over {BEGUN_OVER_S:g} s. /healthz is asked {ASKED} times over {ASKED_OVER_S:g} s, before that and meanwhile. "
        "One web process, and everything running beside it."
    )
    figures = [
        Figure.of("status answers", rates, "/s"),
        Figure.of("a status answer, median", [statistics.median(values) for values in status_ms], "ms"),
        Figure.of("GET /healthz without them, 95th percentile", [p95(values) for values in alone_ms], "ms"),
        Figure.of("GET /healthz, median", [statistics.median(values) for values in health_ms], "ms"),
        Figure.of("GET /healthz, 95th percentile", [p95(values) for values in health_ms], "ms", at_most=MAX_P95_MS),
        Figure.of("GET /healthz, slowest", [max(values) for values in health_ms], "ms"),
    ]
    return [Table("Polls of fal's own clients", text, figures)]


def _health_ms(bench: Bench, asker: Source) -> list[float]:
    answered = asker.ask(**bench.look_up("/healthz"), count=ASKED, over_s=ASKED_OVER_S).require("200")
    return [1000 * latency for latency in answered.latencies_s]


def _at_work(bench: Bench, asker: Source) -> list[str]:
    """Have all requests made, as fal's clients make them; return where their handles ask. Raises BenchmarkError where any has ended."""
    bench.set_generation_time(GENERATION_S)
    queue = f"{bench.stack.base_url}/fal/queue"
    order = {"method": "POST", "url": f"{queue}/{FLUX_PRO.endpoint}", "body": {**INPUTS, **FLUX_PRO.options}}
    asker.ask(**order, count=HANDLES, over_s=4.0).require("200")
    found: list[str] = []
    path: str | None = "/api/jobs?limit=100"
    while path:
        page = json.loads(bench.fetch(path))
        found += [job["jobId"] for job in page["jobs"] if job["status"] in ("pending", "processing")]
        path = f"/api/jobs?limit=100&cursor={page['cursor']['next']}" if page["cursor"]["hasMore"] else None
    if len(found) != HANDLES:
        raise BenchmarkError(f"{len(found)} requests are at work, not {HANDLES}")
    return [f"{queue}/fal-ai/flux-pro/requests/{job_id}/status?logs=false" for job_id in found]
