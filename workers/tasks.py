"""What RQ runs: an id in, one service call, done. Every task may run twice; new arguments go last, with a default."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from rq.timeouts import JobTimeoutException

from app.bootstrap import Services
from app.config import load_settings
from app.domain.errors import ServiceError
from app.domain.fal_request import FinishedNotice
from app.domain.outside_text import said_of
from app.domain.run import RunKind
from app.services.catalog.model_files import Models
from workers.couriers import Couriers

log = logging.getLogger("workers")


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


class TaskFailed(Exception):
    """What RQ is told of a failed task: one line. It would keep, and print, whatever the error itself holds, and died of half an emoji."""


Run = TypeVar("Run", bound=Callable[..., None])
Count = Callable[..., None]


def task(count: Count | None = None) -> Callable[[Run], Run]:
    """Be the boundary of a task: nothing it raises harms the worker, and an error of our own counts as a try.

    A store or fal being away is no such error, and neither is a task that takes too long: the sweep repeats both.
    """

    def guarding(run: Run) -> Run:
        @functools.wraps(run)
        def guarded(*args: Any) -> None:
            try:
                run(*args)
            except Exception as exc:
                error = said_of(exc)
                log.exception("task failed", extra={"task": run.__name__, "task_args": [str(arg) for arg in args[:2]]})
                if count and not isinstance(exc, ServiceError | JobTimeoutException):
                    _counted(count, error, args)
            else:
                return
            raise TaskFailed(error)

        return guarded  # type: ignore[return-value]

    return guarding


def _counted(count: Count, error: str, args: Sequence[Any]) -> None:
    try:
        count(error, *args)
    except Exception:
        log.exception("a failed task could not be counted, its deadline ends it")


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


@task()
def deliver(lane: str) -> None:
    couriers().attend(lane)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
