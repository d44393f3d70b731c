"""A worker that is told to stop ends, whatever it was at when it was told; told again, it still finishes its task."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from app.clients.queue import SHIFT_QUEUE
from workers.worker import PersistentWorker

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60
SHIFTS = (SHIFT_QUEUE,)
#: A parent whose workers forget the first wish to stop, as one does that was swallowed. Each says when it can be told.
FORGETFUL = """
import os, signal, sys, time
import workers.__main__ as parent

def work(settings, *, parent, queues):
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(1))
    os.write(2, b"r")
    while len(told) < 2:
        time.sleep(0.02)
    return 0

parent.work = work
sys.exit(parent.main())
"""
#: A parent that is told to stop when it is about to wait, and whose workers only end when they are told.
LATE = """
import os, select, signal, sys, time
import workers.__main__ as parent

real = select.select

def late(*args):
    os.kill(os.getpid(), signal.SIGTERM)
    return real(*args)

def work(settings, *, parent, queues):
    time.sleep(600)

parent.work = work
parent.select.select = late
sys.exit(parent.main())
"""


class Told(PersistentWorker):
    """Is sent SIGTERM at chosen moments."""

    moments: frozenset[str] = frozenset()
    tasks: list[str]

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        """Told in the middle of it, and what is raised there is swallowed, as by a log handler."""
        if "heartbeat" in self.moments:
            with contextlib.suppress(Exception):
                signal.raise_signal(signal.SIGTERM)
        super().heartbeat(*args, **kwargs)

    def execute_job(self, job: Any, queue: Queue) -> None:
        self.tasks.append(job.id)
        for _ in range(3 if "task" in self.moments else 0):
            signal.raise_signal(signal.SIGTERM)
        super().execute_job(job, queue)

    def teardown(self) -> None:
        if "teardown" in self.moments:
            signal.raise_signal(signal.SIGTERM)
        super().teardown()


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """A worker in this process takes the signals for itself; one that does not end ends this process, lest the suite hang."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    faulthandler.dump_traceback_later(2 * DEADLINE_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    for number, handler in before.items():
        signal.signal(number, handler)


def told(redis: Redis, *moments: str) -> Told:
    """Let a worker work that has two tasks to do; return it once it has ended."""
    queues = [Queue(name, connection=redis, serializer=JSONSerializer) for name in SHIFTS]
    for _ in range(2):
        queues[0].enqueue_call("operator.abs", args=(-1,), timeout=60, result_ttl=0)
    worker = Told(queues, connection=redis, serializer=JSONSerializer, worker_ttl=3600)
    worker.moments, worker.tasks = frozenset(moments), []
    worker.work(logging_level="CRITICAL")
    return worker


def left(redis: Redis) -> int:
    return sum(len(Queue(name, connection=redis, serializer=JSONSerializer)) for name in SHIFTS)


def test_a_wish_to_stop_that_is_swallowed_is_not_forgotten(redis: Redis) -> None:
    worker = told(redis, "heartbeat")

    assert worker.is_told_to_stop
    assert len(worker.tasks) + left(redis) == 2


def test_a_worker_told_again_and_again_finishes_its_task_and_begins_no_other(redis: Redis) -> None:
    worker = told(redis, "task", "teardown")

    assert len(worker.tasks) == 1
    assert not redis.exists(f"rq:job:{worker.tasks[0]}")  # As after each task that ended well.
    assert left(redis) == 1


@contextmanager
def parent(program: str, redis: Redis, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    settings = {
        "PATH": os.environ["PATH"],
        "REDIS_URL": f"redis://127.0.0.1:{redis.connection_pool.connection_kwargs['port']}/0",
        "MONGODB_URI": "mongodb://127.0.0.1:1/none",
        "FAL_KEY": "none:none",
        "STORAGE_URL": tmp_path.as_uri(),
        "WORKERS": "2",
        "RECEIPTS_DIR": str(tmp_path),
    }
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=settings, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def test_workers_that_forget_they_were_told_to_stop_are_told_again(redis: Redis, tmp_path: Path) -> None:
    with parent(FORGETFUL, redis, tmp_path) as process:
        assert process.stderr is not None
        ready = process.stderr.read(3)
        process.send_signal(signal.SIGTERM)

        status = process.wait(DEADLINE_S)

    assert (ready, status) == (b"rrr", 0)


def test_a_parent_told_to_stop_just_before_it_waits_stops(redis: Redis, tmp_path: Path) -> None:
    with parent(LATE, redis, tmp_path) as process:
        assert process.wait(DEADLINE_S) == 0
