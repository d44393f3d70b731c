"""A shift is one task of RQ's in which a worker does all that waits: it ends in time, and what it leaves somebody else is asked for."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from app.clients.queue import SHIFT_QUEUE, SUBMIT_QUEUE, TaskQueue
from workers import tasks
from workers.worker import PersistentWorker

#: Longer than any test waits for it.
LONG_S = 30.0


class Bench:
    """Workers whose tasks only note that they were done."""

    def __init__(self, redis: Redis) -> None:
        self.redis, self.queue = redis, TaskQueue(redis)
        self.done: list[str] = []
        self.at_each: Callable[[str], None] = lambda _: None

    def leave(self, *names: str) -> None:
        for name in names:
            self.queue.enqueue_submit(name)

    def post(self, name: str) -> None:
        """Be the task's one service call."""
        self.at_each(name)
        self.done.append(name)

    def work(self) -> PersistentWorker:
        """Work off what RQ is asked for; return the worker once there is nothing left of that."""
        rq = Queue(SHIFT_QUEUE, connection=self.redis, serializer=JSONSerializer)
        tasks.hand = worker = PersistentWorker([rq], connection=self.redis, serializer=JSONSerializer)
        worker.work(burst=True, logging_level="CRITICAL")
        return worker

    def shifts(self, worker: PersistentWorker) -> int:
        """Return how many tasks of RQ's a worker has done."""
        return int(self.redis.hget(worker.key, "successful_job_count") or 0)

    def left(self) -> list[str]:
        return [task.args[0] for task in self.queue.waiting(SUBMIT_QUEUE)]


@pytest.fixture
def bench(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(redis)
    errors = SimpleNamespace(submit_failed=lambda name, error: bench.done.append(f"{name}: {error}"))
    services = SimpleNamespace(queue=bench.queue, dispatcher=bench, task_errors=errors)
    monkeypatch.setattr(tasks, "services", lambda: services)
    monkeypatch.setattr(tasks, "hand", None)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield bench
    for number, handler in before.items():
        signal.signal(number, handler)  # A worker in this process takes the signals for itself.


def test_one_task_of_rqs_does_all_that_waits(bench: Bench) -> None:
    bench.leave(*"abcdefgh")

    worker = bench.work()

    assert bench.done == list("abcdefgh")
    assert (bench.shifts(worker), worker.tasks_run, bench.left()) == (1, 9, [])


def test_a_shift_ends_after_its_time_and_another_one_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "SHIFT_S", -1.0)
    bench.leave("a", "b", "c")

    worker = bench.work()

    assert bench.done == ["a", "b", "c"]
    assert bench.shifts(worker) == 3


def test_what_comes_during_a_shift_is_done_in_it_or_in_the_one_that_is_asked_for(bench: Bench) -> None:
    bench.at_each = lambda name: bench.leave("late") if name == "a" else None
    bench.leave("a")

    worker = bench.work()

    assert bench.done == ["a", "late"]
    assert bench.shifts(worker) == 2, "the second finds nothing"


def test_what_comes_while_a_worker_listens_is_done_in_the_same_shift(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "LISTEN_S", 5.0)
    threading.Timer(0.2, bench.leave, ["late"]).start()
    bench.at_each = lambda name: monkeypatch.setattr(tasks, "LISTEN_S", 0.01) if name == "late" else None
    bench.leave("a")

    worker = bench.work()

    assert bench.done == ["a", "late"]
    assert bench.shifts(worker) == 1


def test_a_worker_told_to_stop_finishes_its_task_and_leaves_the_rest_to_others(bench: Bench) -> None:
    bench.at_each = lambda name: signal.raise_signal(signal.SIGTERM) if name == "b" else None
    bench.leave("a", "b", "c")

    bench.work()
    first = list(bench.done)
    bench.work()

    assert first == ["a", "b"]
    assert bench.done == ["a", "b", "c"]


def test_a_task_that_takes_too_long_is_cut_off_and_counts_as_nobodys_mistake(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tasks, "TASK_TIMEOUT_S", 1)
    bench.at_each = lambda name: time.sleep(LONG_S) if name == "a" else None
    bench.leave("a", "b")

    bench.work()

    assert bench.done == ["b"]
    assert "JobTimeoutException" in caplog.text


def test_a_task_that_fails_is_counted_and_the_next_one_is_done(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def fail(name: str) -> None:
        if name == "a":
            raise KeyError(name)

    bench.at_each = fail
    bench.leave("a", "b")

    bench.work()

    assert bench.done == ["a: KeyError: 'a'", "b"]
    assert "task failed" in caplog.text


def test_a_task_of_a_newer_release_is_left_to_the_sweep(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    bench.queue._enqueue(SUBMIT_QUEUE, "polish", "job-1")
    bench.leave("a")

    bench.work()

    assert bench.done == ["a"]
    assert "does not know" in caplog.text
