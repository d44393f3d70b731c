"""`python -m app status`, `failures` and `spend`, as a shell sees them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from app.clients.lease import Lease
from app.domain import clock
from app.domain.costs import ActualCost, CostSource
from app.domain.fal_request import Failure
from app.domain.job import Job, SweepTimeouts
from app.services.reports.spend import Spend
from app.stores.database import Database
from app.stores.jobs import JobStore
from app.stores.spend import SpendStore
from app.stores.usage import UsageStore
from tests.support.factories import NOON, certain, completed_job, submitted_job
from tests.support.operator import run_command
from tests.support.services import Backing

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(database: Database, redis: Redis, backing: Backing, tmp_path: Path) -> Command:
    assert redis.ping()
    environment = {
        "MONGODB_URI": backing.database_uri(database.name),
        "REDIS_URL": backing.redis_url,
        "STORAGE_URL": tmp_path.as_uri(),
        "FAL_KEY": "test",
        "JWT_SECRET": "s" * 32,
        "FAL_CONCURRENCY": "40",
    }
    return lambda *arguments: run_command(list(arguments), environment)


@pytest.fixture
def ended(database: Database) -> None:
    """A delivered job of today, one of a month and a half ago, and one that failed and cost something all the same."""
    failed: Job = certain(submitted_job().request_failed(0, Failure("generation_failed", "took 3 s"), now=NOON + timedelta(seconds=4)))
    jobs = [
        dataclasses.replace(completed_job(), id=clock.new_id(), user_id="ada [bold]", completed_at=clock.now()),
        dataclasses.replace(completed_job(), id=clock.new_id(), completed_at=clock.now() - timedelta(days=45)),
        dataclasses.replace(failed, id=clock.new_id(), completed_at=clock.now(), actual=ActualCost(7_000, CostSource.UNITS)),
    ]
    for job in jobs:
        UsageStore(database).record(job)
    Spend(sums=SpendStore(database), jobs=JobStore(database, SweepTimeouts())).advance()


def test_the_status_says_how_it_is_and_ends_with_1_where_somebody_is_needed(command: Command, redis: Redis, ended: None) -> None:
    alone = command("status")
    Lease(redis).renew()
    watched = command("status")

    assert (alone.returncode, watched.returncode) == (1, 0)
    assert "No watcher is at work" in alone.stdout
    assert "docs/operations.md#jobs-stay-pending" in alone.stdout
    assert "1 generation_failed" in watched.stdout
    assert "0.025" in watched.stdout


def test_failures_are_listed_by_what_is_asked_for(command: Command, ended: None) -> None:
    table, lines = command("failures"), command("failures", "--by", "message", "--json")

    assert "generation_failed" in table.stdout
    (line,) = [json.loads(text) for text in lines.stdout.splitlines()]
    assert (line["message"], line["count"], line["lost"]) == ("took <n> s", 1, "0.007")


def test_spend_is_listed_by_what_is_asked_for(command: Command, ended: None) -> None:
    table = command("spend", "--by", "user")
    lines = command("spend", "--by", "user", "--json", "--since", f"{clock.now() - timedelta(days=60):%Y-%m-%d}", "--limit", "1")

    assert "ada [bold]" in table.stdout
    assert [json.loads(text)["jobs"] for text in lines.stdout.splitlines()] == [2]
    assert "more; --limit" in lines.stderr


def test_a_period_that_is_none_ends_with_2(command: Command) -> None:
    absurd = command("spend", "--since", "2001-01-01")
    empty = command("spend", "--since", "2020-01-01", "--until", "2020-02-01", "--by", "day")

    assert (absurd.returncode, "731 days" in absurd.stderr) == (2, True)
    assert "all" in empty.stdout
