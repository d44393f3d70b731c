"""What RQ runs: an id in, one service call, done. Every task may run twice; new arguments go last, with a default."""

from __future__ import annotations

import functools
import os
from datetime import UTC, datetime

from app.bootstrap import Services, build_services
from app.config import load_settings
from app.fal_request import News


@functools.cache
def services() -> Services:
    """Return this process's services, built at the first task: after the fork, so that no client is shared."""
    return build_services(load_settings(os.environ))


def submit(job_id: str) -> None:
    services().dispatcher.run(job_id)


def collect(job_id: str, index: int, noticed_at: float | None = None, at_work_at: float | None = None) -> None:
    """Fetch and store one finished request; the times (seconds since 1970) tell when its end became known, and when it was last open."""
    news = News(noticed_at=_moment(noticed_at), at_work_at=_moment(at_work_at) if at_work_at else None) if noticed_at else None
    services().collector.run(job_id, index, news)


def expire(job_id: str) -> None:
    services().expiry.run(job_id)


def cancel(job_id: str) -> None:
    services().cancellation.run(job_id)


def settle(job_id: str) -> None:
    services().recovery.settle(job_id)


def give_turns() -> None:
    services().turns.give()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
