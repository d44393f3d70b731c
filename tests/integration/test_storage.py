from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from app.clients.bucket import S3Storage
from app.clients.storage import PARTS_FOLDER, LocalStorage, Storage, open_storage
from app.config import Settings
from app.domain.errors import Misconfigured, NotFound, StorageUnavailable
from tests.support.moto_bucket import moto_bucket

KEY = "generated-images/auth0%7Cx y/job-1/image_0.png"


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """An S3-compatible server over the wire, with one bucket."""
    with moto_bucket() as url:
        yield url


@pytest.fixture
def bucket(s3_url: str) -> Iterator[S3Storage]:
    storage = S3Storage("pictures", "some/prefix", endpoint_url=s3_url, public_base=None)
    yield storage
    storage._s3.close()


@pytest.fixture
def folder(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage", "http://localhost:5000/files/")


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest) -> Storage:
    found: Storage = request.getfixturevalue(request.param)
    return found


def put(storage: Storage, content: bytes, key: str = KEY) -> None:
    storage.put(key, io.BytesIO(content), "image/png")


def read(storage: Storage, key: str = KEY) -> bytes:
    file = storage.open(key)
    try:
        return file.read()
    finally:
        file.close()


def test_what_is_put_can_be_opened_until_it_is_deleted(storage: Storage) -> None:
    put(storage, b"first")
    put(storage, b"second")

    assert read(storage) == b"second"

    storage.delete(KEY)
    storage.delete(KEY)
    with pytest.raises(NotFound):
        storage.open(KEY)


def test_it_is_known_whether_an_object_is_there(storage: Storage) -> None:
    before = storage.has(KEY)
    put(storage, b"x")
    there = (storage.has(KEY), storage.has(f"{KEY}.320.webp"), storage.has(KEY[:-1]), storage.has("generated-images"))

    storage.delete(KEY)

    assert (before, there, storage.has(KEY)) == (False, (True, False, False, False), False)


def test_a_bucket_that_does_not_answer_is_not_a_missing_object() -> None:
    nowhere = S3Storage("pictures", "", endpoint_url="http://127.0.0.1:9", public_base=None)

    with pytest.raises(StorageUnavailable):
        nowhere.has(KEY)


def test_sweeping_a_healthy_storage_removes_nothing(storage: Storage) -> None:
    put(storage, b"x")

    assert (storage.sweep(), read(storage)) == (0, b"x")


def test_a_large_object_comes_back_whole(storage: Storage) -> None:
    content = os.urandom(3 << 20)

    put(storage, content)

    assert read(storage) == content


def test_a_folder_is_deleted_with_all_in_it_and_nothing_beside_it(storage: Storage) -> None:
    for key in ("jobs/1/a.png", "jobs/1/b.png", "jobs/12/c.png", "jobs/d.png"):
        put(storage, b"x", key)

    storage.delete_tree("jobs/1")
    storage.delete_tree("jobs/1")

    for gone in ("jobs/1/a.png", "jobs/1/b.png"):
        with pytest.raises(NotFound):
            storage.open(gone)
    assert [read(storage, key) for key in ("jobs/12/c.png", "jobs/d.png")] == [b"x", b"x"]


def test_a_storage_that_can_be_written_answers_a_ping(storage: Storage) -> None:
    storage.ping()


def test_a_presigned_link_opens_the_object_and_no_other(bucket: S3Storage) -> None:
    put(bucket, b"picture")
    link = bucket.url(KEY)

    answer = httpx.get(link)

    assert (answer.status_code, answer.content) == (200, b"picture")
    assert answer.headers["content-type"] == "image/png"
    assert "immutable" in answer.headers["cache-control"]
    assert urlsplit(link).path.endswith("/some/prefix/generated-images/auth0%257Cx%20y/job-1/image_0.png")
    assert "X-Amz-Expires=86400" in link


def test_a_bucket_behind_a_cdn_is_linked_there(s3_url: str) -> None:
    storage = S3Storage("pictures", "p", endpoint_url=s3_url, public_base="https://cdn.example/")

    assert storage.url("a b/ü.png") == storage.provider_url("a b/ü.png") == "https://cdn.example/p/a%20b/%C3%BC.png"
    storage._s3.close()


def test_a_bucket_without_tls_is_nothing_fal_can_fetch_from(bucket: S3Storage) -> None:
    assert bucket.provider_url(KEY) is None


def test_a_missing_bucket_is_unavailable_storage_and_not_a_missing_file(s3_url: str) -> None:
    storage = S3Storage("nowhere", "", endpoint_url=s3_url, public_base=None)

    for call in (lambda: put(storage, b"x"), lambda: storage.open(KEY), lambda: storage.delete(KEY), storage.ping):
        with pytest.raises(StorageUnavailable) as refused:
            call()
        assert "nowhere" not in refused.value.message
    storage._s3.close()


def test_a_server_that_is_away_is_unavailable_storage(s3_url: str) -> None:
    storage = S3Storage("pictures", "", endpoint_url="http://127.0.0.1:9", public_base=None)

    with pytest.raises(StorageUnavailable):
        storage.open(KEY)
    storage._s3.close()


