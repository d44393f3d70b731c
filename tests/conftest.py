"""Fixtures for whoever talks to real servers. Each server starts when the first test asks for it, and ends with the run."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.fal_place import FalPlace, lead_fal_client_here
from tests.support.log_secrets import LogReader, listen_to

if TYPE_CHECKING:
    from redis import Redis

    from app.bootstrap import Services
    from app.stores.database import Database
    from tests.support.emulator import Emulator
    from tests.support.gateway import Gateway
    from tests.support.services import Backing

TESTS = Path(__file__).parent
SLOWEST_FIRST = ("faults", "acceptance", "browser", "integration", "tooling", "unit")
#: Files that take a process of its own most of a minute and more. Those that mostly wait stand between those that mostly compute, so that
#: the cores are never all asked at once and never all idle.
LONGEST = (
    "faults/test_many_machines.py",
    "acceptance/test_documents.py",
    "faults/test_stores_away.py",
    "browser/test_create.py",
    "faults/test_kills.py",
    "browser/test_gallery.py",
    "faults/test_cancel_races.py",
    "browser/test_look.py",
    "acceptance/test_crash.py",
    "browser/test_batches.py",
    "faults/test_strangers.py",
    "browser/test_operator.py",
    "faults/test_slow_mends.py",
    "acceptance/test_installed_package.py",
    "faults/test_sentinel.py",
    "acceptance/test_schemathesis.py",
    "tooling/test_any_pip.py",
    "faults/test_fal_troubles.py",
    "integration/test_fal_anything.py",
)
PLACE = pytest.StashKey[FalPlace]()
LOGS = pytest.StashKey[LogReader]()


def pytest_sessionfinish() -> None:
    """Keep the run's last line pytest's own: listening threads of services under test would go on telling that Redis is gone."""
    logging.disable(logging.CRITICAL)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[PLACE] = lead_fal_client_here()
    config.stash[LOGS] = LogReader()
    listen_to(config.stash[LOGS])


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[PLACE].tls_dir, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes share the tests, give out first what takes longest: the end waits for the slowest."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: _place_in_line(item.path))


def _place_in_line(path: Path) -> tuple[int, int]:
    file = path.relative_to(TESTS)
    return (
        LONGEST.index(file.as_posix()) if file.as_posix() in LONGEST else len(LONGEST),
        SLOWEST_FIRST.index(file.parts[0]),
    )


@pytest.fixture(scope="session", autouse=True)
def _no_secret_in_any_log(pytestconfig: pytest.Config) -> Iterator[None]:
    """Fail where a log of this process' services holds a secret. Made first, it ends last: when all services have ended."""
    yield
    assert pytestconfig.stash[LOGS].found == []


@pytest.fixture(scope="session")
def fal_place(pytestconfig: pytest.Config) -> FalPlace:
    return pytestconfig.stash[PLACE]


@pytest.fixture(scope="session")
def backing() -> Iterator[Backing]:
    """MongoDB and Redis."""
    from tests.support.services import running_backing

    with running_backing() as servers:
        yield servers


@pytest.fixture(scope="session")
def running_fal(fal_place: FalPlace) -> Iterator[Emulator]:
    from tests.support.services import emulator_at

    with emulator_at(fal_place) as emulator:
        yield emulator


@pytest.fixture
def fal_emulator(running_fal: Emulator) -> Emulator:
    """The emulator that this process' fal-client talks to, with nothing seen and no failure ordered."""
    running_fal.reset()
    return running_fal


@pytest.fixture
def database(backing: Backing) -> Iterator[Database]:
    """An empty database with the service's indexes."""
    from app.stores.indexes import ensure_indexes
    from tests.support.services import fresh_database

    with fresh_database(backing) as fresh:
        ensure_indexes(fresh)
        yield fresh


@pytest.fixture(scope="session")
def redis_connection(backing: Backing) -> Iterator[Redis]:
    from app.clients.redis import connect_redis

    connection = connect_redis(backing.redis_url)
    yield connection
    connection.connection_pool.disconnect()


@pytest.fixture
def redis(redis_connection: Redis) -> Redis:
    """An empty Redis."""
    redis_connection.flushall()
    return redis_connection


@pytest.fixture(scope="session")
def wired(backing: Backing, fal_place: FalPlace) -> Iterator[Services]:
    from tests.support.services import running_services

    with running_services(backing, fal_place) as built:
        yield built


@pytest.fixture
def services(wired: Services, redis: Redis, fal_emulator: Emulator) -> Services:
    """The whole service in this process, without worker processes: stores, Redis and fal are empty."""
    from app.stores.indexes import ensure_indexes

    wired.database.client.drop_database(wired.database.name)
    ensure_indexes(wired.database)
    return wired


@pytest.fixture
def gateway(services: Services, fal_emulator: Emulator) -> Gateway:
    """The same, in the hands of a test that plays worker and sweep."""
    from tests.support.gateway import Gateway

    return Gateway(services, fal_emulator)
