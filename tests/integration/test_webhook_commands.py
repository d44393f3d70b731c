"""`python -m app webhooks`: what the operator sees and may do of everybody's webhooks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.domain.delivery import DeliveryStatus
from app.domain.endpoint import EndpointStatus
from app.stores.database import Database
from app.stores.deliveries import DeliveryStore, EndpointStore
from tests.support.deliveries import a_delivery, an_endpoint
from tests.support.operator import run_command
from tests.support.services import Backing

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(backing: Backing, database: Database, tmp_path: Path) -> Run:
    environment = {
        "PATH": os.environ["PATH"],
        "COLUMNS": "200",
        "MONGODB_URI": backing.database_uri(database.name),
        "REDIS_URL": backing.redis_url,
        "STORAGE_URL": tmp_path.as_uri(),
        "FAL_KEY": "test-id:test-secret",
        "JWT_SECRET": "x" * 32,
    }
    return lambda *arguments: run_command(["webhooks", *arguments], environment)


def test_everybodys_webhooks_are_listed_or_one_owners(run: Run, database: Database) -> None:
    ours, theirs = an_endpoint(), an_endpoint(owner="user:ada", status=EndpointStatus.DISABLED, disabled_reason="it failed")
    for each in (ours, theirs):
        EndpointStore(database).insert(each)
    DeliveryStore(database).insert_all([a_delivery(ours, done_at=None)])

    everybodys, adas = run("list"), run("list", "--owner", "user:ada")

    assert (everybodys.returncode, adas.returncode) == (0, 0)
    assert ours.id in everybodys.stdout
    assert "1 deliveries wait, the oldest since" in everybodys.stdout
    assert ours.id not in adas.stdout
    assert "it failed" in adas.stdout


def test_what_was_given_up_is_listed_and_sent_again_under_the_same_id(run: Run, database: Database) -> None:
    endpoint, store = an_endpoint(owner="key:0f3a"), DeliveryStore(database)
    failed, delivered = (a_delivery(endpoint, status=status) for status in (DeliveryStatus.FAILED, DeliveryStatus.DELIVERED))
    EndpointStore(database).insert(endpoint)
    store.insert_all([failed, delivered])

    listed = run("deliveries", endpoint.id, "--status", "failed")
    again = run("redeliver", delivered.id)
    recovered = run("recover", endpoint.id, "--since", "2026-01-01")

    assert failed.id in listed.stdout
    assert delivered.id not in listed.stdout
    assert (again.returncode, recovered.stdout) == (0, "1 deliveries are sent again\n")
    assert [found.status for each in (failed, delivered) if (found := store.get(each.id))] == [DeliveryStatus.PENDING] * 2


def test_a_disabled_webhook_says_by_whom(run: Run, database: Database) -> None:
    endpoint = an_endpoint(owner="user:ada")
    EndpointStore(database).insert(endpoint)

    run("disable", endpoint.id)

    found = EndpointStore(database).get(endpoint.id)
    assert found
    assert (found.status, found.disabled_reason) == (EndpointStatus.DISABLED, "disabled by the operator")


@pytest.mark.parametrize(
    "command", [["deliveries", "x"], ["redeliver", "msg_x"], ["recover", "x", "--since", "2026-01-01"], ["disable", "x"]]
)
def test_what_there_is_not_is_said_in_one_line(run: Run, command: list[str]) -> None:
    refused = run(*command)

    assert refused.returncode == 2
    assert refused.stderr.startswith("No such ")
    assert len(refused.stderr.splitlines()) == 1
