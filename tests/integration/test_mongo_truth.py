"""What is written to MongoDB outlives an election: confirmed by a majority's journals, read from the primary, else not believed."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, monitoring

from app.config import BadSettings
from app.domain import clock
from app.domain.account import Account, Role, UserFilter
from app.domain.api_key import ApiKey
from app.domain.batch import Batch, BatchState
from app.domain.errors import EmailTaken, StoreUnavailable
from app.domain.job import SweepTimeouts
from app.domain.ledger import Entry, EntryType
from app.domain.tombstone import Reason, tombstone_of
from app.domain.usage import GroupBy, Period
from app.stores import database as databases
from app.stores.accounts import AccountStore, KeyStore
from app.stores.batches import BatchStore
from app.stores.budgets import BudgetStore
from app.stores.database import Database, Document, connect, ping
from app.stores.fal import DurationStore
from app.stores.indexes import ensure_indexes
from app.stores.jobs import BatchJobStore, JobFilter, JobStore
from app.stores.ledger import LedgerStore
from app.stores.steady_clock import SteadyClock
from app.stores.tombstones import Tombstones
from app.stores.uploads import UploadStore, UsedTicketStore
from app.stores.usage import UsageDayStore, UsageStore
from tests.support.factories import completed_job, make_job, make_upload
from tests.support.services import Backing, fresh_database
from tests.support.strange_mongo import NOT_CONFIRMED, Message, StrangeMongo, honest, strange_mongo

ROOT = Path(__file__).resolve().parents[2]
WRITES = {"insert", "update", "delete", "findAndModify", "createIndexes", "dropIndexes"}


@pytest.fixture
def strange(tmp_path: Path) -> Iterator[StrangeMongo]:
    with strange_mongo(tmp_path / "mongo") as server:
        yield server


def unconfirmed(strange: StrangeMongo, collection: str) -> None:
    """Have the server carry out writes to a collection, and tell that a majority has not confirmed them."""

    def meddle(command: Message, carry_out: Callable[[], Message]) -> Message:
        name = next(iter(command))
        extra = {"writeConcernError": NOT_CONFIRMED} if name in WRITES and command[name] == collection else {}
        return {**carry_out(), **extra}

    strange.meddle = meddle


def entry(entry_id: str = "e-1") -> Entry:
    return Entry(id=entry_id, user_id="user-1", type=EntryType.TOPUP, balance=5, held=0, job_id=None, notes="", at=clock.now())


def test_a_uris_own_timeouts_and_pool_stand_and_durability_does_not_ask(strange: StrangeMongo) -> None:
    client = connect(
        "mongodb://h/db?socketTimeoutMS=7000&MAXPOOLSIZE=7&serverSelectionTimeoutMS=900&retryWrites=false&wTimeoutMS=3000"
    ).client
    plain = connect("mongodb://h/db").client

    options = client.options
    assert (options.pool_options.socket_timeout, options.pool_options.max_pool_size, options.server_selection_timeout) == (7.0, 7, 0.9)
    assert (options.retry_writes, plain.options.retry_writes) == (False, True)
    assert client.write_concern.document == {"w": "majority", "j": True, "wtimeout": 3000}
    assert plain.write_concern.document == {"w": "majority", "j": True}


@pytest.mark.parametrize("option", ["madeUpOption=1", "tls=maybe", "ssl=true&tls=false", "authMechanism=guess", "maxPoolSize=many"])
def test_a_uri_that_only_the_driver_sees_through_is_a_bad_setting_and_tells_no_password(option: str) -> None:
    with pytest.raises(BadSettings) as refused:
        connect(f"mongodb://ada:s3cret@db/imagegw?{option}")

    assert "MONGODB_URI: the driver does not take it" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_name_that_cannot_be_resolved_yet_is_an_outage_and_not_the_end() -> None:
    database = connect("mongodb+srv://cluster.invalid/imagegw", timeout_s=0.5)

    with pytest.raises(StoreUnavailable):
        ping(database)


def test_an_entry_that_a_majority_has_not_confirmed_stays_in_the_outbox(strange: StrangeMongo) -> None:
    database = connect(strange.uri())
    database["accounts"].insert_one({"_id": "user-1", "tokens": 0, "holds": {}, "outbox": [], "outboxAt": None, "topups": []})
    ledger = LedgerStore(database)
    unconfirmed(strange, "ledger")

    with database.client:
        with pytest.raises(StoreUnavailable):
            ledger.topup(entry())
        left = database["accounts"].find_one({"_id": "user-1"})

        # The same where the entry is there already, by a copy that nobody has confirmed either.
        with pytest.raises(StoreUnavailable):
            ledger.drain(before=clock.now(), limit=1)
        still = database["accounts"].find_one({"_id": "user-1"})

        strange.meddle = honest
        ledger.drain(before=clock.now(), limit=1)
        done = database["accounts"].find_one({"_id": "user-1"})

    assert left is not None
    assert still is not None
    assert done is not None
    assert [[e["_id"] for e in account["outbox"]] for account in (left, still, done)] == [["e-1"], ["e-1"], []]


def test_a_picture_whose_record_is_not_confirmed_is_not_taken_for_recorded_though_it_is_there(strange: StrangeMongo) -> None:
    database = connect(strange.uri())
    uploads, upload = UploadStore(database), make_upload()
    unconfirmed(strange, "uploads")

    with database.client:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                uploads.insert(upload)


class Overheard(monitoring.CommandListener):
    """Every command that a client sends, whole."""

    def __init__(self) -> None:
        self.commands: list[Document] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.commands.append({"name": event.command_name, **event.command})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nobody asks."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nobody asks."""


