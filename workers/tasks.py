"""What workers do: an id in, one service call, done. Every task may run twice; new arguments go last, with a default."""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty

from app.bootstrap import Services
from app.clients.queue import TASK_TIMEOUT_S
from app.config import load_settings
from app.domain.errors import QueueUnavailable, ServiceError
from app.domain.fal_request import FinishedNotice
from app.domain.outside_text import said_of
from app.domain.run import RunKind
from app.services.catalog.model_files import Models
from workers.couriers import Couriers

log = logging.getLogger("workers")

#: A shift ends after this, so that RQ hears of the worker, and a wish to suspend it is heeded.
SHIFT_S = 1.0
#: How long it listens for another task after its last one.
LISTEN_S = 0.2


#: The models that the process had read from which this one comes: what has become of the files since must not keep a worker from its work.
inherited: Models | None = None


@functools.cache
def services() -> Services:
    """Return this process's services, built at the first task: after the fork, so that no client is shared."""
    return Services(load_settings(os.environ, for_web=False), models=inherited)


@functools.cache
def couriers() -> Couriers:
    """Return the threads of this process that bring deliveries."""
    return Couriers(services().courier)


class Hand(Protocol):
    """The worker whose process this is, as far as a shift asks."""

    tasks_run: int

    @property
    def is_told_to_stop(self) -> bool: ...


#: None where somebody plays worker.
hand: Hand | None = None


class TaskFailed(Exception):
    """What RQ is told of a failed task: one line. It would keep, and print, whatever the error itself holds, and died of half an emoji."""


Run = TypeVar("Run", bound=Callable[..., None])
Count = Callable[..., None]
#: What a shift does, by the names that tasks have in their queues, and what counts an error of our own.
TASKS: dict[str, tuple[Callable[..., None], Count | None]] = {}


def task(count: Count | None = None) -> Callable[[Run], Run]:
    """Let a shift do this function, under its name; `count` notes that our own code has failed at it."""

    def named(run: Run) -> Run:
        TASKS[run.__name__] = (run, count)
        return run

    return named


def perform(name: str, args: Sequence[Any]) -> None:
    """Do one task of a shift, within its time. Nothing it raises harms the worker, and an error of our own counts as a try.

    A store or fal being away is no such error, and neither is a task that takes too long: the sweep repeats both.
    """
    if name not in TASKS:
        log.error("a task that this worker does not know, the sweep enqueues it again", extra={"task": name})
        return
    run, count = TASKS[name]
    try:
        # RQ's own limit is for the shift: this takes its place, and none is needed between two tasks.
        with UnixSignalDeathPenalty(TASK_TIMEOUT_S, JobTimeoutException):  # type: ignore[no-untyped-call]
            run(*args)
    except Exception as exc:
        log.exception("task failed", extra=_named(name, args))
        if count and not isinstance(exc, ServiceError | JobTimeoutException):
            _counted(count, said_of(exc), args)


def _named(name: str, args: Sequence[Any]) -> dict[str, Any]:
    return {"task": name, "task_args": [str(arg) for arg in args[:2]]}


def _counted(count: Count, error: str, args: Sequence[Any]) -> None:
    try:
        count(error, *args)
    except Exception:
        log.exception("a failed task could not be counted, its deadline ends it")


# -- what RQ runs ----------------------------------------------------------------------------------------------------------------------


def shift() -> None:
    """Do what waits, one task after the other, for a second or until nothing comes; told to stop, a worker finishes the one it is at."""
    queue, ends_at = services().queue, time.monotonic() + SHIFT_S
    try:
        found = queue.take(begins=True)
        while found:
            perform(found.name, found.args)
            if hand:
                hand.tasks_run += 1
            if time.monotonic() > ends_at or (hand and hand.is_told_to_stop):
                queue.mend()
                return
            found = queue.listen(LISTEN_S)
    except QueueUnavailable:
        log.warning("Redis does not answer in the middle of a shift, what waits is asked for again")


def deliver(lane: str) -> None:
    try:
        couriers().attend(lane)
    except Exception as exc:
        log.exception("task failed", extra=_named("deliver", [lane]))
        error = said_of(exc)
    else:
        return
    raise TaskFailed(error)


# -- what a shift does -----------------------------------------------------------------------------------------------------------------


def _submit_failed(error: str, job_id: str) -> None:
    services().task_errors.submit_failed(job_id, error)


def _collect_failed(error: str, job_id: str, index: int, *moments: float | None) -> None:  # noqa: ARG001 - the task's own arguments
    services().task_errors.collect_failed(job_id, index, error)


@task(_submit_failed)
def submit(job_id: str) -> None:
    services().dispatcher.post(job_id)


@task(_collect_failed)
def collect(job_id: str, index: int, noticed_at: float | None = None, at_work_at: float | None = None) -> None:
    """Fetch and store one finished request; the times (seconds since 1970) tell when its end became known, and when it was last open."""
    notice = FinishedNotice(noticed_at=_moment(noticed_at), at_work_at=_moment(at_work_at) if at_work_at else None) if noticed_at else None
    services().collector.collect(job_id, index, notice)


@task()
def expire(job_id: str) -> None:
    services().recovery.expire(job_id)


@task()
def cancel(job_id: str) -> None:
    services().cancellation.ask_fal(job_id)


@task()
def settle(job_id: str) -> None:
    services().recovery.settle(job_id)


@task()
def give_turns() -> None:
    services().fair_share.give_turns()


@task()
def operate(kind: str) -> None:
    services().runs.go_on(RunKind(kind))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
