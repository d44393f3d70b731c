"""A long history: one real finished job, copied under new ids over a year. Written straight into the store, which a client could not do."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import MongoClient

from scripts.benchmarks.orders import FLUX_PRO
from scripts.benchmarks.source import Source
from scripts.development.stack import Stack

CHUNK = 2000
START = datetime(2025, 1, 1, tzinfo=UTC)


@contextlib.contextmanager
def database_of_its_own(server: str | None) -> Iterator[dict[str, str]]:
    """Yield the setting that names a fresh database on a real server, which is dropped in the end; nothing where none is named."""
    if server is None:
        yield {}
        return
    name = f"test_bench_{uuid.uuid4().hex[:12]}"
    parts = urllib.parse.urlsplit(server)
    try:
        yield {"MONGODB_URI": urllib.parse.urlunsplit(parts._replace(path=f"/{name}"))}
    finally:
        client: MongoClient[dict[str, Any]] = MongoClient(server)
        with client:
            client.drop_database(name)


def seed(stack: Stack, load: Source, *, user_id: str, count: int) -> datetime:
    """Give a user so many jobs; return when the thirtieth of them was made: near the end of the list, newest first."""
    job_id = json.loads(load.ask(**FLUX_PRO.gateway(stack), count=1).require("201").first_body)["jobId"]
    client: MongoClient[dict[str, Any]] = MongoClient(stack.mongo_uri)
    with client:
        jobs = client.get_default_database()["jobs"]
        pattern = jobs.find_one({"_id": job_id})
        if pattern is None:
            raise RuntimeError("the pattern job is gone")
        step = timedelta(days=365) / count
        chunk: list[dict[str, Any]] = []
        for document in _copies(pattern, user_id, count, step):
            chunk.append(document)
            if len(chunk) == CHUNK:
                jobs.insert_many(chunk, ordered=False)
                chunk = []
        if chunk:
            jobs.insert_many(chunk, ordered=False)
    return START + 30 * step


def _copies(pattern: dict[str, Any], user_id: str, count: int, step: timedelta) -> Iterator[dict[str, Any]]:
    for number in range(count):
        moment = START + number * step
        job_id = _id_at(moment)
        yield {**pattern, "_id": job_id, "orderKey": job_id, "userId": user_id, "createdAt": moment, "requests": []}


def _id_at(moment: datetime) -> str:
    """Return a UUIDv7 (RFC 9562) of a past time."""
    digits = f"{int(moment.timestamp() * 1000):012x}"
    rest = uuid.uuid4().hex
    return f"{digits[:8]}-{digits[8:]}-7{rest[:3]}-8{rest[3:6]}-{rest[6:18]}"


def get(url: str) -> bytes:
    """Fetch a page of the gateway."""
    with urllib.request.urlopen(url, timeout=120) as answer:  # noqa: S310 - our own http
        body: bytes = answer.read()
        return body