def stores(database: Database) -> dict[str, Any]:
    return {
        "accounts": AccountStore(database),
        "ledger": LedgerStore(database),
        "jobs": JobStore(database, SweepTimeouts()),
        "batch_jobs": BatchJobStore(database, SweepTimeouts()),
        "batches": BatchStore(database),
        "budgets": BudgetStore(database),
        "durations": DurationStore(database),
        "keys": KeyStore(database),
        "steady_clock": SteadyClock(database),
        "tombstones": Tombstones(database),
        "uploads": UploadStore(database),
        "used_tickets": UsedTicketStore(database),
        "usage": UsageStore(database),
        "usage_days": UsageDayStore(database),
    }


def arguments() -> dict[str, Any]:
    """Return what any method of any store can be called with, by the names of their parameters."""
    now, job = clock.now(), completed_job()
    order = {"id": "batch-1", "user_id": "user-1", "job_ids": (job.id,), "waiting": (job.id,), "budgets": (), "quoted_micros": 1}
    made = Batch(**order, state=BatchState.OPEN, turn_at=now, created_at=now)  # type: ignore[arg-type]
    account = Account(id="user-1", login="email:a@example.com", email=None, role=Role.USER, tokens=100, created_at=now)
    times = dict.fromkeys(("now", "at", "before", "idle_since", "attention_at"), now)
    texts = dict.fromkeys(("id", "user_id", "upload_id", "budget_id", "key_id", "entry_id", "request_id", "order_key", "login"), "user-1")
    return {
        **times,
        **texts,
        "account": account,
        "password_hash": None,
        "opening": entry("e-0"),
        "entry": entry(),
        "entries": [entry("e-2")],
        "stone": tombstone_of(job, Reason.ASKED, now=now, attention_at=now),
        "moment": now,
        "since": now,
        "until": now,
        "after": None,
        "kind": None,
        "role": Role.USER,
        "last_id": "",
        "before_id": None,
        "after_id": None,
        "from_id": "",
        "limit": 5,
        "purpose": None,
        "job": job,
        "jobs": [make_job()],
        "job_id": job.id,
        "job_ids": [job.id],
        "wanted": JobFilter(user_id="user-1"),
        "batch": made,
        "batch_id": made.id,
        "state": BatchState.OPEN,
        "to": BatchState.OPEN,
        "evolve": lambda j: j.settled(now=now),
        "limit_micros": 5,
        "month": "2026-11",
        "amounts": {job.id: 1},
        "budget_ids": ["user-1"],
        "charged": 1,
        "held": 1,
        "model": "flux-dev",
        "seconds": [1.0],
        "key": ApiKey(id="k", name="n", created_at=now),
        "secret_hash": "x",
        "upload": make_upload(),
        "source_sha256": "x",
        "key_ids": ["k"],
        "counted_by": None,
        "mark": "m",
        "period": Period("2026-01-01"),
        "by": GroupBy.USER,
    }


def methods_of(store: object) -> list[str]:
    return [name for name, member in vars(type(store)).items() if callable(member) and not name.startswith("_")]


def call(method: Callable[..., Any], known: dict[str, Any]) -> None:
    """Call a method with what its parameters are called, else with something of their kind."""
    asked = {name: parameter for name, parameter in inspect.signature(method).parameters.items() if parameter.default is parameter.empty}
    kinds: dict[str, Any] = {"str": "x", "int": 1, "bool": True, "datetime": clock.now(), "Sequence[str]": ["x"], "Iterable[str]": ["x"]}
    values = {name: known[name] if name in known else kinds.get(str(parameter.annotation)) for name, parameter in asked.items()}
    with contextlib.suppress(StoreUnavailable, EmailTaken, KeyError):  # What a race or a missing document leads to is not asked here.
        method(**values)


def test_every_method_of_every_store_writes_to_a_majoritys_journals_and_reads_the_primary(
    backing: Backing, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, silent = Overheard(), set()
    monkeypatch.setattr(databases, "MongoClient", functools.partial(MongoClient, event_listeners=[heard]))

    with fresh_database(backing) as database:
        ensure_indexes(database)
        known = arguments()
        own: dict[str, dict[str, Any]] = {"uploads": {"name": "k"}, "accounts": {"wanted": UserFilter()}}
        # Twice, since a method may be called before the one that makes what it changes.
        for name, store in [*stores(database).items()] * 2:
            for method in methods_of(store):
                before = len(heard.commands)
                call(getattr(store, method), {**known, **own.get(name, {})})
                silent |= {f"{name}.{method}"} if len(heard.commands) == before else set()

    sent = [command for command in heard.commands if command["name"] not in {"endSessions", "dropDatabase"}]
    weak = [c for c in sent if c["name"] in WRITES and c.get("writeConcern") != {"w": "majority", "j": True}]
    elsewhere = [c for c in sent if c.get("$readPreference", {"mode": "primary"}) != {"mode": "primary"}]
    assert (weak, elsewhere, silent) == ([], [], set())
    assert {c["name"] for c in sent} >= {"insert", "update", "delete", "findAndModify", "find", "aggregate", "createIndexes"}


@pytest.mark.parametrize("module", ["app", "workers", "workers.watcher"])
def test_no_process_starts_with_an_address_that_its_driver_does_not_take(module: str, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "MONGODB_URI": "mongodb://ada:s3cret@127.0.0.1:1/imagegw?tls=maybe",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "STORAGE_URL": tmp_path.as_uri(),
        "FAL_KEY": "an-id:a-secret",
        "JWT_SECRET": "x" * 40,
    }

    done = subprocess.run([sys.executable, "-m", module], env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2, done.stderr
    assert "  MONGODB_URI: the driver does not take it" in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr
