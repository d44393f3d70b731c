"""What our worker leaves out of RQ's bookkeeping is not missed: Redis stays clean, and RQ's own tools see all they should."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import BlockingConnectionPool, Connection, Redis
from rq import Queue, SimpleWorker, Worker
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.suspension import resume, suspend
from rq.utils import as_text

from app.clients.queue import SHIFT_QUEUE, TASK_TIMEOUT_S
from tests.support.fal_calls import wait_until
from tests.support.services import Backing
from workers.worker import PersistentWorker

ROOT = Path(__file__).resolve().parents[2]
PROCESS = """
import sys
from rq import Queue
from rq.serializers import JSONSerializer
from app.clients.queue import SHIFT_QUEUE
from app.clients.redis import connect_redis
from workers.worker import PersistentWorker
redis = connect_redis(sys.argv[1])
queue = Queue(SHIFT_QUEUE, connection=redis, serializer=JSONSerializer)
PersistentWorker([queue], connection=redis, serializer=JSONSerializer).work(logging_level="CRITICAL")
"""
NOTHING, SLEEP, FAIL = ("operator.abs", (-1,)), ("time.sleep", (0.02,)), ("operator.truediv", (1, 0))
#: What RQ keeps of a worker that has ended, of its queues, and so that only one worker cleans up.
KEPT = ("rq:worker:", "rq:queues", "rq:clean_")
Task = tuple[str, tuple[Any, ...]]


class CountingConnection(Connection):
    """Counts how often anything is sent: a pipeline once."""

    sent = itertools.count()

    def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        next(CountingConnection.sent)
        super().send_packed_command(*args, **kwargs)  # type: ignore[no-untyped-call]


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """A worker in this process takes the signals for itself."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def queue_in(redis: Redis, name: str = SHIFT_QUEUE) -> Queue:
    return Queue(name, connection=redis, serializer=JSONSerializer)


def enqueued(redis: Redis, task: Task, times: int = 1, **options: Any) -> list[Job]:
    """Enqueue as the service does."""
    name, args = task
    return [
        queue_in(redis).enqueue_call(name, args=args, **{"timeout": TASK_TIMEOUT_S, "result_ttl": 0, "failure_ttl": 86400, **options})
        for _ in range(times)
    ]


def worked(redis: Redis, kind: Callable[..., SimpleWorker] = PersistentWorker) -> SimpleWorker:
    """Work off what is enqueued, in this process."""
    worker = kind([queue_in(redis)], connection=redis, serializer=JSONSerializer)
    worker.work(burst=True, logging_level="CRITICAL")
    return worker