class BreaksOff(BaseHTTPRequestHandler):
    """A bucket whose objects are shorter than it says."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def test_an_object_that_breaks_off_is_unavailable_storage(s3_url: str) -> None:
    with HTTPServer(("127.0.0.1", 0), BreaksOff) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        storage = S3Storage("pictures", "", endpoint_url=f"http://127.0.0.1:{server.server_port}", public_base=None)

        with pytest.raises(StorageUnavailable):
            storage.open(KEY)

        server.shutdown()
        storage._s3.close()


@pytest.mark.parametrize(
    "key",
    ["../outside", "a/../../outside", "/etc/passwd", "", ".", "..", "a/..", ".parts/x", "x\0y", "uploads/link/secret"],
)
def test_a_key_that_leaves_the_folder_does_not_exist(folder: LocalStorage, tmp_path: Path, key: str) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    for secret in (outside / "secret", tmp_path / "outside"):
        secret.write_text("secret")
    (folder.root / "uploads").mkdir(parents=True)
    (folder.root / "uploads" / "link").symlink_to(outside)

    with pytest.raises(NotFound):
        folder.open(key)
    with pytest.raises(NotFound):
        put(folder, b"overwritten", key)
    with pytest.raises(NotFound):
        folder.delete(key)

    assert [path.read_text() for path in (outside / "secret", tmp_path / "outside")] == ["secret", "secret"]


@pytest.mark.parametrize("key", ["a/./.parts/x", "a/../.parts/x"])
def test_the_hidden_parts_cannot_be_reached_by_a_detour(folder: LocalStorage, key: str) -> None:
    parts = folder.root / PARTS_FOLDER
    parts.mkdir(parents=True)
    (parts / "x").write_bytes(b"half")
    (folder.root / "a").mkdir()

    with pytest.raises(NotFound):
        folder.open(key)


def test_a_folder_is_no_file(folder: LocalStorage) -> None:
    put(folder, b"x", "a/b/c.png")

    for key in ("a/b", "a/b/c.png/d.png", "a/b/other.png"):
        with pytest.raises(NotFound):
            folder.open(key)


class CutOff(io.BytesIO):
    """A body that breaks off after its first piece."""

    pieces = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.pieces += 1
        if self.pieces > 1:
            raise ConnectionError("cut off")
        return b"half"


def test_a_body_that_breaks_off_leaves_nothing_behind(folder: LocalStorage) -> None:
    put(folder, b"whole")

    with pytest.raises(StorageUnavailable):
        folder.put(KEY, CutOff(), "image/png")

    assert read(folder) == b"whole"
    assert list((folder.root / PARTS_FOLDER).iterdir()) == []


def test_half_written_files_of_the_dead_are_swept_after_a_while(folder: LocalStorage) -> None:
    put(folder, b"whole")
    old, young = (folder.root / PARTS_FOLDER / name for name in ("old", "young"))
    for part in (old, young):
        part.write_bytes(b"half")
    hour_ago = time.time() - 3600
    os.utime(old, (hour_ago, hour_ago))

    assert folder.sweep_parts(older_than=timedelta(minutes=30)) == 1
    assert (old.exists(), young.exists(), read(folder)) == (False, True, b"whole")


def test_sweeping_an_unused_folder_finds_nothing(folder: LocalStorage) -> None:
    assert folder.sweep_parts(older_than=timedelta(0)) == 0


def test_a_folder_that_is_a_file_is_unavailable_storage(tmp_path: Path) -> None:
    (tmp_path / "storage").write_text("not a folder")
    storage = LocalStorage(tmp_path / "storage", "http://localhost:5000/files")

    with pytest.raises(StorageUnavailable):
        put(storage, b"x")
    with pytest.raises(StorageUnavailable):
        storage.ping()


def test_local_files_are_linked_where_the_service_serves_them(folder: LocalStorage, tmp_path: Path) -> None:
    public = LocalStorage(tmp_path, "https://gateway.example/files", reachable=True)

    assert folder.url("a%2F b.png") == "http://localhost:5000/files/a%252F%20b.png"
    assert folder.provider_url("a.png") is None
    assert public.provider_url("a.png") == "https://gateway.example/files/a.png"


@pytest.mark.parametrize(("url", "kind"), [("file:///var/lib/image%20gw", LocalStorage), ("s3://pictures/prefix", S3Storage)])
def test_the_storage_is_the_one_its_url_names(s3_url: str, url: str, kind: type) -> None:
    storage = open_storage(Settings(storage_url=url, s3_endpoint_url=s3_url))

    assert isinstance(storage, kind)
    if isinstance(storage, LocalStorage):
        assert storage.root == Path("/var/lib/image gw")
    else:
        storage._s3.close()


@pytest.mark.parametrize("url", ["", "s3://", "ftp://x/y", "pictures"])
def test_a_storage_url_of_no_known_kind_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured):
        open_storage(Settings(storage_url=url))
