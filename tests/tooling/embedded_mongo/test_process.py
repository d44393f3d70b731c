"""The embedded MongoDB as a process: what it acknowledged outlives `kill -9`, and garbage on its port harms nobody."""

import random
import socket
import struct
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError, PyMongoError

from scripts.embedded_mongo.storage import Engine
from tests.tooling.embedded_mongo.support import COMMAND, ROOT, MongoServer, mongo_server


def connect(server: MongoServer) -> MongoClient[dict[str, Any]]:
    return MongoClient(server.uri, tz_aware=True, serverSelectionTimeoutMS=2000)


def contents(server: MongoServer) -> list[dict[str, Any]]:
    with connect(server) as client:
        return list(client.test_process.records.find().sort("_id", 1))


def write_until_it_dies(uri: str, number: int, acknowledged: list[str]) -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=500)
    with client:
        records = client.test_process.records
        for step in range(100_000):
            name = f"{number}-{step:06}"
            try:
                records.insert_one({"_id": name, "data": "x" * random.randrange(2000), "n": 0})
                records.update_one({"_id": name}, {"$inc": {"n": 1}})
            except PyMongoError:
                return
            acknowledged.append(name)


def test_everything_acknowledged_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    acknowledged: list[str] = []

    for _ in range(2):
        with mongo_server(tmp_path / "data") as server:
            threads = [
                threading.Thread(target=write_until_it_dies, args=(server.uri, len(acknowledged) * 10 + n, acknowledged)) for n in range(4)
            ]
            for thread in threads:
                thread.start()
            time.sleep(0.6)
            server.kill()
            for thread in threads:
                thread.join(20)

    with mongo_server(tmp_path / "data") as server:
        found = {record["_id"]: record["n"] for record in contents(server)}
    assert len(acknowledged) > 50
    assert [name for name in acknowledged if found.get(name) != 1] == []


def test_a_restart_brings_back_generated_values_failures_and_indexes_as_they_were(tmp_path: Path) -> None:
    with mongo_server(tmp_path / "data") as server:
        with connect(server) as client:
            records = client.test_process.records
            records.create_index("k", unique=True)
            records.update_one({"k": 1}, {"$set": {"at": datetime.now(UTC)}}, upsert=True)
            with pytest.raises(PyMongoError):
                records.insert_many([{"k": 2}, {"k": 1}, {"k": 3}])
            records.insert_one({"k": 4, "pushed": []})
            records.update_one({"k": 4}, {"$push": {"pushed": {"at": datetime.now(UTC)}}})
            records.delete_one({"k": 2})
            client.test_process.gone.insert_one({})
            client.test_process.gone.drop()
        before = contents(server)
        server.kill()

    with mongo_server(tmp_path / "data") as server, connect(server) as client:
        assert contents(server) == before
        assert sorted(record["k"] for record in before) == [1, 4]
        assert client.test_process.list_collection_names() == ["records"]
        with pytest.raises(DuplicateKeyError):
            client.test_process.records.insert_one({"k": 4})


def test_a_torn_journal_tail_is_cut_off_and_writing_goes_on(tmp_path: Path) -> None:
    with mongo_server(tmp_path / "data") as server:
        with connect(server) as client:
            client.test_process.records.insert_many([{"_id": 1}])
            client.test_process.records.insert_many([{"_id": 2, "data": "x" * 100}])
        server.kill()
    journal = only(tmp_path / "data", "journal-*")
    journal.write_bytes(journal.read_bytes()[:-20])

    with mongo_server(tmp_path / "data") as server:
        kept = contents(server)
        with connect(server) as client:
            client.test_process.records.insert_one({"_id": 3})
        server.kill()

    assert kept == [{"_id": 1}]
    with mongo_server(tmp_path / "data") as server:
        assert contents(server) == [{"_id": 1}, {"_id": 3}]


@pytest.mark.parametrize("tail", [b"\x07", b"\xff" * 64, b"\0" * 64, struct.pack("<II", 500, 1) + b"half"])
def test_garbage_at_the_journals_end_costs_nothing_that_was_written(tmp_path: Path, tail: bytes) -> None:
    with mongo_server(tmp_path / "data") as server:
        with connect(server) as client:
            client.test_process.records.insert_one({"_id": 1})
        server.kill()
    with only(tmp_path / "data", "journal-*").open("ab") as journal:
        journal.write(tail)

    with mongo_server(tmp_path / "data") as server:
        assert contents(server) == [{"_id": 1}]
        assert "unfinished bytes" in server.log.read_text()


def test_damage_in_the_middle_of_the_journal_is_refused_not_swallowed(tmp_path: Path) -> None:
    with mongo_server(tmp_path / "data") as server:
        with connect(server) as client:
            for number in range(3):
                client.test_process.records.insert_one({"_id": number})
        server.kill()
    journal = only(tmp_path / "data", "journal-*")
    data = bytearray(journal.read_bytes())
    data[12] ^= 0xFF
    journal.write_bytes(data)

    ended = subprocess.run([*COMMAND, str(tmp_path / "data")], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)

    assert ended.returncode == 1
    assert "is damaged at byte 0" in ended.stderr


