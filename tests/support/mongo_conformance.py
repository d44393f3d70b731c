"""A database to try MongoDB's semantics on: of the embedded stand-in, and of the server MONGODB_URI names where it is set."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from tests.support.mongo_server import mongo_server

Records = Collection[dict[str, Any]]
TestDatabase = Database[dict[str, Any]]

EMBEDDED = "embedded"
TARGETS = [EMBEDDED, "real"] if os.environ.get("MONGODB_URI") else [EMBEDDED]


@contextmanager
def conformance_database(target: str, folder: Path) -> Iterator[TestDatabase]:
    """Connect to one of TARGETS and give a database of a name nobody else has, dropped at the end."""
    if target == EMBEDDED:
        with mongo_server(folder / "data") as server, _database(server.uri) as database:
            yield database
    else:
        with _database(os.environ["MONGODB_URI"]) as database:
            yield database


@contextmanager
def _database(uri: str) -> Iterator[TestDatabase]:
    client: MongoClient[dict[str, Any]] = MongoClient(uri, tz_aware=True)
    with client:
        name = f"test_conformance_{uuid.uuid4().hex[:12]}"
        yield client[name]
        client.drop_database(name)


@contextmanager
def fresh_collection(database: TestDatabase) -> Iterator[Records]:
    """Give an empty collection, dropped at the end."""
    collection = database[f"c_{uuid.uuid4().hex[:8]}"]
    yield collection
    collection.drop()
