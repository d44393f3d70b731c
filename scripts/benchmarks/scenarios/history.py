"""Lists and exports of a long history: what depth and length cost."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from datetime import datetime

from scripts.benchmarks.processes import pss_mb
from scripts.benchmarks.seeding import get, seed
from scripts.benchmarks.source import BenchmarkError, Source
from scripts.benchmarks.table import Figure, Table, p95
from scripts.development.stack import Stack

ROUNDS = 3
SHORT, FULL, QUICK = 2_000, 50_000, 10_000
#: With a real server, which MONGODB_URI names.
REAL = (10_000, 1_000_000)
PAGES = 40
PAGE_BYTES = 1 << 16


def run(stack: Stack, quick: bool) -> Sequence[Table]:  # noqa: FBT001 - every scenario's signature
    short, long = (SHORT, QUICK) if quick else (SHORT, FULL) if "mongo" in stack.embedded else REAL
    with Source("load.py", stack.env) as load:
        deep = {user: seed(stack, load, user_id=user, count=count) for user, count in (("short", short), ("long", long))}
    pages: dict[str, list[float]] = {}
    for _ in range(1 if quick else ROUNDS):
        for user, near_the_end in deep.items():
            pages.setdefault(f"first page of {user}", []).append(_page_ms(stack, user, None))
            pages.setdefault(f"last page of {user}", []).append(_page_ms(stack, user, near_the_end))
    exports = [_export(stack, long) for _ in range(1 if quick or long > FULL else ROUNDS)]
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


def _page_ms(stack: Stack, user: str, before: datetime | None) -> float:
    query = {"userId": user, "limit": "20", **({"to": before.isoformat()} if before else {})}
    url = f"{stack.base_url}/api/jobs?{urllib.parse.urlencode(query)}"
    took = []
    for _ in range(PAGES):
        began = time.perf_counter()
        found = json.loads(get(url))["jobs"]
        took.append(1000 * (time.perf_counter() - began))
        if len(found) != 20:
            raise BenchmarkError(f"a page of {len(found)}")
    return p95(took)


def _export(stack: Stack, expected: int) -> tuple[float, float]:
    """Return how long an export took, in seconds, and how much the web process grew meanwhile, in MB."""
    (pid,) = stack.pids("web")
    idle, peak, done = pss_mb(pid), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            peak = max(peak, pss_mb(pid))

    watching = threading.Thread(target=watch)
    watching.start()
    began, lines = time.perf_counter(), 0
    with urllib.request.urlopen(f"{stack.base_url}/api/jobs/export?userId=long&format=csv", timeout=120) as answer:  # noqa: S310
        while part := answer.read(PAGE_BYTES):
            lines += part.count(b"\n")
    done.set()
    watching.join()
    if lines != expected + 1:
        raise BenchmarkError(f"{lines} lines for {expected} jobs")
    return time.perf_counter() - began, max(0.0, peak - idle)
