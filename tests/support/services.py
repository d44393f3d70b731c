"""The servers that integration tests talk to, started once for a whole run, and the service's own parts wired to them."""

from __future__ import annotations

import contextlib
import copy
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.bootstrap import Services
from app.config import Settings
from app.stores.database import Database, connect
from scripts.stack.stack import Stack
from tests.support.emulator import Emulator, running_emulator
from tests.support.fal_place import FalPlace

SUBMIT_SECONDS = "0.03"


@dataclass(frozen=True)
class Backing:
    """A MongoDB and a Redis; database names begin with `test_`."""

    mongodb_uri: str
    redis_url: str

    def database_uri(self, name: str) -> str:
        """Return the server's URI with another database in it. Raises ValueError for a name that is no test's."""
        if not name.startswith("test_"):
            raise ValueError(f"{name!r} is not a test database")
        return urlsplit(self.mongodb_uri)._replace(path=f"/{name}").geturl()


@contextlib.contextmanager
def running_backing() -> Iterator[Backing]:
    """Start a Redis, and a MongoDB unless MONGODB_URI names one; both end with the block, or with this process."""
    env = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    with Stack(env=env, processes=(), backing=("mongo", "redis"), quiet=True, database="test_imagegw") as stack:
        yield Backing(stack.mongo_uri, stack.redis_url)


@contextlib.contextmanager
def emulator_at(place: FalPlace) -> Iterator[Emulator]:
    """Start the emulator where this process' fal-client expects fal."""
    options = ("--port", str(place.port), "--seconds", SUBMIT_SECONDS, "--queue-seconds", "0")
    with running_emulator(place.tls_dir, *options) as emulator:
        yield emulator


@contextlib.contextmanager
def fresh_database(backing: Backing) -> Iterator[Database]:
    """Give a database nobody else has, dropped at the end."""
    database = connect(backing.database_uri(f"test_{uuid.uuid4().hex[:12]}"))
    with database.client as client:
        yield database
        client.drop_database(database.name)


@contextlib.contextmanager
def running_services(backing: Backing, place: FalPlace) -> Iterator[Services]:
    """Wire the whole service in this process, as a worker has it, on a database and a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="imagegw-storage-") as folder, tempfile.TemporaryDirectory(prefix="imagegw-receipts-") as kept:
        services = Services(
            Settings(
                mongodb_uri=backing.database_uri(f"test_{uuid.uuid4().hex[:12]}"),
                redis_url=backing.redis_url,
                storage_url=Path(folder).as_uri(),
                receipts_dir=Path(kept),
                fal_key="test-id:test-secret",
                fal_hosts=frozenset({place.host}),
                jwt_secret="x" * 32,
                secrets_key="k" * 32,
            )
        )
        try:
            yield services
        finally:
            services.database.client.drop_database(services.database.name)
            services.close()


def with_parts(services: Services, **parts: Any) -> Services:
    """Return the services with some replaced; all others are the same, and still hold each other."""
    for name in vars(type(services)):
        getattr(services, name)  # Whatever is built later would hold the new ones.
    changed = copy.copy(services)
    vars(changed).update(parts)
    return changed
