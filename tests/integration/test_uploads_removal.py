"""Removing a user's pictures: on request, when an order was refused, and what dead processes left."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.domain import clock
from app.domain.errors import NotFound, StorageUnavailable
from app.services.orders.web_generation import REFERENCE_SIDES
from app.services.people.uploads import ABANDONED_AFTER, REMOVAL_TAKES, Kept, Uploads
from app.stores.database import Database
from app.stores.uploads import UploadStore
from tests.support.factories import picture
from tests.support.failing_storage import FailingStorage

CONTENT = picture("PNG", size=(64, 48))


class Clock:
    """A time that moves when told to."""

    def __init__(self) -> None:
        self.time = clock.now()

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def storage(tmp_path: Path) -> FailingStorage:
    return FailingStorage(tmp_path / "storage")


@pytest.fixture
def now() -> Clock:
    return Clock()


@pytest.fixture
def uploads(database: Database, storage: FailingStorage, now: Clock) -> Uploads:
    return Uploads(store=UploadStore(database), storage=storage, now=now)


def keep(uploads: Uploads, user_id: str = "user-1") -> Kept:
    return uploads.keep(user_id, io.BytesIO(CONTENT), sides=REFERENCE_SIDES)


def documents(database: Database) -> list[dict[str, Any]]:
    return list(database["uploads"].find())


@pytest.mark.parametrize("state", ["storing", "removing"])
def test_the_sweep_removes_what_the_dead_left_and_nothing_younger(
    uploads: Uploads, storage: FailingStorage, database: Database, now: Clock, state: str
) -> None:
    half, whole = keep(uploads).upload, keep(uploads, user_id="user-2").upload
    database["uploads"].update_one({"_id": half.id}, {"$set": {"state": state}})
    assert uploads.sweep() == 0

    now.time += ABANDONED_AFTER + timedelta(seconds=1)

    assert (uploads.sweep(), uploads.sweep()) == (1, 0)
    assert [doc["_id"] for doc in documents(database)] == [whole.id]
    assert len(storage.objects) == 1


def test_a_new_upload_can_be_taken_back(uploads: Uploads, storage: FailingStorage, database: Database) -> None:
    uploads.discard_new(keep(uploads).upload)

    assert (storage.objects, documents(database)) == ([], [])


def test_an_upload_that_was_sent_again_is_not_taken_back(uploads: Uploads, storage: FailingStorage) -> None:
    first, again = keep(uploads), keep(uploads)

    uploads.discard_new(first.upload)

    assert uploads.get(again.upload.id, user_id="user-1") == first.upload
    assert len(storage.objects) == 1


def test_taking_back_fails_quietly_and_the_sweep_does_it(uploads: Uploads, storage: FailingStorage, database: Database) -> None:
    upload = keep(uploads).upload
    storage.delete_fails = True
    uploads.discard_new(upload)
    assert [doc["state"] for doc in documents(database)] == ["removing"]

    storage.delete_fails = False

    assert uploads.sweep() == 1
    assert (storage.objects, documents(database)) == ([], [])


def test_a_deleted_upload_is_gone_and_can_be_sent_anew(uploads: Uploads, storage: FailingStorage, database: Database) -> None:
    upload = keep(uploads).upload

    uploads.delete(upload.id, user_id="user-1")

    assert (storage.objects, documents(database)) == ([], [])
    for gone in (upload.id, "no-id", ""):
        with pytest.raises(NotFound):
            uploads.delete(gone, user_id="user-1")
    assert keep(uploads).upload.id != upload.id


def test_a_deletion_that_storage_interrupts_goes_on_when_repeated(uploads: Uploads, storage: FailingStorage, database: Database) -> None:
    upload = keep(uploads).upload
    storage.delete_fails = True
    with pytest.raises(StorageUnavailable):
        uploads.delete(upload.id, user_id="user-1")
    with pytest.raises(NotFound):
        uploads.get(upload.id, user_id="user-1")

    storage.delete_fails = False
    uploads.delete(upload.id, user_id="user-1")

    assert (storage.objects, documents(database)) == ([], [])


def test_a_picture_waits_for_its_own_removal_and_takes_over_from_a_dead_remover(uploads: Uploads, database: Database, now: Clock) -> None:
    upload = keep(uploads).upload
    database["uploads"].update_one({"_id": upload.id}, {"$set": {"state": "removing", "changedAt": now()}})
    with pytest.raises(StorageUnavailable, match="try again"):
        keep(uploads)

    now.time += REMOVAL_TAKES + timedelta(seconds=1)
    kept = keep(uploads)

    assert kept.is_new
    assert [doc["_id"] for doc in documents(database)] == [kept.upload.id]
