"""The other baseline: RQ as it comes, a worker for every generation in flight, in processes of their own; see `source.py`.

Plain `rq.Worker` processes over the stack's Redis: each forks a process per job. An order is `{endpoint, arguments, count, over_s,
workers}`: so many jobs, queued evenly over that time (0: at once); so many workers are running before the first.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
from pymongo import MongoClient
from redis import Redis
from rq import Queue, Worker

from scripts.benchmarks.direct import picture
from scripts.benchmarks.source import Answer, Order, serve

DATABASE, COLLECTION, QUEUE = "bench_plain_rq", "generations", "bench-plain-rq"
LIMIT_S = 120.0
LOOK_S = 0.05
PR_SET_PDEATHSIG = 1


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
        self._queue = Queue(QUEUE, connection=redis)
        self._folder = folder
        self._processes: list[BaseProcess] = []

    def carry_out(self, order: Order) -> Answer:
        self._start(int(order["workers"]))
        cpu_ms = self._cpu_ms()
        started, count = time.perf_counter(), int(order["count"])
        jobs_before = self._ended()
        for number in range(count):
            time.sleep(max(0.0, started + order["over_s"] * number / count - time.perf_counter()))
            self._queue.enqueue(generate, order["endpoint"], order["arguments"], self._folder)
        _until(lambda: self._ended() - jobs_before >= count, f"{count} jobs")
        seconds = time.perf_counter() - started
        _until(lambda: not any(_process(worker).children() for worker in self._processes), "the end of the jobs' processes")
        return {"seconds": seconds, "failed": self._queue.failed_job_registry.count, "cpu_ms": self._cpu_ms() - cpu_ms}

    def end(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(1.0)
            process.kill()

    def _start(self, count: int) -> None:
        context = multiprocessing.get_context("fork")
        for _ in range(count - len(self._processes)):
            process = context.Process(target=_work, args=(os.getpid(),), daemon=True)
            process.start()
            self._processes.append(process)
        _until(lambda: Worker.count(queue=self._queue) >= count, f"{count} workers")

    def _ended(self) -> int:
        return int(self._queue.finished_job_registry.count + self._queue.failed_job_registry.count)

    def _cpu_ms(self) -> float:
        return sum(1000 * sum(_process(worker).cpu_times()[:4]) for worker in self._processes)


def _work(parent: int) -> None:
    """Be a worker, as `rq worker` on the command line is one. Killed with the parent, whatever ends that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # The answers to the orders are alone on standard output.
    redis = Redis.from_url(os.environ["REDIS_URL"])
    Worker([Queue(QUEUE, connection=redis)], connection=redis).work(logging_level="WARNING")


def _process(worker: BaseProcess) -> psutil.Process:
    return psutil.Process(worker.pid)


def _until(is_so: Callable[[], bool], what: str) -> None:
    end = time.perf_counter() + LIMIT_S
    while not is_so():
        if time.perf_counter() > end:
            raise TimeoutError(f"waited {LIMIT_S:.0f} s for {what}")
        time.sleep(LOOK_S)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-plain-rq-") as folder, Redis.from_url(os.environ["REDIS_URL"]) as redis:
        workers = Workers(redis, folder)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            serve(workers.carry_out)
        finally:
            workers.end()
