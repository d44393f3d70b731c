"""A collection to try MongoDB's semantics on: of the embedded stand-in, and of a real server where MONGODB_URI names one."""

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from tests.support.mongo_server import mongo_server

Records = Collection[dict[str, Any]]


@pytest.fixture(scope="module", params=["embedded", "real"][: 2 if os.environ.get("MONGODB_URI") else 1])
def mongo_client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoClient[Any]]:
    if request.param == "embedded":
        with (
            mongo_server(tmp_path_factory.mktemp("mongo") / "data") as server,
            MongoClient(server.uri, tz_aware=True) as client,
        ):
            yield client
        return
    with MongoClient(os.environ["MONGODB_URI"], tz_aware=True) as client:
        yield client


@pytest.fixture(scope="module")
def mongo_database(mongo_client: MongoClient[Any]) -> Iterator[Database[dict[str, Any]]]:
    name = f"test_conformance_{uuid.uuid4().hex[:12]}"
    yield mongo_client[name]
    mongo_client.drop_database(name)


@pytest.fixture
def collection(mongo_database: Database[dict[str, Any]]) -> Iterator[Records]:
    fresh = mongo_database[f"c_{uuid.uuid4().hex[:8]}"]
    yield fresh
    fresh.drop()
