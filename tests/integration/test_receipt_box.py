"""Receipts in files and in Redis: whole and ours, or set aside; nothing that lies beside them can hurt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from app.clients.receipt_box import KeptReceipt, ReceiptBox
from app.clients.redis import connect_redis
from app.config import BadSettings
from tests.support.factories import make_receipt

ROOT = Path(__file__).resolve().parents[2]
KEPT = KeptReceipt("01a1fbd9-1a13-722c-9cf7-26ee3e796748", 0, make_receipt("req-1"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "receipts"


@pytest.fixture
def box(folder: Path, redis: Redis) -> ReceiptBox:
    return ReceiptBox(folder, redis, "fal-key")


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_what_was_put_is_found_by_the_next_process_until_it_is_forgotten(box: ReceiptBox, folder: Path, redis: Redis) -> None:
    box.put(KEPT)
    box.put(KEPT)
    found = list(ReceiptBox(folder, redis, "fal-key").pending())
    box.forget(KEPT, everywhere=False)

    assert (found, list(box.pending())) == ([KEPT], [])
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_is_secured_outlives_the_machine(box: ReceiptBox, folder: Path, redis: Redis) -> None:
    box.put(KEPT)
    box.secure(KEPT)
    only(folder).unlink()

    elsewhere = ReceiptBox(folder.with_name("another"), redis, "fal-key")

    assert list(elsewhere.pending()) == [KEPT]
    elsewhere.forget(KEPT, everywhere=True)
    assert list(box.pending()) == []


def test_where_no_file_can_be_written_a_receipt_goes_to_redis_at_once(folder: Path, redis: Redis) -> None:
    folder.write_text("a file where the folder should be")
    box = ReceiptBox(folder, redis, "fal-key")

    box.put(KEPT)

    assert list(box.pending()) == [KEPT]
    with pytest.raises(BadSettings, match="RECEIPTS_DIR"):
        box.check()


def test_without_redis_the_file_is_enough(folder: Path) -> None:
    nowhere = connect_redis("redis://127.0.0.1:9/0")
    box = ReceiptBox(folder, nowhere, "fal-key")
    box.check()

    box.put(KEPT)
    box.secure(KEPT)
    found = list(box.pending())
    box.forget(KEPT, everywhere=True)

    assert (found, list(folder.iterdir())) == ([KEPT], [])


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def forged(path: Path) -> None:
    body = json.loads(path.read_bytes().partition(b" ")[2])
    body["receipt"]["status_url"] = "https://evil.example/status"
    path.write_bytes(path.read_bytes().partition(b" ")[0] + b" " + json.dumps(body).encode())


def noise(path: Path) -> None:
    path.write_bytes(os.urandom(100_000))


def a_link(path: Path) -> None:
    real = path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(real)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def renamed(path: Path) -> None:
    path.rename(path.with_name(f"another-job.0.req-1{path.suffix}"))


@pytest.mark.parametrize("damage", [halved, emptied, forged, noise, a_link, a_pipe, a_folder, renamed])
def test_a_file_that_is_not_whole_or_not_ours_is_set_aside_told_once_and_never_used(
    box: ReceiptBox, folder: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    box.put(KEPT)
    damage(only(folder))
    for path in folder.iterdir():
        os.utime(path, (0, 0), follow_symlinks=False)

    found = [list(box.pending()) for _ in range(2)]

    assert found == [[], []]
    assert len([record for record in caplog.records if "set aside" in record.getMessage()]) == 1
    assert ".receipt.bad" in "".join(path.name for path in folder.iterdir())


def test_a_file_that_may_still_be_in_the_writing_is_left_alone(box: ReceiptBox, folder: Path) -> None:
    box.put(KEPT)
    whole = only(folder).read_bytes()
    halved(only(folder))
    early = list(box.pending())

    only(folder).write_bytes(whole)

    assert (early, list(box.pending())) == ([], [KEPT])


@pytest.mark.parametrize("content", [b"", b"x", b"\xff\xfe {}", b"0" * 64 + b' {"job": 1}'])
def test_what_somebody_wrote_into_redis_is_set_aside(box: ReceiptBox, redis: Redis, content: bytes) -> None:
    redis.hset("imagegw:receipts", b"a\xff.0.b", content)  # type: ignore[arg-type]

    found = [list(box.pending()) for _ in range(2)]

    assert (found, redis.hlen("imagegw:receipts"), redis.hlen("imagegw:receipts.bad")) == ([[], []], 0, 1)


def test_another_accounts_receipts_are_not_taken(box: ReceiptBox, folder: Path, redis: Redis) -> None:
    box.put(KEPT)

    assert list(ReceiptBox(folder, redis, "another-key").pending()) == []


def test_no_worker_starts_where_it_could_not_keep_what_it_buys(folder: Path, tmp_path: Path) -> None:
    folder.write_text("a file where the folder should be")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "MONGODB_URI": "mongodb://127.0.0.1:9/imagegw",
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "STORAGE_URL": tmp_path.as_uri(),
        "FAL_KEY": "an-id:a-secret",
        "JWT_SECRET": "x" * 40,
        "RECEIPTS_DIR": str(folder),
    }

    done = subprocess.run([sys.executable, "-m", "workers"], env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2, done.stderr
    assert f"  RECEIPTS_DIR: no file can be written to {folder}" in done.stderr
