"""Lists and exports of a long history: what depth and length cost."""

import itertools
import json
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import MongoClient

from scripts.benchmarks.bench import FLUX_PRO, Bench
from scripts.benchmarks.machine import peak_of, web_mb
from scripts.benchmarks.source import BenchmarkError, Source
from scripts.benchmarks.tables import Figure, Table, p95

SHORT, FULL, QUICK = 2_000, 50_000, 10_000
PAGES = 40
PAGE_BYTES = 1 << 16
CHUNK = 2000
START = datetime(2025, 1, 1, tzinfo=UTC)


def run(bench: Bench) -> Sequence[Table]:
    short, long = SHORT, QUICK if bench.quick else FULL
    load = bench.source("load.py")
    deep = {user: _seed(bench, load, user_id=user, count=count) for user, count in (("short", short), ("long", long))}
    pages: dict[str, list[float]] = {}
    for _ in range(bench.rounds):
        for user, near_the_end in deep.items():
            pages.setdefault(f"first page of {user}", []).append(_page_ms(bench, user, None))
            pages.setdefault(f"last page of {user}", []).append(_page_ms(bench, user, near_the_end))
    exports = [_export(bench, long) for _ in range(bench.rounds)]
    figures = [Figure.of(f"{name}, 95th percentile", values, "ms") for name, values in pages.items()]
    figures += [
        Figure.ratio(f"{which} page, long / short", pages[f"{which} page of long"], pages[f"{which} page of short"], at_most=1.5)
        for which in ("first", "last")
    ]
    figures += [
        Figure.of(f"export of {long:,} jobs as CSV", [seconds for seconds, _ in exports], "s"),
        Figure.of("web's memory above idle meanwhile", [mb for _, mb in exports], "MB", at_most=50),
    ]
    text = (
        f"A user with {short:,} jobs and one with {long:,} over a year; pages of 20 through HTTP, {PAGES} a round; the export is read as "
        "fast as it comes."
    )
    return [Table("History", text, figures)]


def _seed(bench: Bench, load: Source, *, user_id: str, count: int) -> datetime:
    """Give a user so many jobs; return when the thirtieth of them was made: near the end of the list, newest first.

    One real finished job, copied under new ids over a year. Written straight into the store, which a client could not do.
    """
    job_id = json.loads(load.ask(**bench.generate(FLUX_PRO), count=1).require("201").first_body)["jobId"]
    client: MongoClient[dict[str, Any]] = MongoClient(bench.stack.mongo_uri)
    with client:
        jobs = client.get_default_database()["jobs"]
        pattern = jobs.find_one({"_id": job_id})
        if pattern is None:
            raise BenchmarkError("the pattern job is gone")
        step = timedelta(days=365) / count
        pattern |= {"userId": user_id, "requests": []}
        copies = (_copy(pattern, START + number * step) for number in range(count))
        while chunk := list(itertools.islice(copies, CHUNK)):
            jobs.insert_many(chunk, ordered=False)
    return START + 30 * step


def _copy(pattern: dict[str, Any], moment: datetime) -> dict[str, Any]:
    """Return the job as it would be had it been made then, with a UUIDv7 (RFC 9562) of that time."""
    digits, rest = f"{int(moment.timestamp() * 1000):012x}", uuid.uuid4().hex
    job_id = f"{digits[:8]}-{digits[8:]}-7{rest[:3]}-8{rest[3:6]}-{rest[6:18]}"
    return {**pattern, "_id": job_id, "orderKey": job_id, "createdAt": moment}


def _page_ms(bench: Bench, user: str, before: datetime | None) -> float:
    query = {"userId": user, "limit": "20", **({"to": before.isoformat()} if before else {})}
    took = []
    for _ in range(PAGES):
        began = time.perf_counter()
        found = json.loads(bench.fetch(f"/api/jobs?{urllib.parse.urlencode(query)}"))["jobs"]
        took.append(1000 * (time.perf_counter() - began))
        if len(found) != 20:
            raise BenchmarkError(f"a page of {len(found)}")
    return p95(took)


def _export(bench: Bench, expected: int) -> tuple[float, float]:
    """Return how long an export took, in seconds, and how much the web process grew meanwhile, in MB."""
    idle, lines = web_mb(bench.stack), 0
    with peak_of(lambda: {"web": [web_mb(bench.stack)]}, every_s=0.1) as peak:
        began, url = time.perf_counter(), f"{bench.stack.base_url}/api/jobs/export?userId=long&format=csv"
        with urllib.request.urlopen(url, timeout=120) as answer:  # noqa: S310 - our own http
            while part := answer.read(PAGE_BYTES):
                lines += part.count(b"\n")
        seconds = time.perf_counter() - began
    if lines != expected + 1:
        raise BenchmarkError(f"{lines} lines for {expected} jobs")
    return seconds, max(0.0, peak["web"] - idle)
