"""The other baseline: RQ as it comes, a worker for every generation in flight, in processes of their own; see `source.py`.

Plain `rq.Worker` processes over the stack's Redis: each forks a process per job. An order is `{endpoint, arguments, count, over_s,
workers}`: so many jobs, queued evenly over that time (0: at once); so many workers are running before the first.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from pymongo import MongoClient
from redis import Redis
from rq import Queue, Worker

from scripts.benchmarks.direct import picture
from scripts.benchmarks.source import Answer, Order, serve
from scripts.stack.processes import die_with_parent

DATABASE, COLLECTION, QUEUE = "bench_plain_rq", "generations", "bench-plain-rq"
LIMIT_S = 120.0
LOOK_S = 0.05


def generate(endpoint: str, arguments: dict[str, Any], folder: str) -> None:
    """The job: have one picture made, write it into the folder and one document about it into MongoDB."""
    answer = picture(endpoint, arguments).raise_for_status()
    path = Path(folder) / uuid.uuid4().hex
    path.write_bytes(answer.content)
    # A client is not safe over a fork, so it cannot be made before.
    client: MongoClient[dict[str, Any]] = MongoClient(os.environ["MONGODB_URI"])
    with client:
        document = {"endpoint": endpoint, "arguments": arguments, "url": str(answer.url), "path": str(path), "createdAt": datetime.now(UTC)}
        client[DATABASE][COLLECTION].insert_one(document)


class Workers:
    """All of them are forked from this process, with everything imported, so that no job pays for imports; they end with it."""

    def __init__(self, redis: Redis, folder: str) -> None:
        self._queue, self._folder, self._count = Queue(QUEUE, connection=redis), folder, 0

    def carry_out(self, order: Order) -> Answer:
        self._start(int(order["workers"]))
        cpu_ms, jobs_before = _cpu_ms(), self._ended()
        started, count = time.perf_counter(), int(order["count"])
        for number in range(count):
            time.sleep(max(0.0, started + order["over_s"] * number / count - time.perf_counter()))
            self._queue.enqueue(generate, order["endpoint"], order["arguments"], self._folder)
        _until(lambda: self._ended() - jobs_before >= count, f"{count} jobs")
        seconds = time.perf_counter() - started
        _until(lambda: not any(worker.children() for worker in psutil.Process().children()), "the end of the jobs' processes")
        return {"seconds": seconds, "failed": self._queue.failed_job_registry.count, "cpu_ms": _cpu_ms() - cpu_ms}

    def _start(self, count: int) -> None:
        context = multiprocessing.get_context("fork")
        for _ in range(count - self._count):
            context.Process(target=_work, args=(os.getpid(),), daemon=True).start()
        self._count = max(self._count, count)
        _until(lambda: Worker.count(queue=self._queue) >= count, f"{count} workers")

    def _ended(self) -> int:
        return int(self._queue.finished_job_registry.count + self._queue.failed_job_registry.count)


def _cpu_ms() -> float:
    """Return what the workers have used, with the jobs' processes that have ended."""
    return sum(1000 * sum(worker.cpu_times()[:4]) for worker in psutil.Process().children())


def _work(parent: int) -> None:
    """Be a worker, as `rq worker` on the command line is one. Killed with the parent, whatever ends that."""
    die_with_parent(parent, signal.SIGKILL)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # The answers to the orders are alone on standard output.
    redis = Redis.from_url(os.environ["REDIS_URL"])
    Worker([Queue(QUEUE, connection=redis)], connection=redis).work(logging_level="WARNING")


def _until(is_so: Callable[[], bool], what: str) -> None:
    end = time.perf_counter() + LIMIT_S
    while not is_so():
        if time.perf_counter() > end:
            raise TimeoutError(f"waited {LIMIT_S:.0f} s for {what}")
        time.sleep(LOOK_S)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="bench-plain-rq-") as folder, Redis.from_url(os.environ["REDIS_URL"]) as redis:
        serve(Workers(redis, folder).carry_out)
