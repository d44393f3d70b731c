"""A database is trusted with orders once it has proven itself and has its unique indexes; until then none is taken, and all is said."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import IndexModel

from app.domain.errors import StoreNotReady, StoreRefused, StoreUnavailable
from app.stores.database import Database, connect
from app.stores.indexes import INDEXES, ensure_indexes
from app.stores.proof import prove
from app.stores.readiness import Readiness
from scripts.stack.ports import free_port
from tests.support.fal_calls import wait_until
from tests.support.services import Backing, fresh_database
from tests.support.strange_mongo import Meddle, Message, StrangeMongo, strange_mongo

ROOT = Path(__file__).resolve().parents[2]
ITEM = {"model": "flux-dev", "inputs": {"prompt": "a red bicycle"}}
BODY = {**ITEM, "userId": "user-1", "async": True}


@pytest.fixture
def bare(backing: Backing) -> Iterator[Database]:
    """A database without any index."""
    with fresh_database(backing) as database:
        yield database


@pytest.fixture
def strange(tmp_path: Path) -> Iterator[StrangeMongo]:
    with strange_mongo(tmp_path / "mongo") as server:
        yield server


def twins(database: Database) -> None:
    """Put two jobs with one order key where nothing keeps them apart."""
    database["jobs"].insert_many([{"_id": name, "orderKey": "k"} for name in ("a", "b")])


def definitions(database: Database) -> dict[str, dict[str, bool]]:
    return {
        name: {index["name"]: bool(index.get("unique")) for index in database[name].list_indexes() if index["name"] != "_id_"}
        for name in INDEXES
    }


def wanted() -> dict[str, dict[str, bool]]:
    return {name: {str(m.document["name"]): bool(m.document.get("unique")) for m in models} for name, models in INDEXES.items()}


# -- the indexes --------------------------------------------------------------------------------------------------------------------


def test_an_index_that_cannot_be_built_stops_no_other_and_is_named_with_the_reason(
    bare: Database, caplog: pytest.LogCaptureFixture
) -> None:
    twins(bare)
    readiness = Readiness(bare)

    with pytest.raises(StoreNotReady, match=r"jobs\.orderKey_1"):
        readiness.look()

    expected = wanted()
    del expected["jobs"]["orderKey_1"]
    (told,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert definitions(bare) == expected
    assert (vars(told)["collection"], vars(told)["index"], "E11000" in told.getMessage()) == ("jobs", "orderKey_1", True)


def test_it_is_told_of_once_and_its_mending_is_noticed_by_the_next_that_asks(bare: Database, caplog: pytest.LogCaptureFixture) -> None:
    twins(bare)
    readiness = Readiness(bare)
    for _ in range(3):
        with pytest.raises(StoreNotReady):
            readiness.look()

    bare["jobs"].delete_one({"_id": "b"})
    wait_until(lambda: not _problem(readiness))

    assert len([record for record in caplog.records if record.levelno == logging.CRITICAL]) == 1
    assert definitions(bare) == wanted()


def _problem(readiness: Readiness) -> bool:
    try:
        readiness.require()
    except StoreUnavailable:
        return True
    return False


@pytest.mark.parametrize(
    "old",
    [
        IndexModel([("orderKey", 1)]),
        IndexModel([("orderKey", 1)], unique=True, sparse=True),
        IndexModel([("orderKey", 1)], name="by_hand"),
        IndexModel([("orderKey", -1)], name="orderKey_1", unique=True),
    ],
)
def test_an_index_whose_definition_has_changed_is_built_anew(bare: Database, old: IndexModel) -> None:
    bare["jobs"].create_indexes([old])

    missing = ensure_indexes(bare)

    assert missing == []
    assert definitions(bare) == wanted()


def test_the_same_index_under_another_name_will_do(bare: Database) -> None:
    bare["jobs"].create_indexes([IndexModel([("orderKey", 1)], name="by_hand", unique=True)])

    missing = ensure_indexes(bare)

    assert missing == []
    assert definitions(bare)["jobs"]["by_hand"]


def test_an_index_that_cannot_be_migrated_is_put_back_as_it_was(bare: Database) -> None:
    bare["jobs"].create_indexes([IndexModel([("orderKey", 1)])])
    twins(bare)

    missing = ensure_indexes(bare)

    assert [(index.name, index.is_unique) for index in missing] == [("orderKey_1", True)]
    assert definitions(bare)["jobs"]["orderKey_1"] is False


def test_processes_that_migrate_at_once_leave_the_new_index(bare: Database) -> None:
    bare["jobs"].create_indexes([IndexModel([("orderKey", 1)])])

    with ThreadPoolExecutor(4) as pool:
        found = [future.result() for future in [pool.submit(ensure_indexes, bare) for _ in range(4)]]

    assert [] in found
    assert {index.reason for missing in found for index in missing} <= {"another process is building it"}
    assert definitions(bare) == wanted()


def test_an_outage_is_no_verdict_and_those_who_wait_for_one_look_do_not_look_again(strange: StrangeMongo) -> None:
    strange.meddle = lambda _command, _carry_out: None
    database = connect(strange.uri(serverSelectionTimeoutMS=400, socketTimeoutMS=300, connectTimeoutMS=300))
    readiness = Readiness(database)

    with database.client, ThreadPoolExecutor(8) as pool:
        asked = [future.exception() for future in [pool.submit(readiness.require) for _ in range(8)]]

    assert {type(error) for error in asked} == {StoreUnavailable}
    assert len({id(error.__cause__) for error in asked if error and error.__cause__}) <= 2


# -- orders -------------------------------------------------------------------------------------------------------------------------


def test_without_a_unique_index_no_order_is_taken_and_after_the_repair_orders_are_taken_again(
    bare: Database, backing: Backing, tmp_path: Path
) -> None:
    twins(bare)
    port = free_port()
    env = environment(tmp_path, backing.database_uri(bare.name), backing.redis_url, PORT=str(port), ALLOW_ANONYMOUS="true")

    with running("app", env), httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        wait_until(lambda: _answers(client), seconds=60)
        unready = client.get("/readyz")
        refused = _twelve(client)
        others = [
            client.post("/api/auth/register", json={"email": "ada@example.com", "password": "long enough"}),
            client.post("/api/images/batch", json={"items": [ITEM], "userId": "user-1"}),
        ]
        none = bare["jobs"].count_documents({}), bare["accounts"].count_documents({})
        bare["jobs"].delete_one({"_id": "b"})
        wait_until(lambda: client.get("/readyz").status_code == 200, seconds=60)
        taken = _twelve(client)

    assert (unready.status_code, "jobs.orderKey_1" in unready.json()["checks"]["mongo"]) == (503, True)
    assert {(answer.status_code, answer.json()["code"]) for answer in [*refused, *others]} == {(503, "store_not_ready")}
    assert none == (2, 0)
    assert {answer.status_code for answer in taken} == {202}
    assert len({answer.json()["jobId"] for answer in taken}) == 1


def environment(folder: Path, mongodb_uri: str, redis_url: str, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "MONGODB_URI": mongodb_uri,
        "REDIS_URL": redis_url,
        "STORAGE_URL": folder.as_uri(),
        "FAL_KEY": "an-id:a-secret",
        "JWT_SECRET": "x" * 40,
        **more,
    }


@contextlib.contextmanager
def running(module: str, env: dict[str, str]) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-m", module], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def test_a_name_that_cannot_be_resolved_at_the_start_is_waited_for(backing: Backing, tmp_path: Path) -> None:
    port = free_port()
    uri = "mongodb+srv://ada:secret@cluster.invalid/imagegw?connectTimeoutMS=500&serverSelectionTimeoutMS=500"
    env = environment(tmp_path, uri, backing.redis_url, PORT=str(port), ALLOW_ANONYMOUS="true")

    with running("app", env), httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        wait_until(lambda: _answers(client), seconds=60)
        ready = client.get("/readyz")
        order = client.post("/api/images/generate", json=BODY)

    assert (ready.status_code, ready.json()["checks"]["mongo"]) == (503, "The database does not answer")
    assert (order.status_code, order.json()["code"]) == (503, "store_unavailable")


def _twelve(client: httpx.Client) -> list[httpx.Response]:
    def order(_number: int) -> httpx.Response:
        return client.post("/api/images/generate", json=BODY, headers={"Idempotency-Key": "k-1"})

    with ThreadPoolExecutor(12) as pool:
        return list(pool.map(order, range(12)))


# -- the proof ----------------------------------------------------------------------------------------------------------------------


def both_win(command: Message, carry_out: Callable[[], Message]) -> Message:
    """Answer every change as if it had been the one."""
    answer = carry_out()
    return {**answer, "n": 1, "nModified": 1} if "update" in command else answer


def called(**info: Any) -> Meddle:
    def meddle(command: Message, carry_out: Callable[[], Message]) -> Message:
        return {**carry_out(), **info} if "buildInfo" in command else carry_out()

    return meddle


LIARS = {
    "two winners": (
        both_win,
        "A server that answers as MongoDB 7.0.0 cannot be used: of two simultaneous changes of one document both won",
    ),
    "FerretDB 1": (called(ferretdbVersion="v1.24.0"), "FerretDB v1.24.0 cannot be used"),
    "FerretDB 2": (called(ferretdb={"version": "v2.1.0"}), "FerretDB v2.1.0 cannot be used"),
}


@pytest.mark.parametrize("liar", LIARS)
def test_a_server_that_does_not_keep_its_word_is_refused_by_name(strange: StrangeMongo, liar: str) -> None:
    strange.meddle, told = LIARS[liar]
    database = connect(strange.uri())

    with database.client, pytest.raises(StoreRefused) as refused:
        Readiness(database).look()

    assert told in refused.value.message


def test_a_server_that_keeps_its_word_is_proven_and_nothing_is_left_behind(bare: Database) -> None:
    prove(bare)

    assert bare["selfTests"].count_documents({}) == 0


@pytest.mark.parametrize("module", ["app", "workers", "workers.watcher"])
def test_no_process_works_on_a_server_that_does_not_keep_its_word(
    module: str, strange: StrangeMongo, backing: Backing, tmp_path: Path
) -> None:
    strange.meddle = both_win
    env = environment(tmp_path, strange.uri(), backing.redis_url, WORKERS="1", PORT="0")

    done = subprocess.run([sys.executable, "-m", module], env=env, capture_output=True, text=True, timeout=90, check=False)

    assert done.returncode == 2, done.stdout + done.stderr
    assert "both won" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
