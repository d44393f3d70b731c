"""What operators look at, with many jobs and users behind it: no call may take long, however many there are."""

import itertools
import json
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from pymongo import MongoClient
from pymongo.database import Database

from scripts.benchmarks.bench import FLUX_PRO, Bench
from scripts.benchmarks.machine import cpu_ms
from scripts.benchmarks.source import BenchmarkError
from scripts.benchmarks.tables import Figure, Table

FULL, QUICK = (100_000, 5_000), (10_000, 500)
#: The jobs are of so many days up to now, so that this month has its share.
DAYS = 60
#: Each hundredth job has failed, each thousandth was dear.
FAILS, DEAR = 100, 1000
DEAR_MICROS = 2_500_000
CALLS, CHUNK = 20, 2000
AT_MOST_MS = 200
MODELS = ("flux-pro", "flux-dev", "nano-banana", "imagen")
KEYS, PROJECTS = 50, 200

#: What the watcher counts piece by piece, each piece safe from crashes, here is counted at once.
SUM_UP = """
import os
from collections import defaultdict

from pymongo import MongoClient, UpdateOne

from app.stores.spend import _changes, _entry

database = MongoClient(os.environ["MONGODB_URI"], tz_aware=True).get_default_database()
changes = _changes(map(_entry, database["usage"].find()), defaultdict(set))
updates = [UpdateOne({"_id": doc_id}, {**change, "$setOnInsert": {"plan": 0}}, upsert=True) for doc_id, change in changes.items()]
for start in range(0, len(updates), 50):
    database["spendDays"].bulk_write(updates[start : start + 50], ordered=False)
"""

Document = dict[str, Any]


def run(bench: Bench) -> Sequence[Table]:
    count, users = QUICK if bench.quick else FULL
    began = time.perf_counter()
    sample = _seed(bench, count, users)
    seeded_s = time.perf_counter() - began
    headers = {"Authorization": f"Bearer {_admin_key(bench)}"}
    took: list[Figure] = []
    spent: list[Figure] = []
    for name, call in _calls(sample).items():
        with cpu_ms(bench.stack) as cpu:
            took.append(Figure.of(name, _ms(bench, headers, *call), "ms", at_most=AT_MOST_MS))
        spent.append(Figure.of(name, [(cpu["web"] + cpu["mongo"]) / CALLS], "ms", at_most=AT_MOST_MS))
    text = (
        f"{count:,} jobs of {users:,} users over {DAYS} days, each hundredth failed, on the embedded database; {CALLS} calls of each "
        f"through HTTP, one at a time. The watcher is stopped meanwhile. To write what is behind it took {seeded_s:.0f} s."
    )
    of_cpu = "CPU of web and database together, the mean of the same calls: what a call takes where nothing else runs."
    return [Table("Operator", text, took), Table("Operator, CPU", of_cpu, spent)]


def _calls(sample: Document) -> dict[str, tuple[str, str, Document | None]]:
    """Return what is asked for: method, path, body."""

    def found(**query: str) -> tuple[str, str, None]:
        return "GET", f"/api/admin/jobs?{urlencode({'limit': '50', **query})}", None

    def asked(path: str, **query: str) -> tuple[str, str, None]:
        return "GET", f"/api/admin/{path}?{urlencode(query)}", None

    return {
        "jobs, first page": found(),
        "jobs with their number": found(count="true"),
        "jobs of an address": found(q=f"user:{sample['email']}"),
        "jobs by code": found(q="code:content_policy_violation"),
        "jobs by code and model, with their number": found(q="code:content_policy_violation model:flux-dev", count="true"),
        "jobs by key": found(q=f"key:{sample['key']}"),
        "jobs by fal's id": found(q=f"fal:{sample['request']}"),
        "jobs by id": found(q=f"id:{sample['job']}"),
        "jobs that cost 1 USD": found(minCost="1"),
        "jobs that need attention": found(attention="true"),
        "jobs by words that few have": found(q="lighthouse"),
        "one job": asked(f"jobs/{sample['job']}"),
        "retry of 500, said": ("POST", "/api/admin/jobs/retry", {"ids": sample["failed"][:500]}),
        "users, first page": asked("users", limit="50"),
        "users by a part of the address": asked("users", q="er123"),
        "users by spend": asked("users", sort="spend", limit="50"),
        "users by balance": asked("users", sort="balance", limit="50"),
        "one user": asked(f"users/{sample['email']}"),
        "keys": asked("keys", limit="50"),
        "audit log": asked("audit", limit="50"),
        "status": asked("status"),
        "spend by user": asked("spend", groupBy="user"),
        "spend by model and day": asked("spend", groupBy="day,model"),
        "failures": asked("failures", groupBy="code,model"),
        "models": asked("models"),
    }


def _ms(bench: Bench, headers: dict[str, str], method: str, path: str, body: Document | None) -> list[float]:
    took = []
    for _ in range(CALLS):
        data = json.dumps(body).encode() if body is not None else None
        extra = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(bench.stack.base_url + path, data=data, headers={**headers, **extra}, method=method)  # noqa: S310
        began = time.perf_counter()
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own http
            answer.read()
        took.append(1000 * (time.perf_counter() - began))
    return took


def _admin_key(bench: Bench) -> str:
    command = [sys.executable, "-m", "app", "keys", "create", "--name", "bench", "--scope", "admin"]
    done = subprocess.run(command, env=bench.stack.env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


# -- what is behind it ----------------------------------------------------------------------------------------------------------------


def _seed(bench: Bench, count: int, users: int) -> Document:
    """Write jobs, users, keys and usage; return what one of them goes by. Copies of two real jobs, written straight into the store."""
    with MongoClient[Document](bench.stack.mongo_uri, tz_aware=True) as client:
        database = client.get_default_database()
        done, failed = _patterns(bench, database)
        bench.stack.kill("watcher")  # It would look for what is due all the time, for which the embedded database has no index.
        step, start = timedelta(days=DAYS) / count, datetime.now(UTC) - timedelta(days=DAYS)
        emails = [f"user{number}@example.com" for number in range(users)]
        ids = [_id_of(start + number * timedelta(days=DAYS) / users) for number in range(users)]
        _insert(database, "accounts", _accounts(ids, emails, start))
        keys = [uuid.uuid4().hex[:16] for _ in range(KEYS)]
        _insert(
            database, "apiKeys", ({"_id": key, "name": f"key {key}", "hash": "", "createdAt": start, "revokedAt": None} for key in keys)
        )
        jobs = [_job(failed if number % FAILS == 0 else done, number, start + number * step, ids, keys) for number in range(count)]
        _insert(database, "jobs", iter(jobs))
        _insert(database, "usage", (_record(job) for job in jobs))
        _insert(database, "usageDays", _days(jobs))
        subprocess.run([sys.executable, "-c", SUM_UP], env=bench.stack.env, check=True)
        return {
            "job": jobs[count // 2]["_id"],
            "request": jobs[count // 2]["requests"][0]["requestId"],
            "email": emails[users // 2],
            "key": keys[0],
            "failed": [job["_id"] for job in jobs if job["status"] == "failed"],
        }


def _patterns(bench: Bench, database: Database[Document]) -> tuple[Document, Document]:
    """Return a job that was delivered, and one that failed."""
    load = bench.source("load.py")
    load.ask(**bench.generate(FLUX_PRO), count=1).require("201")
    refused = {**FLUX_PRO.order, "inputs": {"prompt": "a bicycle [emulator: fail=content_policy]"}}
    load.ask(**bench.post("/api/images/generate", refused), count=1)
    found = [database["jobs"].find_one({"status": status}) for status in ("completed", "failed")]
    _wait_until(lambda: database["jobs"].find_one({"settlement": {"$in": ["none", "due"]}}) is None)
    done, failed = (database["jobs"].find_one({"_id": job["_id"]}) for job in found if job)
    if done is None or failed is None:
        raise BenchmarkError("the pattern jobs are gone")
    return done, failed


def _job(pattern: Document, number: int, at: datetime, users: list[str], keys: list[str]) -> Document:
    """Return the pattern as it would be had it been ordered then, by one of the users, with one of the keys."""
    job_id = _id_of(at)
    charged = DEAR_MICROS if number % DEAR == 1 else pattern["cost"]["chargedMicros"]
    prompt = "a lighthouse at dawn" if number % 5000 == 7 else f"a red bicycle, number {number}"
    requests = [{**request, "requestId": uuid.uuid4().hex} for request in pattern["requests"]]
    return {
        **pattern,
        "_id": job_id,
        "orderKey": job_id,
        "userId": users[number * 7919 % len(users)],
        "callerKey": keys[number % len(keys)] if number % 3 == 0 else None,
        "projectId": f"project-{number % PROJECTS}" if number % 2 else None,
        "model": MODELS[number % len(MODELS)],
        "config": {**pattern["config"], "inputs": {**pattern["config"]["inputs"], "prompt": prompt}},
        "cost": {**pattern["cost"], "chargedMicros": charged, "step": charged.bit_length()},
        "requests": requests,
        "createdAt": at,
        "updatedAt": at + timedelta(seconds=5),
        "completedAt": at + timedelta(seconds=5),
    }


def _record(job: Document) -> Document:
    """Return a job's usage record as its settlement writes it."""
    error = job["error"] or {}
    return {
        "_id": job["_id"],
        "userId": job["userId"],
        "model": job["model"],
        "status": job["status"],
        "images": len(job["images"]),
        "chargedMicros": job["cost"]["chargedMicros"],
        "tokens": 0,
        "priceId": job["quote"]["priceId"],
        "at": job["completedAt"],
        "keyId": job["callerKey"],
        "projectId": job["projectId"],
        "paidMicros": job["cost"]["chargedMicros"],
        "quotedMicros": job["cost"]["estimatedMicros"],
        "billedMicros": None,
        "code": error.get("code"),
        "shape": error.get("message"),
        "version": 1,
    }


def _days(jobs: Sequence[Document]) -> Iterator[Document]:
    """Yield the usage of each user, day and model."""
    sums: dict[tuple[str, str, str], dict[str, dict[str, int]]] = defaultdict(
        lambda: defaultdict(lambda: {"jobs": 0, "images": 0, "micros": 0})
    )
    for job in jobs:
        tally = sums[job["completedAt"].strftime("%Y-%m-%d"), job["userId"], job["model"]][job["status"]]
        tally["jobs"] += 1
        tally["images"] += len(job["images"])
        tally["micros"] += job["cost"]["chargedMicros"]
    for (day, user_id, model), tallies in sums.items():
        yield {"_id": f"{day}/{user_id}/{model}", "day": day, "userId": user_id, "model": model, "open": [], **tallies}


def _accounts(ids: list[str], emails: list[str], start: datetime) -> Iterator[Document]:
    for number, (user_id, email) in enumerate(zip(ids, emails, strict=True)):
        yield {
            "_id": user_id,
            "login": f"email:{email}",
            "email": email,
            "passwordHash": None,
            "role": "user",
            "tokens": number * 37 % 5000,
            "holds": {},
            "outbox": [],
            "outboxAt": None,
            "topups": [],
            "createdAt": start + number * timedelta(seconds=1),
        }


def _insert(database: Database[Document], collection: str, documents: Iterator[Document]) -> None:
    while chunk := list(itertools.islice(documents, CHUNK)):
        database[collection].insert_many(chunk, ordered=False)


def _id_of(moment: datetime) -> str:
    """Return a UUIDv7 (RFC 9562) of a time."""
    digits, rest = f"{int(moment.timestamp() * 1000):012x}", uuid.uuid4().hex
    return f"{digits[:8]}-{digits[8:]}-7{rest[:3]}-8{rest[3:6]}-{rest[6:18]}"


def _wait_until(is_done: Callable[[], bool], *, within_s: float = 120.0) -> None:
    give_up_at = time.monotonic() + within_s
    while not is_done():
        if time.monotonic() > give_up_at:
            raise BenchmarkError("the pattern jobs are not settled")
        time.sleep(0.5)
