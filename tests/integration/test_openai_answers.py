"""A job's pictures in OpenAI's words: as links, as base64 from storage, in the format that was asked for, and what is said of an end."""

from __future__ import annotations

import base64
import gc
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import IO, Any

import pytest
from flask import Flask, Response, g
from PIL import Image

from app import create_app
from app.api.http.auth import Caller
from app.api.http.limits import encodings
from app.api.openai.answers import answer
from app.api.openai.asked import Asked
from app.bootstrap import Services
from app.clients.storage import LocalStorage
from app.domain.errors import NotFound, StorageUnavailable
from app.domain.job import Job
from tests.support.gateway import Gateway
from tests.support.images import noise, saved
from tests.support.services import with_parts

BOTH = frozenset({"url", "b64_json"})
Hooks = list[tuple[Callable[..., None], tuple[Any, ...], dict[str, Any]]]


def asked(response: frozenset[str] | set[str] = BOTH, output_format: str | None = None, quality: int | None = None) -> Asked:
    return Asked(
        edit=False, stream=False, response=frozenset(response), output_format=output_format, output_compression=quality, model="dall-e-3"
    )


class Desk:
    """Answers jobs as a route would, inside a request whose end is told as the web server tells it."""

    def __init__(self, services: Services) -> None:
        self.app: Flask = create_app(services.settings, services)
        self.written: list[str] = []

    def answered(self, job: Job, wanted: Asked, **more: Any) -> tuple[Response, bytes]:
        """Return an answer and its whole body, the request at its end."""
        hooks: Hooks = []
        with self.app.test_request_context("/", environ_overrides={"eventlet.posthooks": hooks}):
            g.caller = Caller()
            try:
                response = answer(job, wanted, written=lambda: self.written.append(job.id), **more)
                with response:
                    return response, b"".join(response.iter_encoded())
            finally:
                for call, arguments, named in hooks:
                    call({}, *arguments, **named)

    def body(self, job: Job, wanted: Asked) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.answered(job, wanted)[1])
        return found


@pytest.fixture
def desk(services: Services) -> Iterator[Desk]:
    yield Desk(services)
    assert encodings.take("nobody else", wait_s=0)
    encodings.give_back("nobody else")


@pytest.fixture
def job(gateway: Gateway) -> Job:
    return gateway.generated(gateway.order(num_images=2))


def stored_as(gateway: Gateway, job: Job, image: Image.Image, kind: str) -> Job:
    """Put another picture in the place of a job's first one."""
    content = saved(image, kind)
    gateway.services.storage.put(job.images[0].key, io.BytesIO(content), f"image/{kind.lower()}")
    return job


def test_an_answer_has_the_pictures_in_order_and_says_what_they_are(desk: Desk, job: Job, gateway: Gateway) -> None:
    response, body = desk.answered(job, asked())

    found = json.loads(body)
    assert [base64.b64decode(each["b64_json"]) for each in found["data"]] == gateway.stored(job)
    assert [each["url"] for each in found["data"]] == [gateway.services.storage.url(image.key) for image in job.images]
    assert found["data"][0]["url"].startswith("http://")
    assert found["data"][0]["url"].endswith(".jpg")
    assert found | {"data": []} == {
        "created": int(job.completed_at.timestamp()) if job.completed_at else None,
        "data": [],
        "output_format": "jpeg",
        "size": "64x64",
        "gateway": {"jobId": job.id, "cost": job.charged_micros / 1e6, "costCurrency": "USD", "statusUrl": f"/api/jobs/{job.id}"},
    }
    assert (response.status_code, response.mimetype, response.headers["X-Job-Id"]) == (200, "application/json", job.id)


@pytest.mark.parametrize("response", [{"url"}, {"b64_json"}, {"url", "b64_json"}])
def test_pictures_come_as_they_were_asked_for_and_no_other_way(desk: Desk, job: Job, response: set[str]) -> None:
    found = desk.body(job, asked(response))

    assert [set(each) for each in found["data"]] == [response, response]


def test_a_repeat_says_that_it_is_one(desk: Desk, job: Job) -> None:
    assert desk.answered(job, asked(), replayed=True)[0].headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in desk.answered(job, asked())[0].headers


