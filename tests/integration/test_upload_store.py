from __future__ import annotations

import dataclasses

import pytest

from app.stores.database import Database
from app.stores.uploads import UploadStore
from app.upload import Purpose, Upload
from tests.support.factories import make_upload


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
    assert uploads.remove(upload.id, user_id="user-2") is None
    assert uploads.page("user-2", purpose=None, before_id=None, limit=10) == []
    assert uploads.get(upload.id, user_id="user-1") == upload


def test_an_upload_is_removed_once(uploads: UploadStore) -> None:
    (upload,) = insert(uploads, make_upload())

    assert [uploads.remove(upload.id, user_id="user-1") for _ in range(2)] == [upload, None]
    assert uploads.get(upload.id, user_id="user-1") is None


def test_the_same_content_is_found_among_the_users_own_inputs_only(uploads: UploadStore) -> None:
    mine, _, _ = insert(
        uploads,
        make_upload(sha256="aa"),
        make_upload(sha256="bb", purpose=Purpose.OUTPUT),
        make_upload(sha256="cc", user_id="user-2"),
    )

    assert [uploads.same_content("user-1", digest) for digest in ("aa", "bb", "cc")] == [mine, None, None]


def test_pages_run_from_the_newest_to_the_oldest(uploads: UploadStore) -> None:
    inputs = insert(uploads, *(make_upload() for _ in range(5)))
    outputs = insert(uploads, *(make_upload(purpose=Purpose.OUTPUT) for _ in range(2)))

    first = uploads.page("user-1", purpose=Purpose.INPUT, before_id=None, limit=3)
    second = uploads.page("user-1", purpose=Purpose.INPUT, before_id=first[-1].id, limit=3)

    assert first + second == sorted(inputs, key=lambda upload: upload.id, reverse=True)
    assert len(uploads.page("user-1", purpose=None, before_id=None, limit=10)) == len(inputs + outputs)
