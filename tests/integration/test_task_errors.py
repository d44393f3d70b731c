"""A worker never dies of a task, and what breaks a task again and again comes to its end."""

from __future__ import annotations

import logging
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from rq import Queue
from rq.job import Job as RqJob
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from app.clients.queue import SHIFT_QUEUE, WEBHOOK_QUEUE
from app.domain.errors import StorageUnavailable
from app.domain.fal_request import RequestState
from app.domain.job import Job, JobStatus, Settlement
from tests.support.gateway import Gateway
from tests.support.services import with_parts
from workers import tasks
from workers.worker import PersistentWorker

HALF = "half \ud83d of an emoji\0"


class Breaking:
    """A service at which our own code fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def post(self, *args: Any) -> NoReturn:
        raise self._error

    collect = post


@pytest.fixture
def work(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Work off all tasks as a worker does, with some services replaced."""

    def worked(**replaced: Any) -> None:
        monkeypatch.setattr(tasks, "services", lambda: with_parts(gateway.services, **replaced))
        redis = gateway.services.redis
        worker = PersistentWorker(
            [Queue(SHIFT_QUEUE, connection=redis, serializer=JSONSerializer)], connection=redis, serializer=JSONSerializer
        )
        worker.work(burst=True, logging_level="CRITICAL")

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield worked
    for number, handler in before.items():
        signal.signal(number, handler)  # A worker in this process takes the signals for itself.


def collect_again(gateway: Gateway, job: Job) -> None:
    gateway.wait(job, 100)
    gateway.services.queue.enqueue_collect(job.id, 0, again=True)


def counted(gateway: Gateway) -> Counter[str]:
    gateway.services.metrics.flush()
    samples = [s for s in gateway.services.metrics.samples() if s.name == "imagegw_task_errors_total"]
    return Counter({s.labels["outcome"]: int(s.value) for s in samples})


def test_a_worker_goes_on_after_a_task_whose_error_no_store_can_hold(
    gateway: Gateway, work: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(
        logging.CRITICAL, logger="workers"
    )  # What is captured here travels between the tests' processes, which fail at it too.
    job = gateway.dispatch(gateway.order())
    gateway.tasks()
    gateway.services.queue.enqueue_collect(job.id, 0)

    work(collector=Breaking(ValueError(HALF)))

    request = gateway.job(job.id).requests[0]
    assert (request.state, request.bad_tries) == (RequestState.ENDED, 1)
    work()
    assert gateway.collect(job).status is JobStatus.COMPLETED


def test_a_delivery_whose_error_no_store_can_hold_is_kept_by_rq_in_one_line(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class BreakingCouriers:
        def attend(self, lane: str) -> NoReturn:
            raise ValueError(HALF)

    caplog.set_level(logging.CRITICAL, logger="workers")  # As above.

    monkeypatch.setattr(tasks, "couriers", BreakingCouriers)
    gateway.services.queue.enqueue_deliver("lane")
    queue = Queue(WEBHOOK_QUEUE, connection=gateway.services.redis, serializer=JSONSerializer)

    PersistentWorker([queue], connection=gateway.services.redis, serializer=JSONSerializer).work(burst=True, logging_level="CRITICAL")

    (kept,) = FailedJobRegistry(queue=queue).get_job_ids()
    result = RqJob.fetch(kept, connection=gateway.services.redis, serializer=JSONSerializer).latest_result()
    assert result is not None
    assert "TaskFailed: ValueError: half \N{REPLACEMENT CHARACTER} of an emoji" in str(result.exc_string)


def test_a_finished_request_that_breaks_five_tasks_is_closed_with_its_receipt(
    gateway: Gateway, work: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    job = gateway.dispatch(gateway.order())
    gateway.tasks()

    before = counted(gateway)

    states = []
    for _ in range(5):
        collect_again(gateway, job)
        work(collector=Breaking(RuntimeError("x")))
        states.append(gateway.job(job.id).status)

    failed = gateway.job(job.id)
    assert states == [JobStatus.PROCESSING] * 4 + [JobStatus.FAILED]
    assert (failed.failure and failed.failure.code, failed.charged_micros, failed.settlement) == ("internal_error", 0, Settlement.DONE)
    assert failed.requests[0].receipt is not None
    assert "a request is given up" in caplog.text
    assert counted(gateway) - before == Counter({"retried": 4, "given_up": 1})


def test_an_order_that_breaks_five_submits_is_closed_and_nothing_was_posted(gateway: Gateway, work: Callable[..., None]) -> None:
    job = gateway.order()

    for _ in range(5):
        gateway.wait(job, 100)
        gateway.services.queue.enqueue_submit(job.id)
        work(dispatcher=Breaking(KeyError("x")))

    failed = gateway.job(job.id)
    assert (failed.status, failed.failure and failed.failure.code) == (JobStatus.FAILED, "internal_error")
    assert gateway.posts() == []


def test_a_store_that_is_away_counts_as_nobodys_mistake(gateway: Gateway, work: Callable[..., None]) -> None:
    job = gateway.dispatch(gateway.order())
    gateway.tasks()

    for _ in range(6):
        collect_again(gateway, job)
        work(collector=Breaking(StorageUnavailable("away")))
    gateway.collect(job)

    assert gateway.job(job.id).status is JobStatus.COMPLETED


def test_an_error_before_the_post_puts_the_request_back_and_ends_it_after_five(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(job: Job) -> NoReturn:
        raise KeyError("x")

    monkeypatch.setattr(gateway.services.dispatcher._references, "for_provider", broken)
    job = gateway.order()

    states = [gateway.dispatch(gateway.wait(job, 100)).requests[0].state for _ in range(5)]

    assert states == [RequestState.NEW] * 4 + [RequestState.FAILED]
    failure = gateway.job(job.id).failure
    assert failure is not None
    assert failure.code == "internal_error"
    assert gateway.posts() == []


def test_a_finished_request_whose_tasks_never_come_to_an_end_is_given_up_after_a_day(gateway: Gateway) -> None:
    gateway.fal.fault("file", "error_503")
    job = gateway.collect(gateway.dispatch(gateway.order()))

    still = gateway.sweep(gateway.wait(job, 24 * 3600))
    failed = gateway.sweep(gateway.wait(still, 2 * 3600))

    assert still.status is JobStatus.PROCESSING
    assert (failed.status, failed.failure and failed.failure.code) == (JobStatus.FAILED, "result_unavailable")


def test_one_job_that_breaks_the_sweep_keeps_no_other_from_being_mended(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = gateway.order(), gateway.order()
    gateway.tasks()
    gateway.wait(first, 100)
    gateway.wait(second, 50)
    is_held = gateway.services.funds.is_held

    def broken(job: Job) -> bool:
        if job.id == first.id:
            raise KeyError("x")
        return is_held(job)

    monkeypatch.setattr(gateway.services.recovery._funds, "is_held", broken)

    gateway.services.recovery.sweep()

    assert gateway.tasks() == [("submit", [second.id])]
