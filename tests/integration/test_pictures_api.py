"""Pictures as people look at them: made small, saved under a name, by links that open without a credential and end."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from app import create_app
from app.bootstrap import Services
from app.clients.fal.download import Downloader
from app.clients.storage import LocalStorage
from app.domain import clock, keys
from app.domain.errors import NotFound, StorageUnavailable
from app.domain.job import Job
from app.pictures.provenance import COMPOSITE, TRAINED, marks_of
from app.services.people.uploads import ANY_SIDE
from app.services.pictures.finding import Picture
from app.services.pictures.links import PERIOD, Look, PictureLinks
from tests.support.factories import picture
from tests.support.failing_storage import FailingStorage
from tests.support.gateway import Gateway
from tests.support.images import noise, opened, saved
from tests.support.marks import manifest, with_c2pa
from tests.support.services import with_parts


def client_of(services: Services) -> FlaskClient:
    settings = dataclasses.replace(services.settings, allow_anonymous=True)
    return create_app(settings, with_parts(services, settings=settings)).test_client()


@pytest.fixture
def client(gateway: Gateway) -> FlaskClient:
    return client_of(gateway.services)


@pytest.fixture
def job(gateway: Gateway) -> Job:
    """A finished job whose first picture is large enough to be made small."""
    job = gateway.generated(gateway.order(num_images=2, prompt="A red bicycle, leaning at/the wall of a house"))
    replace(gateway.services, job, saved(noise(1600, 800), "PNG"))
    return job


def replace(services: Services, job: Job, content: bytes) -> None:
    services.storage.put(job.images[0].key, io.BytesIO(content), "image/png")


def get(client: FlaskClient, address: str) -> TestResponse:
    """Return an answer that is read to its end, so that nothing stays open."""
    return client.get(address, buffered=True)


def path_of(link: str) -> str:
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"


def image_of(client: FlaskClient, job: Job) -> dict[str, Any]:
    found: dict[str, Any] = get(client, f"/api/jobs/{job.id}").get_json()["images"][0]
    return found


def names_in(gateway: Gateway, job: Job) -> set[str]:
    folder = gateway.folder_of(job)
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.mark.parametrize("size", [320, 1024])
def test_a_thumbnail_is_made_at_the_first_look_and_kept(gateway: Gateway, client: FlaskClient, job: Job, size: int) -> None:
    address = f"/api/images/{job.images[0].upload_id}/thumbnail?size={size}"

    first, second = get(client, address), get(client, address)

    picture = opened(first.data)
    assert (first.status_code, first.content_type, picture.format, picture.size) == (200, "image/webp", "WEBP", (size, size // 2))
    assert second.data == first.data
    assert f"image_0.jpg.{size}.webp" in names_in(gateway, job)


def test_both_links_open_without_a_header_and_say_what_they_are(gateway: Gateway, job: Job) -> None:
    image = image_of(client_of(gateway.services), job)
    stranger = create_app(gateway.services.settings, gateway.services).test_client()

    small, large = (get(stranger, path_of(link)) for link in (image["thumbnailUrl"], image["thumbnailUrl"].replace("=320", "=1024")))
    whole = get(stranger, path_of(image["downloadUrl"]))

    assert (opened(small.data).size, opened(large.data).size) == ((320, 160), (1024, 512))
    assert whole.data == gateway.stored(job)[0]
    assert whole.headers["Content-Disposition"] == "attachment; filename=flux-dev-A-red-bicycle-leaning-at-the-1.jpg"
    assert get(stranger, f"/api/images/{job.images[0].upload_id}/thumbnail").status_code == 401


def test_a_name_is_made_of_letters_of_any_script(gateway: Gateway) -> None:
    job = gateway.generated(gateway.order(prompt="دراجة حمراء"))
    stranger = create_app(gateway.services.settings, gateway.services).test_client()

    header = get(stranger, path_of(str(gateway.services.links.download_url(job.images[0].key)))).headers["Content-Disposition"]

    assert unquote(header.partition("filename*=UTF-8''")[2]) == "flux-dev-دراجة-حمراء-1.jpg"
    assert Picture(dataclasses.replace(job, inputs={}), job.images[0]).file_name == "flux-dev-1.jpg"


@pytest.mark.parametrize(
    "change",
    [
        lambda link: link.replace("signature=", "signature=x"),
        lambda link: link.replace("image_0", "image_1"),
        lambda link: link.replace("/thumbnail/", "/download/"),
        lambda link: link.replace("expires=", "expires=9"),
        lambda link: link.replace("expires=", "expires=x"),
        lambda link: link.partition("?")[0],
        lambda link: link.replace("signature=", "signature=%C3%A9"),
    ],
)
def test_a_link_that_was_not_made_here_opens_nothing(gateway: Gateway, client: FlaskClient, job: Job, change: Any) -> None:
    link = str(gateway.services.links.thumbnail_url(job.images[0].key))

    answer = get(client, path_of(change(link)))

    assert (answer.status_code, answer.get_json()["code"]) == (403, "forbidden")


def test_a_link_ends_within_a_day_and_is_the_same_for_half_a_day(gateway: Gateway) -> None:
    start = clock.now().replace(hour=1, minute=0)
    moments = [start]
    links = PictureLinks(storage=gateway.services.storage, own_url="http://x", secret="s" * 32, now=lambda: moments[-1])
    first, period = links.thumbnail_url("a/b.png"), links.link_period()

    moments.append(start + timedelta(hours=10))
    assert (links.thumbnail_url("a/b.png"), links.link_period()) == (first, period)
    expires, signature = int(str(first).partition("expires=")[2].partition("&")[0]), str(first).partition("signature=")[2].partition("&")[0]
    links.check(Look.THUMBNAIL, "a/b.png", expires=expires, signature=signature)
    moments.append(start + PERIOD)
    assert links.link_period() != period
    moments.append(start + timedelta(hours=24))
    with pytest.raises(Exception, match="has ended"):
        links.check(Look.THUMBNAIL, "a/b.png", expires=expires, signature=signature)


def test_a_process_without_a_secret_makes_no_links_of_the_service(gateway: Gateway) -> None:
    links = PictureLinks(storage=gateway.services.storage, own_url="http://x", secret="")

    assert (links.thumbnail_url("a.png"), links.download_url("a.png")) == (None, None)
    with pytest.raises(Exception, match="not valid"):
        links.check(Look.THUMBNAIL, "a.png", expires=2**40, signature="")


def test_a_picture_that_cannot_be_made_small_is_shown_as_it_is(gateway: Gateway, client: FlaskClient, job: Job) -> None:
    broken = saved(Image.new("RGB", (64, 64)), "PNG")[:60]
    replace(gateway.services, job, broken)

    answer = get(client, f"/api/images/{job.images[0].upload_id}/thumbnail")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway.services.thumbnails, "_offload", None)  # It is not tried again.
        again = get(client, f"/api/images/{job.images[0].upload_id}/thumbnail?size=1024")

    assert (answer.status_code, answer.content_type, answer.data) == (200, "image/jpeg", broken)
    assert again.data == broken
    assert names_in(gateway, job) == {"image_0.jpg", "image_1.jpg"}


def test_a_picture_that_many_look_at_for_the_first_time_is_made_small_once(
    gateway: Gateway, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    thumbnails, made = gateway.services.thumbnails, 0
    real = thumbnails._offload

    def counted(*args: Any) -> Any:
        nonlocal made
        made += 1
        return real(*args)

    monkeypatch.setattr(thumbnails, "_offload", counted)
    monkeypatch.setattr(thumbnails, "_places", threading.BoundedSemaphore(1))
    with ThreadPoolExecutor(16) as threads:
        looks = list(threads.map(lambda _: thumbnails.of(job.images[0].key, 320), range(16)))
    contents = set()
    for look in looks:
        assert look is not None
        with look:
            contents.add(look.read())

    assert (made, len(contents)) == (1, 1)


def test_a_thumbnail_that_cannot_be_kept_is_shown_all_the_same(gateway: Gateway, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(gateway.services.storage, LocalStorage)
    storage = FailingStorage(gateway.services.storage.root)
    storage.put_fails = True
    monkeypatch.setattr(gateway.services.thumbnails, "_storage", storage)

    answer = get(client_of(gateway.services), f"/api/images/{job.images[0].upload_id}/thumbnail")

    assert opened(answer.data).size == (320, 160)
    assert storage.puts == 1


def test_a_deleted_jobs_thumbnails_and_links_are_gone_with_it(gateway: Gateway, client: FlaskClient, job: Job) -> None:
    link, download = (path_of(image_of(client, job)[name]) for name in ("thumbnailUrl", "downloadUrl"))
    image_id, before = job.images[0].upload_id, get(client, link).status_code

    gateway.services.job_actions.delete(job.id, user_id=None)

    assert before == 200
    assert names_in(gateway, job) == set()
    of_it = [link, download, f"/api/images/{image_id}", f"/api/images/{image_id}/thumbnail", f"/api/jobs/{job.id}"]
    assert [(get(client, path).status_code, get(client, path).get_json()["code"]) for path in of_it] == [(410, "gone")] * len(of_it)
    assert client.post("/api/images/archive", json={"imageIds": [image_id]}).status_code == 410


def test_a_thumbnail_of_a_picture_that_is_deleted_meanwhile_is_not_kept(
    gateway: Gateway, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, key = gateway.services, job.images[0].key

    def deleting(work: Any, *args: Any) -> Any:
        services.job_actions.delete(job.id, user_id=None)
        return work(*args)

    monkeypatch.setattr(services.thumbnails, "_offload", deleting)

    assert services.thumbnails.of(key, 320) is not None
    assert names_in(gateway, job) == set()


def test_one_deleted_picture_takes_its_thumbnails_along(gateway: Gateway, client: FlaskClient, job: Job) -> None:
    links = [path_of(image["thumbnailUrl"]) for image in get(client, f"/api/jobs/{job.id}").get_json()["images"]]
    for link in links:
        get(client, link)

    gateway.services.uploads.delete(job.images[0].upload_id, user_id=job.user_id)

    assert names_in(gateway, job) == {"image_1.jpg", "image_1.jpg.320.webp"}
    assert [get(client, link).status_code for link in links] == [404, 200]


def test_a_storage_that_is_away_is_told_as_such(gateway: Gateway, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(LocalStorage):
        def open(self, key: str) -> Any:
            raise StorageUnavailable(key)

    monkeypatch.setattr(gateway.services.thumbnails, "_storage", Away(gateway.folder_of(job), "http://x"))

    assert get(client_of(gateway.services), f"/api/images/{job.images[0].upload_id}/thumbnail").status_code == 503


def test_one_picture_is_shown_with_all_that_made_it(gateway: Gateway, client: FlaskClient, job: Job) -> None:
    second = get(client, f"/api/images/{job.images[1].upload_id}").get_json()

    of_job = get(client, f"/api/jobs/{job.id}").get_json()
    assert {name: second[name] for name in of_job["images"][1]} == of_job["images"][1]
    assert {name: second[name] for name in ("jobId", "userId", "model", "config", "projectId", "metadata", "batchId", "completedAt")} == {
        name: of_job[name] for name in ("jobId", "userId", "model", "config", "projectId", "metadata", "batchId", "completedAt")
    }
    assert (second["number"], second["prompt"], second["seed"]) == (1, job.inputs["prompt"], job.requests[0].seed)
    assert second["jobCost"] == of_job["cost"]
    assert second["fileName"].endswith("-2.jpg")


class Delivering(Downloader):
    """fal's answer: always this picture."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @contextlib.contextmanager
    def fetch(self, url: str) -> Iterator[IO[bytes]]:
        yield io.BytesIO(self._content)


