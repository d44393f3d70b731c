from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.domain.asset import Purpose, Upload
from app.stores.database import Database
from app.stores.uploads import UploadStore
from tests.support.factories import NOON, after, make_upload


@pytest.fixture
def uploads(database: Database) -> UploadStore:
    return UploadStore(database)


def insert(uploads: UploadStore, *many: Upload) -> list[Upload]:
    for upload in many:
        uploads.insert(upload)
    return list(many)


def test_an_upload_comes_back_as_it_was_written_in_every_field(uploads: UploadStore) -> None:
    upload = make_upload(job_id="job-1", file_name="mein Bild 🚲.png", purpose=Purpose.OUTPUT)
    insert(uploads, upload)

    assert uploads.get(upload.id, user_id="user-1") == upload
    assert None not in dataclasses.astuple(upload)


def test_writing_an_upload_again_changes_nothing(uploads: UploadStore) -> None:
    (upload,) = insert(uploads, make_upload(file_name="first.png"))

    uploads.insert(dataclasses.replace(upload, file_name="second.png"))

    assert uploads.get(upload.id, user_id="user-1") == upload
    assert len(uploads.page("user-1", purpose=None, before_id=None, limit=10)) == 1


def test_somebody_elses_upload_does_not_exist(uploads: UploadStore) -> None:
    (upload,) = insert(uploads, make_upload())

    assert uploads.get(upload.id, user_id="user-2") is None
    assert uploads.claim(upload.id, user_id="user-2", now=NOON, idle_since=NOON) is None
    assert uploads.page("user-2", purpose=None, before_id=None, limit=10) == []
    assert uploads.get(upload.id, user_id="user-1") == upload


def test_a_picture_is_visible_only_while_it_is_stored(uploads: UploadStore) -> None:
    upload = make_upload()

    def is_visible() -> bool:
        listed = uploads.page("user-1", purpose=None, before_id=None, limit=10)
        assert (uploads.get(upload.id, user_id="user-1") is not None) == bool(listed)
        return bool(listed)

    seen = [is_visible()]
    assert uploads.reserve(upload, "source")
    seen.append(is_visible())
    assert uploads.confirm(upload.id)
    seen.append(is_visible())
    assert uploads.claim(upload.id, user_id="user-1", now=NOON, idle_since=NOON) == upload
    seen.append(is_visible())
    uploads.forget(upload.id)

    assert seen == [False, False, True, False]
    assert uploads.reserve(upload, "source")


def test_one_of_many_reserves_a_key(uploads: UploadStore) -> None:
    racing = [make_upload(key="uploads/user-1/same.png") for _ in range(20)]

    with ThreadPoolExecutor(20) as threads:
        won = list(threads.map(lambda upload: uploads.reserve(upload, "source"), racing))

    assert won.count(True) == 1


def test_one_of_many_removes_an_upload_and_a_dead_ones_removal_is_taken_over(uploads: UploadStore) -> None:
    (upload,) = insert(uploads, make_upload())

    with ThreadPoolExecutor(20) as threads:
        claims = list(threads.map(lambda _: uploads.claim(upload.id, user_id="user-1", now=NOON, idle_since=after(-60)), range(20)))
    later = uploads.claim_idle(upload.key, now=after(100), idle_since=after(40))

    assert [claim for claim in claims if claim] == [upload]
    assert later == upload
    assert uploads.claim_idle(upload.key, now=after(101), idle_since=after(41)) is None


def test_what_dead_processes_left_half_done_is_found_after_a_while(uploads: UploadStore) -> None:
    storing, removing, stored = make_upload(), make_upload(), make_upload()
    uploads.reserve(storing, "source")
    insert(uploads, removing, stored)
    uploads.claim(removing.id, user_id="user-1", now=NOON, idle_since=NOON)

    assert uploads.stale(NOON, 10) == []
    assert {upload.id for upload in uploads.stale(after(1), 10)} == {storing.id, removing.id}


def test_pages_run_from_the_newest_to_the_oldest(uploads: UploadStore) -> None:
    inputs = insert(uploads, *(make_upload() for _ in range(5)))
    outputs = insert(uploads, *(make_upload(purpose=Purpose.OUTPUT) for _ in range(2)))

    first = uploads.page("user-1", purpose=Purpose.INPUT, before_id=None, limit=3)
    second = uploads.page("user-1", purpose=Purpose.INPUT, before_id=first[-1].id, limit=3)

    assert first + second == sorted(inputs, key=lambda upload: upload.id, reverse=True)
    assert len(uploads.page("user-1", purpose=None, before_id=None, limit=10)) == len(inputs + outputs)
