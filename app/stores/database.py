"""The connection, and the driver's errors made ours."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import bson
from pymongo import MongoClient
from pymongo.collection import Collection as MongoCollection
from pymongo.database import Database as MongoDatabase
from pymongo.errors import PyMongoError
from pymongo.uri_parser import split_options

from app.config import BadSettings
from app.domain import clock
from app.domain.errors import StoreUnavailable

Document = dict[str, Any]
Database = MongoDatabase[Document]
Collection = MongoCollection[Document]

INT64 = range(-(2**63), 2**63)


def connect(uri: str, *, timeout_s: float = 5.0) -> Database:
    """Return the database the URI names, changed only with the consent of a majority's journals and read from the primary.

    Opens nothing and resolves nothing: the driver does at the first call, and again until it can. What the URI says of timeouts and of the
    pool stands, else ours. Raises BadSettings for a URI that the driver does not take.
    """
    defaults: dict[str, Any] = {
        "maxPoolSize": 100,
        "serverSelectionTimeoutMS": int(timeout_s * 1000),
        "connectTimeoutMS": int(timeout_s * 1000),
        "socketTimeoutMS": 30_000,
        "retryWrites": True,
        "appname": "imagegw",
    }
    try:
        options = split_options(query, validate=True, warn=False) if (query := uri.partition("?")[2]) else {}
        said = {name.lower() for name in options}
        client: MongoClient[Document] = MongoClient(
            uri,
            connect=False,
            tz_aware=True,
            tzinfo=UTC,
            w="majority",
            journal=True,
            readPreference="primary",
            **{name: value for name, value in defaults.items() if name.lower() not in said},
        )
        return client.get_default_database()
    except (PyMongoError, ValueError, TypeError) as exc:
        raise BadSettings([f"MONGODB_URI: the driver does not take it{_why(exc, uri)}; see docs/stores.md"]) from exc


def _why(exc: Exception, uri: str) -> str:
    """Return the driver's own words, unless they repeat a part of the credentials."""
    secrets = re.split(r"[:@/?&=]", uri.partition("://")[2].rpartition("@")[0])
    return "" if any(secret and secret in str(exc) for secret in secrets) else f": {exc}"


def ping(database: Database) -> None:
    """Raise StoreUnavailable if the store does not answer."""
    try:
        database.command("ping")
    except PyMongoError as exc:
        raise StoreUnavailable("The database does not answer") from exc


@dataclass(frozen=True)
class ServerFacts:
    """What a server says of itself; `replica_set` is the name of its set, None without one."""

    version: str
    replica_set: str | None
    now: datetime


def server_facts(database: Database) -> ServerFacts:
    """Ask a server for its kind and its clock. Raises StoreUnavailable."""
    try:
        hello, build = database.command("hello"), database.command("buildInfo")
    except PyMongoError as exc:
        raise StoreUnavailable("The database does not answer") from exc
    now = hello.get("localTime", clock.now())  # A command's answer has times without a zone; they are UTC.
    return ServerFacts(str(build.get("version", "?")), hello.get("setName"), now.replace(tzinfo=UTC))


def storable(value: Any) -> Any:
    """Return a copy BSON can hold: integers beyond 64 bits (fal's seeds) become strings. Source: samples on fal.ai/models, read 2026-10."""
    if isinstance(value, dict):
        return {key: storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value not in INT64:
        return str(value)
    return value


def sayable(value: Any) -> Any:
    """Return a copy that JSON can say: null for infinities and NaN, which orders once could hold."""
    if isinstance(value, dict):
        return {key: sayable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [sayable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