def delivered(gateway: Gateway, content: bytes, *, provenance: str, **order: Any) -> tuple[Job, bytes]:
    """Return a job to which fal has delivered a picture, and what is stored of it."""
    collector = copy.copy(gateway.services.collector)
    collector._downloader, collector._provenance = Delivering(content), provenance
    job = gateway.collect(gateway.dispatch(gateway.order(**order)), collector=collector)
    return job, gateway.stored(job)[0]


SIGNED = with_c2pa(saved(noise(61, 47), "PNG"), manifest(COMPOSITE))


@pytest.mark.parametrize("content", [saved(noise(61, 47), "JPEG"), saved(noise(61, 47), "PNG"), SIGNED])
def test_a_picture_is_kept_byte_for_byte_and_told_of(gateway: Gateway, client: FlaskClient, content: bytes) -> None:
    job, stored = delivered(gateway, content, provenance="keep")

    said = image_of(client, job)["provenance"]
    of_picture = get(client, f"/api/images/{job.images[0].upload_id}").get_json()["provenance"]
    signed = content is SIGNED
    assert stored == content
    assert said == of_picture == {"c2pa": signed, "digitalSourceType": COMPOSITE if signed else TRAINED, "synthetic": True}


def test_with_xmp_a_picture_says_its_origin_and_is_recorded_as_it_is_stored(gateway: Gateway) -> None:
    content = saved(noise(61, 47), "JPEG")

    job, stored = delivered(gateway, content, provenance="xmp")
    signed, kept = delivered(gateway, SIGNED, provenance="xmp")

    image = job.images[0]
    assert marks_of(io.BytesIO(stored)).digital_source_type == TRAINED
    assert opened(stored).tobytes() == opened(content).tobytes()
    assert (image.sha256, image.size_bytes) == (hashlib.sha256(stored).hexdigest(), len(stored))
    assert (kept, signed.images[0].c2pa) == (SIGNED, True)