def test_an_answer_of_many_megabytes_takes_less_than_two_of_memory(desk: Desk, job: Job, gateway: Gateway) -> None:
    stored_as(gateway, job, noise(2000, 1800), "PNG")
    hooks: Hooks = []

    with desk.app.test_request_context("/", environ_overrides={"eventlet.posthooks": hooks}):
        g.caller = Caller()
        gc.collect()
        tracemalloc.start()
        size = sum(len(piece) for piece in answer(job, asked()).iter_encoded())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    for call, arguments, named in hooks:
        call({}, *arguments, **named)
    assert size > 14_000_000
    assert peak < 2_000_000


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_format_that_the_model_does_not_make_is_made_when_it_is_answered(desk: Desk, job: Job, gateway: Gateway, kind: str) -> None:
    before = gateway.stored(job)

    found = desk.body(job, asked(output_format=kind))

    made = [Image.open(io.BytesIO(base64.b64decode(each["b64_json"]))) for each in found["data"]]
    assert [(image.format, image.size) for image in made] == [(kind.upper(), (64, 64))] * 2
    assert found["output_format"] == kind
    assert found["data"][0]["url"].endswith(".jpg")
    assert gateway.stored(job) == before


def test_a_picture_in_the_format_that_was_asked_for_is_sent_as_it_is(desk: Desk, job: Job, gateway: Gateway) -> None:
    found = desk.body(job, asked(output_format="jpeg", quality=10))

    assert [base64.b64decode(each["b64_json"]) for each in found["data"]] == gateway.stored(job)


def test_what_cannot_be_decoded_is_answered_as_it_is_and_says_so(desk: Desk, job: Job, gateway: Gateway) -> None:
    for image in job.images:
        gateway.services.storage.put(image.key, io.BytesIO(b"\xff\xd8 no picture"), "image/jpeg")

    found = desk.body(job, asked({"b64_json"}, output_format="png"))

    assert [base64.b64decode(each["b64_json"]) for each in found["data"]] == [b"\xff\xd8 no picture"] * 2
    assert found["output_format"] == "jpeg"


def test_an_answer_that_was_written_whole_is_told_of_once(desk: Desk, job: Job) -> None:
    desk.answered(job, asked())

    assert desk.written == [job.id]


def test_a_client_that_goes_away_amid_its_answer_has_not_been_answered(desk: Desk, job: Job) -> None:
    hooks: Hooks = []
    with desk.app.test_request_context("/", environ_overrides={"eventlet.posthooks": hooks}):
        g.caller = Caller()
        response = answer(job, asked(), written=lambda: desk.written.append(job.id))
        pieces = response.iter_encoded()

        next(pieces), next(pieces)
        response.close()
        for call, arguments, named in hooks:
            call({}, *arguments, **named)

    assert desk.written == []


class Failing(LocalStorage):
    """A folder whose files cannot be opened any more after so many were."""

    def __init__(self, services: Services, after: int) -> None:
        assert isinstance(services.storage, LocalStorage)
        super().__init__(services.storage.root, "http://localhost:5000/files")
        self.left = after

    def open(self, key: str) -> IO[bytes]:
        if not self.left:
            raise StorageUnavailable("The storage folder cannot be used right now")
        self.left -= 1
        return super().open(key)


def test_a_storage_that_is_away_is_told_before_anything_is_answered(services: Services, job: Job) -> None:
    desk = Desk(with_parts(services, storage=Failing(services, 0)))

    with pytest.raises(StorageUnavailable):
        desk.answered(job, asked())

    assert desk.written == []


def test_a_storage_that_goes_away_amid_an_answer_never_leaves_a_body_that_looks_whole(services: Services, job: Job) -> None:
    desk = Desk(with_parts(services, storage=Failing(services, 1)))

    with pytest.raises(StorageUnavailable):
        desk.answered(job, asked())

    assert desk.written == []


def test_pictures_that_were_deleted_meanwhile_are_not_found(desk: Desk, job: Job, gateway: Gateway) -> None:
    gateway.services.storage.delete(job.images[0].key)

    with pytest.raises(NotFound):
        desk.answered(job, asked())
