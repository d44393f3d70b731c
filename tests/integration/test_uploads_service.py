"""Keeping, finding and removing a user's pictures, on a real store and a real folder."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.domain.asset import Purpose
from app.domain.errors import NotAnImage, NotFound, QuotaExceeded, StorageUnavailable, TooLarge
from app.pictures.inspect import CONTENT_TYPES
from app.services.orders.web_generation import REFERENCE_SIDES
from app.services.people.uploads import MAX_UPLOAD_BYTES, Kept, SideLimits, Uploads
from app.stores.database import Database
from app.stores.uploads import UploadStore
from tests.support.factories import picture
from tests.support.failing_storage import FailingStorage

CONTENT = picture("PNG", size=(64, 48))


@pytest.fixture
def storage(tmp_path: Path) -> FailingStorage:
    return FailingStorage(tmp_path / "storage")


@pytest.fixture
def uploads(database: Database, storage: FailingStorage) -> Uploads:
    return Uploads(store=UploadStore(database), storage=storage)


def keep(uploads: Uploads, content: bytes = CONTENT, user_id: str = "user-1", file_name: str | None = None) -> Kept:
    return uploads.keep(user_id, io.BytesIO(content), sides=REFERENCE_SIDES, file_name=file_name)


def of_size(size: int) -> bytes:
    """Return a picture file of exactly so many bytes: a BMP whose pixels begin late."""
    content = picture("BMP", size=(64, 48))
    gap = size - len(content)
    return content[:10] + (54 + gap).to_bytes(4, "little") + content[14:54] + bytes(gap) + content[54:]


def documents(database: Database) -> list[dict[str, Any]]:
    return list(database["uploads"].find())


@pytest.mark.parametrize("file_format", CONTENT_TYPES)
def test_a_picture_is_stored_with_its_facts(uploads: Uploads, storage: FailingStorage, database: Database, file_format: str) -> None:
    content = picture(file_format, size=(61, 47))

    kept = keep(uploads, content, file_name="holiday.png")

    upload = kept.upload
    assert kept.is_new
    assert (upload.user_id, upload.purpose, upload.content_type) == ("user-1", Purpose.INPUT, CONTENT_TYPES[file_format])
    assert (upload.width, upload.height, upload.size_bytes, upload.file_name) == (61, 47, len(content), "holiday.png")
    assert [path.read_bytes() for path in storage.objects] == [content]
    assert uploads.get(upload.id, user_id="user-1") == upload
    assert documents(database)[0]["sourceSha256"] == upload.sha256 == hashlib.sha256(content).hexdigest()


def test_what_is_stored_has_no_metadata_and_its_own_digest(uploads: Uploads, storage: FailingStorage, database: Database) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    source = picture("JPEG", size=(64, 64), exif=exif.tobytes())

    upload = keep(uploads, source).upload

    (stored,) = (path.read_bytes() for path in storage.objects)
    assert b"A camera" not in stored
    assert (upload.sha256, upload.size_bytes) == (hashlib.sha256(stored).hexdigest(), len(stored))
    assert documents(database)[0]["sourceSha256"] == hashlib.sha256(source).hexdigest() != upload.sha256


def test_the_same_file_again_is_the_same_upload_for_the_same_user_only(uploads: Uploads, storage: FailingStorage) -> None:
    first = keep(uploads, file_name="first.png")
    again = keep(uploads, file_name="second.png")
    other = keep(uploads, user_id="user-2")

    assert again == Kept(first.upload, is_new=False)
    assert other.is_new
    assert other.upload.id != first.upload.id
    assert (len(storage.objects), storage.puts) == (2, 2)


def test_twenty_at_once_make_one_record_and_one_object(uploads: Uploads, storage: FailingStorage, database: Database) -> None:
    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(lambda _: keep(uploads), range(20)))

    assert len({kept.upload.id for kept in results}) == 1
    assert sum(kept.is_new for kept in results) <= 1
    assert [doc["state"] for doc in documents(database)] == ["stored"]
    assert len(storage.objects) == 1


def test_sending_and_removing_at_once_leaves_neither_half(uploads: Uploads, storage: FailingStorage, database: Database) -> None:
    def turn(number: int) -> None:
        upload = keep(uploads).upload
        if number % 2:
            try:
                uploads.delete(upload.id, user_id="user-1")
            except NotFound:
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(turn, range(48)))

    states = [doc["state"] for doc in documents(database)]
    assert states == ["stored"] * len(storage.objects)


def test_the_largest_file_is_still_allowed(uploads: Uploads) -> None:
    upload = keep(uploads, of_size(10_485_760)).upload

    assert upload.size_bytes == MAX_UPLOAD_BYTES == 10_485_760


def test_one_byte_more_is_refused(uploads: Uploads, storage: FailingStorage, database: Database) -> None:
    with pytest.raises(TooLarge, match="larger than 10MB"):
        keep(uploads, of_size(10_485_761))

    assert (storage.objects, documents(database)) == ([], [])


@pytest.mark.parametrize("content", [b"", b"<html>", CONTENT[:-1], picture("TIFF"), picture("PNG", size=(31, 64))])
def test_a_refused_file_leaves_nothing(uploads: Uploads, storage: FailingStorage, database: Database, content: bytes) -> None:
    with pytest.raises(NotAnImage):
        keep(uploads, content)

    assert (storage.objects, documents(database)) == ([], [])


def test_a_picture_kept_for_another_purpose_is_still_measured(uploads: Uploads) -> None:
    small = picture("PNG", size=(16, 16))
    uploads.keep("user-1", io.BytesIO(small), sides=SideLimits(1, 100))

    with pytest.raises(NotAnImage, match="16x16"):
        keep(uploads, small)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\ich.png", "ich.png"),
        ("größer 🚲.png", "größer 🚲.png"),
        ("a\0b\r\n\x1b[31m.png\udc80", "ab[31m.png"),
        ("x" * 300, "x" * 255),
        ("..", ".."),
        ("/", None),
        ("", None),
        (None, None),
    ],
)
def test_a_file_name_is_only_shown(uploads: Uploads, given: str | None, shown: str | None) -> None:
    upload = keep(uploads, file_name=given).upload

    assert upload.file_name == shown
    assert uploads.get(upload.id, user_id="user-1") == upload


def test_a_storage_that_fails_leaves_nothing_and_can_be_tried_again(uploads: Uploads, storage: FailingStorage, database: Database) -> None:
    storage.put_fails = True
    with pytest.raises(StorageUnavailable):
        keep(uploads)
    assert (storage.objects, documents(database)) == ([], [])

    storage.put_fails = False

    assert keep(uploads).is_new


def test_what_a_dead_storage_kept_is_not_shown_and_the_next_try_clears_it(
    uploads: Uploads, storage: FailingStorage, database: Database
) -> None:
    storage.put_fails = storage.delete_fails = True
    with pytest.raises(StorageUnavailable):
        keep(uploads)
    assert uploads.list("user-1", purpose=None, before_id=None, limit=10) == []

    storage.put_fails = storage.delete_fails = False
    kept = keep(uploads)

    assert kept.is_new
    assert [doc["_id"] for doc in documents(database)] == [kept.upload.id]
    assert len(storage.objects) == 1


def test_a_picture_whose_storer_died_is_finished_by_the_next(uploads: Uploads, database: Database) -> None:
    first = keep(uploads).upload
    database["uploads"].update_one({"_id": first.id}, {"$set": {"state": "storing"}})
    with pytest.raises(NotFound):
        uploads.get(first.id, user_id="user-1")

    again = keep(uploads)

    assert again == Kept(first, is_new=False)
    assert uploads.get(first.id, user_id="user-1") == first


def test_somebody_elses_upload_is_neither_seen_nor_removed(uploads: Uploads, storage: FailingStorage) -> None:
    upload = keep(uploads).upload

    with pytest.raises(NotFound):
        uploads.get(upload.id, user_id="user-2")
    with pytest.raises(NotFound):
        uploads.delete(upload.id, user_id="user-2")
    assert uploads.list("user-2", purpose=None, before_id=None, limit=10) == []
    assert len(storage.objects) == 1


# -- where it is kept, and how much ----------------------------------------------------------------------------------------------------


def test_who_knows_the_picture_does_not_know_where_it_is(uploads: Uploads, storage: FailingStorage, database: Database) -> None:
    upload = keep(uploads).upload

    digest = hashlib.sha256(CONTENT).hexdigest()
    (document,) = documents(database)
    assert (digest in upload.key, digest in document["key"], document["objectKey"]) == (False, True, upload.key)
    assert [path.name for path in storage.objects] == [upload.key.rpartition("/")[2]]


def test_a_picture_from_before_keys_were_random_is_served_joined_and_removed(
    uploads: Uploads, storage: FailingStorage, database: Database
) -> None:
    kept = keep(uploads).upload
    (document,) = documents(database)
    old_key = document["key"]
    storage.put(old_key, io.BytesIO(CONTENT), "image/png")
    storage.delete(kept.key)
    database["uploads"].update_one({}, {"$unset": {"objectKey": ""}})

    again = keep(uploads)

    assert (again.is_new, again.upload.id, again.upload.key) == (False, kept.id, old_key)
    uploads.delete(kept.id, user_id="user-1")
    assert storage.objects == []


def test_a_user_keeps_so_much_and_no_more_until_something_is_deleted(database: Database, storage: FailingStorage) -> None:
    uploads = Uploads(store=UploadStore(database), storage=storage, quota_bytes=40_000)
    first = keep(uploads, of_size(30_000)).upload

    with pytest.raises(QuotaExceeded, match=r"^Your uploads take 0\.0 of 0\.0\d+ MB") as refused:
        keep(uploads, of_size(10_001))
    other = keep(uploads, of_size(30_000), user_id="user-2")
    again = keep(uploads, of_size(30_000))
    filled = keep(uploads, of_size(10_000))
    uploads.delete(first.id, user_id="user-1")
    freed = keep(uploads, of_size(30_000))

    assert refused.value.details == {"quotaBytes": 40_000, "usedBytes": 30_000}
    assert (other.is_new, again.is_new, filled.is_new, freed.is_new) == (True, False, True, True)
    assert len(storage.objects) == len(documents(database)) == 3


def test_many_uploads_at_once_do_not_pass_the_quota_together(database: Database, storage: FailingStorage) -> None:
    uploads = Uploads(store=UploadStore(database), storage=storage, quota_bytes=40_000)

    def sent(number: int) -> bool:
        try:
            keep(uploads, of_size(15_000 + number))
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(sent, range(12)))

    kept = [document["sizeBytes"] for document in documents(database)]
    assert len(kept) == won.count(True) <= 2
    assert sum(kept) <= 40_000
    assert len(storage.objects) == len(kept)