@pytest.mark.parametrize("provenance", ["keep", "xmp"])
def test_what_was_made_from_a_picture_says_so(gateway: Gateway, provenance: str) -> None:
    reference = gateway.services.uploads.keep("user-1", io.BytesIO(picture()), sides=ANY_SIDE).upload

    job, stored = delivered(
        gateway, saved(noise(61, 47), "PNG"), provenance=provenance, model="nano-banana-edit", image_urls=[f"upload:{reference.id}"]
    )

    assert job.images[0].digital_source_type == COMPOSITE
    assert (marks_of(io.BytesIO(stored)).digital_source_type == COMPOSITE) is (provenance == "xmp")


def test_only_generated_pictures_of_ones_own_are_there(gateway: Gateway, job: Job) -> None:
    pictures, image = gateway.services.pictures, job.images[0]

    assert pictures.get(image.upload_id, user_id=("somebody", job.user_id)).image == image
    for image_id, whose in ((image.upload_id, "user-2"), (clock.new_id(), None), ("no id", None)):
        with pytest.raises(NotFound):
            pictures.get(image_id, user_id=whose)
    for key in (keys.uploaded_image("user-1", "ab", "png"), keys.generated_image("user-1", job.id, 7, "png")):
        with pytest.raises(NotFound):
            pictures.of_key(key)