def test_a_compaction_keeps_everything_and_empties_the_journal(tmp_path: Path) -> None:
    with mongo_server(tmp_path / "data") as server:
        with connect(server) as client:
            records = client.test_process.records
            records.insert_many([{"_id": n, "data": "x" * 2000, "oid": ObjectId()} for n in range(1500)])
            records.create_index("oid", unique=True)
            records.delete_many({"_id": {"$gte": 1000}})
            client.test_process.create_collection("empty")
        before = contents(server)
        assert server.stop() == 0

    for _ in range(2):
        with mongo_server(tmp_path / "data") as server, connect(server) as client:
            assert contents(server) == before
            assert "oid_1" in client.test_process.records.index_information()
            assert sorted(client.test_process.list_collection_names()) == ["empty", "records"]
    assert only(tmp_path / "data", "journal-*").stat().st_size == 0
    assert only(tmp_path / "data", "snapshot-*").stat().st_size < 2_200_000


def test_a_journal_that_grows_too_long_is_compacted_while_running(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "data", compact_at_bytes=1000)
    records = engine.create("db.records")

    for number in range(100):
        records.insert({"_id": number, "data": "x" * 100})
        engine.commit()
    engine.close()

    assert int(only(tmp_path / "data", "snapshot-*").name.removeprefix("snapshot-")) > 2
    reopened = Engine(tmp_path / "data")
    assert [record["_id"] for record in reopened.collections["db.records"].documents.values()] == list(range(100))
    reopened.close()


def test_an_interrupted_compaction_leaves_the_old_state(tmp_path: Path) -> None:
    with mongo_server(tmp_path / "data") as server:
        with connect(server) as client:
            client.test_process.records.insert_one({"_id": 1})
        server.kill()
    (tmp_path / "data" / "snapshot-1.tmp").write_bytes(b"half a snapshot")

    with mongo_server(tmp_path / "data") as server:
        assert contents(server) == [{"_id": 1}]

    assert list((tmp_path / "data").glob("*.tmp")) == []


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with mongo_server(tmp_path / "data") as server:
        second = subprocess.run([*COMMAND, str(tmp_path / "data")], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)

        assert second.returncode == 1
        assert f"in use by another server (process {server.process.pid})" in second.stderr
        assert contents(server) == []


def test_a_signal_ends_it_cleanly_with_clients_connected(tmp_path: Path) -> None:
    with mongo_server(tmp_path / "data") as server, connect(server) as client:
        client.test_process.records.insert_one({"_id": 1})

        assert server.stop() == 0
        assert "not for production" in server.log.read_text()


def test_a_ttl_index_removes_what_is_older(tmp_path: Path) -> None:
    with mongo_server(tmp_path / "data") as server, connect(server) as client:
        records = client.test_process.records
        records.create_index("at", expireAfterSeconds=60)
        now = datetime.now(UTC)
        records.insert_many([{"_id": "old", "at": now - timedelta(seconds=61)}, {"_id": "new", "at": now}, {"_id": "text", "at": "x"}])

        deadline = time.monotonic() + 15
        while records.find_one({"_id": "old"}) and time.monotonic() < deadline:
            time.sleep(0.2)

        assert sorted(records.distinct("_id")) == ["new", "text"]


def message(body: bytes, *, length: int | None = None, opcode: int = 2013) -> bytes:
    return struct.pack("<iiii", 16 + len(body) if length is None else length, 1, 0, opcode) + body


GARBAGE = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a negative length": message(b"", length=-5),
    "a length below the header": message(b"", length=3),
    "a length above 48 MB": message(b"", length=48_000_001),
    "an unknown operation": message(b"x" * 20, opcode=2012),
    "no sections": message(b"\0\0\0\0"),
    "an unknown section": message(b"\0\0\0\0\x07\x05\0\0\0\0"),
    "a section longer than the message": message(b"\0\0\0\0\0\xff\0\0\0\0"),
    "unknown flags": message(b"\x08\0\0\0\0" + bson.encode({"ping": 1})),
    "bytes that are not BSON": message(b"\0\0\0\0\0\x10\0\0\0\x99garbage....\0"),
    "a sequence that is not BSON": message(b"\0\0\0\0\x01\x0c\0\0\0ab\0\xff\xff\xff\xff\xff"),
    "OP_QUERY for a find": message(
        b"\0\0\0\0a.$cmd\0\0\0\0\0\1\0\0\0" + bson.encode({"find": "x"}), opcode=2004
    ),
}  # fmt: skip


def test_garbage_closes_its_own_connection_only(tmp_path: Path) -> None:
    with mongo_server(tmp_path / "data") as server, connect(server) as client:
        client.test_process.records.insert_one({"_id": 1})
        address = ("127.0.0.1", int(server.uri.rsplit(":", 1)[1]))

        for what, data in GARBAGE.items():
            with socket.create_connection(address, timeout=30) as connection:
                connection.sendall(data)
                try:
                    answer = connection.recv(100)
                except ConnectionResetError:
                    answer = b""
                assert answer == b"", what
        with socket.create_connection(address, timeout=30) as half:
            half.sendall(message(b"\0\0\0\0", length=1000))

            assert client.test_process.records.find_one() == {"_id": 1}


def test_a_message_that_arrives_in_pieces_is_answered(tmp_path: Path) -> None:
    ping = message(b"\0\0\0\0\0" + bson.encode({"ping": 1, "$db": "admin"}))

    with mongo_server(tmp_path / "data") as server:
        address = ("127.0.0.1", int(server.uri.rsplit(":", 1)[1]))
        with socket.create_connection(address, timeout=30) as connection:
            for byte in ping + ping:
                connection.sendall(bytes([byte]))
            received = b""
            while len(received) < 2 * (21 + len(bson.encode({"ok": 1.0}))):
                received += connection.recv(1000)

    assert received[21:].startswith(bson.encode({"ok": 1.0}))


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path
