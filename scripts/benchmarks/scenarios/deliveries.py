"""Webhooks of ours: how many a second reach a receiver, and what 10,000 to a dead one cost those who order."""

import itertools
import json
import statistics
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from pymongo import MongoClient

from scripts.benchmarks.bench import FLUX_PRO, Bench
from scripts.benchmarks.machine import cpu_ms
from scripts.benchmarks.source import BenchmarkError, Source
from scripts.benchmarks.tables import Figure, Table, p95
from scripts.stack.stack import Stack

#: One endpoint is sent five at once: several show what the couriers can do.
ENDPOINTS, COUNT, DEAD = 10, 2_000, 10_000
GENERATIONS, OVER_S = 60, 12.0
WITHIN_S = 200.0


def run(bench: Bench) -> Sequence[Table]:
    receiver, load = bench.source("receiver.py"), bench.warm_load(FLUX_PRO)
    bench.enter_context(Stack(env=bench.stack.env, processes=("worker",), backing=(), quiet=True))
    url = f"http://127.0.0.1:{receiver.talk(op='listen')['port']}/hook"
    endpoints = [_registered(bench, url) for _ in range(ENDPOINTS)]
    rates, alone = [], []
    cpu: list[dict[str, float]] = []
    for _ in range(bench.rounds):
        with cpu_ms(bench.stack) as spent:
            _seed(bench, endpoints, COUNT)
            came = receiver.talk(op="count", count=COUNT, within_s=WITHIN_S)
        if came["count"] < COUNT:
            raise BenchmarkError(f"{came['count']} of {COUNT} deliveries came within {WITHIN_S:.0f} s")
        rates.append(came["count"] / came["seconds"])
        cpu.append({name: ms / COUNT for name, ms in spent.items()})
        alone.append(_generated_ms(bench, load))
    receiver.talk(op="hang")
    _seed(bench, endpoints, DEAD)
    beside = [_generated_ms(bench, load) for _ in range(bench.rounds)]
    text = (
        f"{COUNT:,} deliveries to {ENDPOINTS} endpoints of one receiver that answers at once, by two "
        f"`python -m workers`, each with one process for it. Then {DEAD:,} to the same receiver, which takes calls and never answers; "
        f"{GENERATIONS} generations over "
        f"{OVER_S:g} s before and meanwhile. The embedded MongoDB and everything else run beside it."
    )
    figures = [
        Figure.of("deliveries", rates, "/s", at_least=500),
        Figure.of("CPU of one of the workers for each", [spent["worker"] for spent in cpu], "ms"),
        Figure.of("CPU of the embedded MongoDB for each", [spent["mongo"] for spent in cpu], "ms"),
        Figure.of("a generation, median", [statistics.median(values) for values in alone], "ms"),
        Figure.of("a generation, median, beside a dead receiver", [statistics.median(values) for values in beside], "ms"),
        Figure.ratio("95th percentile, beside / alone", [p95(v) for v in beside], [p95(v) for v in alone], at_most=1.25),
    ]
    return [Table("Webhooks to receivers", text, figures)]


def _registered(bench: Bench, url: str) -> str:
    body = {"url": url, "events": ["webhook.test"]}
    answer = httpx.post(f"{bench.stack.base_url}/api/webhooks", json=body, trust_env=False)
    return str(answer.raise_for_status().json()["id"])


def _generated_ms(bench: Bench, load: Source) -> list[float]:
    made = load.ask(**bench.generate(FLUX_PRO), count=GENERATIONS, over_s=OVER_S).require("201")
    return [1000 * latency for latency in made.latencies_s]


def _seed(bench: Bench, endpoints: Sequence[str], count: int) -> None:
    """Write so many deliveries that are due: a real one, copied. Written straight into the store, which a client could not do."""
    client: MongoClient[dict[str, Any]] = MongoClient(bench.stack.mongo_uri)
    with client:
        kept = client.get_default_database()["deliveries"]
        if (pattern := kept.find_one({"type": "webhook.test"})) is None:
            answer = httpx.post(f"{bench.stack.base_url}/api/webhooks/{endpoints[0]}/test", json={}, timeout=60, trust_env=False)
            pattern = kept.find_one({"type": "webhook.test"})
            if pattern is None:
                raise BenchmarkError(f"nothing was sent: {json.dumps(answer.json())}")
        now = datetime.now(UTC)
        fresh = {"status": "pending", "type": "job.completed", "attempts": [], "attemptCount": 0, "tries": 0, "nextAt": now}
        fresh |= {"attentionAt": now, "doneAt": None, "expiresAt": None, "claimedUntil": None, "createdAt": now, "rev": 0, "reason": None}
        for endpoint, _ in zip(itertools.cycle(endpoints), range(0, count, 100), strict=False):
            own = {"endpointId": endpoint, "lane": endpoint}
            kept.insert_many([{**pattern, **fresh, **own, "_id": f"msg_{uuid.uuid4().hex[:26]}"} for _ in range(100)])
