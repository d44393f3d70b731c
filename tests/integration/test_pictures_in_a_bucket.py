"""All that is done with pictures, with a bucket in the place of the folder: over HTTP, against moto's S3 server."""

from __future__ import annotations

import copy
import dataclasses
import io
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from flask.testing import FlaskClient
from PIL import Image
from redis import Redis
from werkzeug.test import TestResponse

from app import create_app
from app.bootstrap import Services
from app.clients.bucket import S3Storage
from app.domain import clock
from app.domain.job import Job
from app.stores.indexes import ensure_indexes
from tests.support.emulator import Emulator
from tests.support.fal_place import FalPlace
from tests.support.gateway import Gateway
from tests.support.moto_bucket import BUCKET, keys_in, moto_bucket
from tests.support.services import Backing, running_services

PREFIX = "some/prefix"
USER = "auth0|x y/ü"


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with moto_bucket() as url:
        yield url


@pytest.fixture(scope="module")
def wired_to_bucket(s3_url: str, backing: Backing, fal_place: FalPlace) -> Iterator[Services]:
    with running_services(backing, fal_place) as base:
        settings = dataclasses.replace(base.settings, storage_url=f"s3://{BUCKET}/{PREFIX}", s3_endpoint_url=s3_url, allow_anonymous=True)
        services = Services(settings)
        ensure_indexes(services.database)
        yield services
        services.close()


@pytest.fixture
def gateway(wired_to_bucket: Services, redis: Redis, fal_emulator: Emulator) -> Gateway:
    return Gateway(wired_to_bucket, fal_emulator)


@pytest.fixture
def client(gateway: Gateway) -> FlaskClient:
    return create_app(gateway.services.settings, gateway.services).test_client()


@pytest.fixture
def job(gateway: Gateway) -> Job:
    return done(gateway, num_images=2)


def done(gateway: Gateway, **order: Any) -> Job:
    job = gateway.generated(gateway.order(user_id=USER, **order))
    gateway.services.recovery.settle(job.id)
    return gateway.job(job.id)


def keys_of(gateway: Gateway, job: Job) -> list[str]:
    return [key.rpartition("/")[2] for key in keys_in(str(gateway.services.settings.s3_endpoint_url)) if job.id in key]


def images_of(client: FlaskClient, job: Job) -> list[dict[str, Any]]:
    body = client.get(f"/api/jobs/{job.id}").get_json()
    images: list[dict[str, Any]] = body["images"]
    return images


def get(client: FlaskClient, path: str) -> TestResponse:
    """Return a whole answer: what it was read from is closed."""
    answer = client.get(path, buffered=True)
    answer.close()
    return answer


def path_of(link: str) -> str:
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"


def test_the_picture_its_thumbnail_and_its_download_all_open(gateway: Gateway, client: FlaskClient, job: Job) -> None:
    image = images_of(client, job)[0]

    picture = httpx.get(image["url"])
    small = [get(client, path_of(image["thumbnailUrl"])) for _ in range(2)]
    saved = get(client, path_of(image["downloadUrl"]))

    assert isinstance(gateway.services.storage, S3Storage)
    assert (picture.status_code, picture.content, picture.headers["Content-Type"]) == (200, saved.data, image["contentType"])
    assert "attachment" in saved.headers["Content-Disposition"]
    assert [answer.status_code for answer in small] == [200, 200]
    assert small[0].data == small[1].data
    assert Image.open(io.BytesIO(small[0].data)).format == "WEBP"
    assert keys_of(gateway, job) == ["image_0.jpg", "image_0.jpg.320.webp", "image_1.jpg"]


def test_a_thumbnail_that_is_kept_is_not_made_again(
    gateway: Gateway, client: FlaskClient, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = path_of(images_of(client, job)[0]["thumbnailUrl"])
    first = get(client, link).data

    def never(*_: Any) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(gateway.services.thumbnails, "_offload", never)

    assert get(client, link).data == first


def test_pictures_come_as_one_zip_file(gateway: Gateway, client: FlaskClient, job: Job) -> None:
    answer = client.post("/api/images/archive", json={"imageIds": [image.upload_id for image in job.images]})

    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        found = [archive.read(name) for name in archive.namelist()]
        assert archive.testzip() is None
    assert found == gateway.stored(job)


def test_a_thumbnail_of_a_picture_that_is_deleted_meanwhile_is_not_kept(
    gateway: Gateway, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deleting(work: Any, *args: Any) -> Any:
        gateway.services.uploads.delete(job.images[0].upload_id, user_id=USER)
        return work(*args)

    monkeypatch.setattr(gateway.services.thumbnails, "_offload", deleting)

    assert gateway.services.thumbnails.of(job.images[0].key, 1024) is not None
    assert keys_of(gateway, job) == ["image_1.jpg"]


def test_what_has_been_kept_long_enough_leaves_nothing_in_the_bucket(gateway: Gateway, client: FlaskClient, job: Job) -> None:
    for image in images_of(client, job):
        get(client, path_of(image["thumbnailUrl"]))
    links = [path_of(images_of(client, job)[0][name]) for name in ("thumbnailUrl", "downloadUrl")]
    sweep, later = copy.copy(gateway.services.retention), lambda: clock.now() + timedelta(days=8)
    sweep._eraser = copy.copy(sweep._eraser)
    sweep._retention_days, sweep._now, sweep._eraser._now = 7, later, later
    sweep._steady_clock.is_steady(later())
    gateway.services.database["locks"].update_one({"_id": "steady clock"}, {"$set": {"steadySince": clock.now()}})

    before = keys_of(gateway, job)
    sweep.sweep()

    assert (len(before), keys_of(gateway, job)) == (4, [])
    assert [get(client, link).status_code for link in links] == [410, 410]


def test_all_of_a_user_leaves_nothing_in_the_bucket(gateway: Gateway, client: FlaskClient, job: Job) -> None:
    get(client, path_of(images_of(client, job)[0]["thumbnailUrl"]))
    while gateway.services.spend.advance():
        pass

    progress = gateway.services.departures.erase(USER)

    assert progress.is_done
    assert [key for key in keys_in(str(gateway.services.settings.s3_endpoint_url)) if quote(USER, safe="") in key] == []
