"""A database to try MongoDB's semantics on: of the embedded server, and of the one MONGODB_URI names where it is set."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from tests.tooling.embedded_mongo.support import AnyDatabase, Records, mongo_server

EMBEDDED = "embedded"
TARGETS = [EMBEDDED, "real"] if os.environ.get("MONGODB_URI") else [EMBEDDED]


@pytest.fixture(scope="session")
def embedded_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an embedded server that all tests share which neither kill it nor look at its files."""
    with mongo_server(tmp_path_factory.mktemp("mongo") / "data") as server:
        yield server.uri


@pytest.fixture(scope="session", params=TARGETS)
def database(request: pytest.FixtureRequest) -> Iterator[AnyDatabase]:
    """A database of a name nobody else has, dropped at the end."""
    uri = request.getfixturevalue("embedded_uri") if request.param == EMBEDDED else os.environ["MONGODB_URI"]
    client: MongoClient[dict[str, Any]] = MongoClient(uri, tz_aware=True)
    with client:
        name = f"test_conformance_{uuid.uuid4().hex[:12]}"
        yield client[name]
        client.drop_database(name)


@pytest.fixture
def records(database: AnyDatabase) -> Iterator[Records]:
    """An empty collection, dropped at the end."""
    collection = database[f"c_{uuid.uuid4().hex[:8]}"]
    yield collection
    collection.drop()
