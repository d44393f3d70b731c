"""What RQ runs: an id in, one service call, done. Every task may run twice; new arguments go last, with a default."""

from __future__ import annotations

import functools
import os

from app.bootstrap import Services, build_services
from app.config import load_settings


@functools.cache
def services() -> Services:
    """Return this process's services, built at the first task: after the fork, so that no client is shared."""
    return build_services(load_settings(os.environ))


def submit(job_id: str) -> None:
    services().dispatcher.run(job_id)


def collect(job_id: str, index: int) -> None:
    services().collector.run(job_id, index)


def expire(job_id: str) -> None:
    services().expiry.run(job_id)


def settle(job_id: str) -> None:
    services().recovery.settle(job_id)


def give_turns() -> None:
    services().turns.give()
