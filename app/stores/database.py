"""The connection, the collections' names and indexes in one place, and the driver's errors made ours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, TypeVar

import bson
from pymongo import ASCENDING, DESCENDING, IndexModel, MongoClient
from pymongo.database import Database as MongoDatabase
from pymongo.errors import PyMongoError

from app.errors import StoreUnavailable

Document = dict[str, Any]
Database = MongoDatabase[Document]

INT64 = range(-(2**63), 2**63)

INDEXES: Mapping[str, list[IndexModel]] = {
    "jobs": [
        IndexModel([("orderKey", ASCENDING)], unique=True),
        IndexModel([("userId", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("userId", ASCENDING), ("status", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("userId", ASCENDING), ("model", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("userId", ASCENDING), ("projectId", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("batchId", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("projectId", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("model", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("status", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("batchSlot", ASCENDING)]),
        IndexModel([("attentionAt", ASCENDING)]),
        IndexModel([("requests.requestId", ASCENDING)]),
    ],
    "batches": [
        IndexModel([("orderKey", ASCENDING)], unique=True),
        IndexModel([("attentionAt", ASCENDING)]),
        IndexModel([("state", ASCENDING), ("turnAt", ASCENDING)]),
        IndexModel([("userId", ASCENDING), ("state", ASCENDING)]),
    ],
    "budgets": [IndexModel([("holdsAt", ASCENDING)])],
    "accounts": [
        IndexModel([("login", ASCENDING)], unique=True),
        IndexModel([("outboxAt", ASCENDING)]),
        IndexModel([("holdsAt", ASCENDING)]),
    ],
    "ledger": [
        IndexModel([("userId", ASCENDING), ("sortId", DESCENDING)]),
        IndexModel([("userId", ASCENDING), ("type", ASCENDING), ("sortId", DESCENDING)]),
    ],
    "uploads": [
        IndexModel([("key", ASCENDING)], unique=True),
        IndexModel([("userId", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("userId", ASCENDING), ("purpose", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("state", ASCENDING), ("changedAt", ASCENDING)]),
    ],
    "usageDays": [IndexModel([("userId", ASCENDING), ("_id", ASCENDING)])],
}


def connect(uri: str, *, pool: int = 100, timeout_s: float = 5.0) -> Database:
    """Return the database the URI names. Opens nothing yet: the driver connects at the first call."""
    client: MongoClient[Document] = MongoClient(
        uri,
        tz_aware=True,
        tzinfo=UTC,
        maxPoolSize=pool,
        serverSelectionTimeoutMS=int(timeout_s * 1000),
        connectTimeoutMS=int(timeout_s * 1000),
        socketTimeoutMS=30_000,
        appname="imagegw",
    )
    return client.get_default_database()


def ensure_indexes(database: Database) -> None:
    """Create what is missing; safe to repeat and to race. Raises StoreUnavailable."""
    try:
        for collection, models in INDEXES.items():
            database[collection].create_indexes(models)
    except PyMongoError as exc:
        raise StoreUnavailable("The database does not answer") from exc


def ping(database: Database) -> None:
    """Raise StoreUnavailable if the store does not answer."""
    try:
        database.command("ping")
    except PyMongoError as exc:
        raise StoreUnavailable("The database does not answer") from exc


def storable(value: Any) -> Any:
    """Return a copy BSON can hold: integers beyond 64 bits (fal's seeds) become strings. Source: samples on fal.ai/models, read 2026-10."""
    if isinstance(value, dict):
        return {key: storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value not in INT64:
        return str(value)
    return value


F = TypeVar("F", bound=Callable[..., Any])


def translating(method: F) -> F:
    """Turn the driver's errors into StoreUnavailable; the cause stays in the log, not in the answer."""

    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except (PyMongoError, bson.errors.BSONError) as exc:
            raise StoreUnavailable("The database does not answer; try again") from exc

    return wrapper  # type: ignore[return-value]


C = TypeVar("C", bound=type)


def store(cls: C) -> C:
    """Class decorator: every public method translates the driver's errors."""
    for name, member in list(vars(cls).items()):
        if callable(member) and not name.startswith("_"):
            setattr(cls, name, translating(member))
    return cls