@contextmanager
def running_worker(redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker as a process of its own."""
    with subprocess.Popen([sys.executable, "-c", PROCESS, redis_url], cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def the_worker(redis: Redis) -> Worker:
    """Return the one worker as RQ's tools see it, once it is there."""
    (found,) = wait_until(lambda: Worker.all(connection=redis, serializer=JSONSerializer), 30)
    return found  # type: ignore[no-any-return]


def done(redis: Redis) -> int:
    return int(the_worker(redis).successful_job_count)


def test_nothing_of_a_done_task_stays_in_redis(redis: Redis) -> None:
    jobs = enqueued(redis, NOTHING, 20)

    worker = worked(redis)

    keys = [as_text(key) for key in redis.scan_iter()]
    assert [key for key in keys if any(job.id in key for job in jobs)] == []
    assert [key for key in keys if not key.startswith(KEPT)] == []
    assert redis.hget(worker.key, "successful_job_count") == b"20"
    assert redis.hget(worker.key, "current_job") is None
    assert float(redis.hget(worker.key, "total_working_time") or 0) > 0


def test_a_failed_task_is_kept_with_its_traceback_and_the_worker_goes_on(redis: Redis) -> None:
    (failed,) = enqueued(redis, FAIL)
    enqueued(redis, NOTHING, 2)

    worker = worked(redis)

    assert FailedJobRegistry(queue=queue_in(redis)).get_job_ids() == [failed.id]
    assert failed.get_status() is JobStatus.FAILED
    result = failed.latest_result()
    assert result is not None
    assert str(result.exc_string).startswith("Traceback")
    assert "ZeroDivisionError" in str(result.exc_string)
    assert redis.hmget(worker.key, "successful_job_count", "failed_job_count") == [b"2", b"1"]
    assert isinstance(worker, PersistentWorker)
    assert worker.tasks_run == 3
    assert StartedJobRegistry(queue=queue_in(redis)).count == 0


def test_a_task_that_leaves_a_result_is_kept_as_rq_keeps_it(redis: Redis) -> None:
    (job,) = enqueued(redis, NOTHING, result_ttl=60)

    worked(redis)

    assert job.get_status() is JobStatus.FINISHED
    assert job.return_value() == 1


def test_a_task_costs_a_fifth_of_the_round_trips_that_rqs_own_worker_makes(backing: Backing, redis: Redis) -> None:
    pool = BlockingConnectionPool.from_url(backing.redis_url, connection_class=CountingConnection)
    counted = Redis(connection_pool=pool)

    def round_trips(kind: Callable[..., SimpleWorker], tasks: int) -> int:
        enqueued(redis, NOTHING, tasks)
        before = next(CountingConnection.sent)
        worked(counted, kind)
        return next(CountingConnection.sent) - before

    try:
        # What a worker's start and end cost is the same with few tasks and with many.
        ours, rqs = ((round_trips(kind, 60) - round_trips(kind, 10)) / 50 for kind in (PersistentWorker, SimpleWorker))
    finally:
        pool.disconnect()

    assert ours <= 5
    assert rqs > 20


def test_rqs_tools_see_the_worker_what_it_is_at_and_what_it_has_done(backing: Backing, redis: Redis) -> None:
    with running_worker(backing.redis_url):
        wait_until(lambda: the_worker(redis).get_state() == "idle")
        (job,) = enqueued(redis, ("time.sleep", (4.0,)))
        wait_until(lambda: the_worker(redis).get_state() == "busy")
        at_work = the_worker(redis).get_current_job_id()
        listed = subprocess.run(
            [sys.executable, "-m", "rq.cli", "info", "--url", backing.redis_url, "--only-workers"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
        wait_until(lambda: the_worker(redis).get_state() == "idle", 20)

        worker = the_worker(redis)
        assert at_work == job.id
        assert worker.get_current_job_id() is None
        assert (worker.successful_job_count, worker.failed_job_count) == (1, 0)
        assert worker.total_working_time >= 4.0
        assert "busy images" in listed
        assert "1 workers" in listed


def test_an_idle_worker_does_not_count_as_gone_before_its_next_sign_of_life(backing: Backing, redis: Redis) -> None:
    with running_worker(backing.redis_url):
        enqueued(redis, NOTHING)
        wait_until(lambda: done(redis) == 1, 30)

        worker = the_worker(redis)
        assert redis.ttl(worker.key) > worker.dequeue_timeout


def test_suspend_stops_a_worker_within_seconds_and_resume_lets_it_go_on(backing: Backing, redis: Redis) -> None:
    enqueued(redis, SLEEP, 400)

    with running_worker(backing.redis_url):
        wait_until(lambda: done(redis) > 0, 30)
        suspend(redis)
        wait_until(lambda: the_worker(redis).get_state() == "suspended", 30)
        at_rest = done(redis)
        with pytest.raises(AssertionError):
            wait_until(lambda: done(redis) > at_rest, 0.5)
        resume(redis)
        wait_until(lambda: done(redis) > at_rest, 30)

    assert 0 < at_rest < 400


def test_a_task_that_was_killed_is_known_and_counts_as_failed_when_its_time_is_over(backing: Backing, redis: Redis) -> None:
    (job,) = enqueued(redis, ("time.sleep", (60,)))
    started = StartedJobRegistry(queue=queue_in(redis))

    with running_worker(backing.redis_url) as process:
        wait_until(lambda: job.id in started.get_job_ids(), 30)
        wait_until(lambda: the_worker(redis).get_current_job_id() == job.id)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)

    ((job_id, execution_id),) = started.get_job_and_execution_ids()
    assert job_id == job.id
    assert redis.exists(f"rq:execution:{job.id}:{execution_id}")
    assert started.get_expired_job_ids(time.time() + TASK_TIMEOUT_S - 5) == []
    started.cleanup(timestamp=time.time() + 2 * TASK_TIMEOUT_S)
    assert started.get_job_ids() == []
    assert FailedJobRegistry(queue=queue_in(redis)).get_job_ids() == [job.id]
