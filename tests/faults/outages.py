"""Stores that go away and come back, and what a service needs to mend what was broken meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from redis import Redis

from scripts.stack.stack import Stack
from tests.acceptance.service import PROCESSES, wait_until
from tests.faults.place import Place
from tests.faults.soundness import files_in

#: A little longer than the service leaves a half-written picture alone: its writer might still be at work.
HALF_WRITTEN_FOR = timedelta(minutes=16)


def power_cut(stack: Stack) -> None:
    """Kill every process of the service, lose all that Redis had, and start again."""
    for name in PROCESSES:
        stack.kill(name)
    with Redis.from_url(stack.redis_url) as redis:
        redis.flushall()
    for name in PROCESSES:
        stack.start(name)


@contextmanager
def redis_lost(stack: Stack) -> Iterator[None]:
    """Kill Redis; afterwards it starts with nothing in it."""
    stack.kill("redis")
    yield
    folder = stack.data_dir / "redis"
    shutil.rmtree(folder)
    folder.mkdir()
    stack.start("redis")


@contextmanager
def mongo_frozen(stack: Stack) -> Iterator[None]:
    stack.kill("mongo", signal.SIGSTOP)
    try:
        yield
    finally:
        stack.kill("mongo", signal.SIGCONT)


@contextmanager
def mongo_dead(stack: Stack) -> Iterator[None]:
    stack.kill("mongo")
    yield
    stack.start("mongo")


@contextmanager
def storage_away(place: Place) -> Iterator[None]:
    """Put a file where the storage folder is: nothing can be written or read, whoever tries it."""
    aside = place.storage.with_name("aside")
    place.storage.rename(aside)
    place.storage.touch()
    try:
        yield
    finally:
        place.storage.unlink()
        aside.rename(place.storage)


def mended(place: Place, within_s: float = 60) -> None:
    """Let the service mend what kills left, at the pace of a test: what it waits minutes for counts as waited for."""
    wait_until(lambda: not place.let_time_pass(), 30, "the end of submits that were cut off")
    deadline = time.monotonic() + within_s
    place.settle_down(within_s)
    old = (datetime.now(UTC) - HALF_WRITTEN_FOR).timestamp()
    for part in files_in(place.storage / ".parts"):
        os.utime(part, (old, old))
    left_s = max(20.0, deadline - time.monotonic())
    wait_until(lambda: not files_in(place.storage / ".parts"), left_s, "the removal of half-written pictures")
