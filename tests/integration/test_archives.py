"""Many pictures as one zip file."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import IO

import pytest

from app.clients.storage import LocalStorage
from app.domain import clock
from app.domain.errors import NotFound, StorageUnavailable
from app.services.orders.order import Order
from app.services.pictures.archives import Entry, zipped
from tests.integration.test_pictures_api import client_of
from tests.support.gateway import SMALL, Gateway

MADE_AT = clock.now()
BIG = 8 * 1024 * 1024


def entries(storage: LocalStorage, *names: str, size: int = 1000) -> list[Entry]:
    made = []
    for number, name in enumerate(names):
        key = f"generated-images/u/j{number}/image_0.png"
        storage.put(key, io.BytesIO(bytes([number]) * size), "image/png")
        made.append(Entry(key, name, MADE_AT))
    return made


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path, "http://files.example")


def test_pictures_of_one_name_stay_apart_and_every_byte_is_there(storage: LocalStorage) -> None:
    made = entries(storage, "a-1.png", "a-1.png", "a-1-2.png", "دراجة-1.png")

    archive = zipfile.ZipFile(io.BytesIO(b"".join(zipped(made, storage))))

    assert archive.testzip() is None
    assert archive.namelist() == ["a-1.png", "a-1-2.png", "a-1-2-2.png", "دراجة-1.png"]
    assert [archive.read(name) for name in archive.namelist()] == [bytes([number]) * 1000 for number in range(4)]
    assert {info.date_time for info in archive.infolist()} == {(*MADE_AT.timetuple()[:5], MADE_AT.second // 2 * 2)}


def test_a_picture_that_was_deleted_meanwhile_is_left_out(storage: LocalStorage) -> None:
    made = entries(storage, "a.png", "b.png")
    storage.delete(made[0].key)

    assert zipfile.ZipFile(io.BytesIO(b"".join(zipped(made, storage)))).namelist() == ["b.png"]
    assert zipfile.ZipFile(io.BytesIO(b"".join(zipped([], storage)))).namelist() == []


def test_an_archive_of_any_size_takes_little_memory(storage: LocalStorage) -> None:
    made, sent = entries(storage, *(f"{number}.png" for number in range(8)), size=BIG), 0

    tracemalloc.start()
    for piece in zipped(made, storage):
        sent += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sent > 8 * BIG
    assert peak < 2 * 1024 * 1024


def test_an_archive_that_breaks_off_does_not_open(storage: LocalStorage) -> None:
    class Failing(LocalStorage):
        def open(self, key: str) -> IO[bytes]:
            if "j1" in key:
                raise StorageUnavailable("away")
            return super().open(key)

    made, pieces = entries(storage, "a.png", "b.png"), []

    with pytest.raises(StorageUnavailable):
        pieces.extend(zipped(made, Failing(storage.root, "http://x")))
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(pieces)))


def test_a_selection_is_fetched_as_one_file(gateway: Gateway) -> None:
    client, job = client_of(gateway.services), gateway.generated(gateway.order(num_images=2))
    ids = [image.upload_id for image in job.images]

    answer = client.post("/api/images/archive", json={"imageIds": [*ids, ids[0].upper()]})
    wrong = [client.post("/api/images/archive", json={"imageIds": found}) for found in ([], ["x"], [clock.new_id() for _ in range(500)])]

    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    assert (answer.status_code, answer.content_type) == (200, "application/zip")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="pictures.zip"'
    assert [archive.read(name) for name in archive.namelist()] == gateway.stored(job)
    assert [found.status_code for found in wrong] == [400, 400, 404]


def test_nobody_fetches_somebody_elses_pictures(gateway: Gateway) -> None:
    job = gateway.generated(gateway.order())

    with pytest.raises(NotFound):
        gateway.services.archives.of_pictures([job.images[0].upload_id], user_id="user-2")


def test_a_batch_is_fetched_as_one_file(gateway: Gateway) -> None:
    client, services = client_of(gateway.services), gateway.services
    orders = [Order(model="flux-dev", inputs={"prompt": text}, options={"image_size": SMALL}, user_id="user-1") for text in ("one", "two")]
    batch = services.batches.submit(orders, key=None, max_cost_micros=None).batch
    before = client.get(f"/api/batches/{batch.id}/archive")
    services.fair_share.give_turns()
    for job_id in batch.job_ids:
        gateway.generated(gateway.job(job_id))

    answer = client.get(f"/api/batches/{batch.id}/archive")

    assert zipfile.ZipFile(io.BytesIO(before.data)).namelist() == []
    assert sorted(zipfile.ZipFile(io.BytesIO(answer.data)).namelist()) == ["flux-dev-one-1.jpg", "flux-dev-two-1.jpg"]
    assert client.get(f"/api/batches/{clock.new_id()}/archive").status_code == 404
