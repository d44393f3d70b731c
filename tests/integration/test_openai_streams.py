"""A job's pictures as events: what comes while there is none, at its end, and when something goes wrong on the way."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.api.http.limits import encodings
from app.api.openai.asked import Asked
from app.api.openai.streams import PULSE, Events
from app.bootstrap import Services
from app.clients.redis import connect_redis
from app.domain.job import Job
from app.services.events.waiting import JobWaiters
from tests.support.gateway import Gateway, StorageAway
from tests.support.services import Backing, with_parts

NAME = "key:a-client"


def asked(*response: str, edit: bool = False) -> Asked:
    return Asked(
        edit=edit, stream=True, response=frozenset(response or ("b64_json",)), output_format=None, output_compression=None, model="dall-e-3"
    )


def events(services: Services, job: Job, wanted: Asked | None = None, **more: Any) -> Events:
    return Events(services, job, wanted or asked(), credential=more.pop("credential", None), name=NAME, **more)


def told(pieces: Iterator[bytes]) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of a stream that ends, comments left out."""
    text = b"".join(pieces).decode()
    assert text.endswith("\n\n")
    blocks = [dict(line.split(": ", 1) for line in block.split("\n") if line[0] != ":") for block in text[:-2].split("\n\n")]
    return [(block["event"], json.loads(block["data"])) for block in blocks if block]


def is_free() -> bool:
    """Tell whether a client of this name has all its places for base64."""
    taken = [encodings.take(NAME) for _ in range(20)]
    for _ in filter(None, taken):
        encodings.give_back(NAME)
    return all(taken)


@pytest.fixture
def found(services: Services, backing: Backing) -> Services:
    # With a connection of their own: the waiters' thread listens until the process ends.
    return with_parts(services, waiters=JobWaiters(connect_redis(backing.redis_url), services.jobs))


@pytest.fixture
def job(gateway: Gateway) -> Job:
    return gateway.generated(gateway.order(num_images=2))


@pytest.mark.parametrize(("edit", "name"), [(False, "image_generation.completed"), (True, "image_edit.completed")])
def test_each_picture_is_an_event_with_all_that_openais_types_promise(
    found: Services, gateway: Gateway, job: Job, edit: bool, name: str
) -> None:
    stream = events(found, job, asked(edit=edit))

    heard = told(iter(stream))

    assert [kind for kind, _ in heard] == [name] * 2
    assert [base64.b64decode(data.pop("b64_json")) for _, data in heard] == gateway.stored(job)
    assert heard[0][1] == {
        "type": name,
        "created_at": int(job.completed_at.timestamp()) if job.completed_at else None,
        "size": "64x64",
        "output_format": "jpeg",
        "quality": "auto",
        "background": "auto",
        "usage": None,
        "gateway": {"jobId": job.id, "cost": job.charged_micros / 1e6, "costCurrency": "USD", "statusUrl": f"/api/jobs/{job.id}"},
    }
    assert stream.progress.is_whole
    assert is_free()


def test_links_are_told_where_they_were_asked_for(found: Services, job: Job) -> None:
    alone, both = (told(iter(events(found, job, asked(*response))))[0][1] for response in (["url"], ["url", "b64_json"]))

    assert alone["url"] == both["url"] == found.storage.url(job.images[0].key)
    assert ("b64_json" in alone, "b64_json" in both) == (False, True)


def test_a_comment_comes_at_once_and_again_and_again_until_there_is_a_picture(found: Services, gateway: Gateway) -> None:
    job = gateway.order()
    pieces = iter(events(found, job, pulse_s=0.01))

    first, *more = [next(pieces) for _ in range(4)]
    gateway.generated(job)
    kinds = [kind for kind, _ in told(pieces)]

    assert first == f": job {job.id}\n\n".encode()
    assert more == [PULSE] * 3
    assert kinds == ["image_generation.completed"]


def test_a_job_that_fails_ends_its_stream_with_openais_error(found: Services, gateway: Gateway, fal_emulator: Any) -> None:
    fal_emulator.outcome("content_policy")
    job = gateway.generated(gateway.order())
    stream = events(found, job)

    ((kind, data),) = told(iter(stream))

    assert kind == "error"
    assert (data["error"]["code"], data["error"]["type"]) == ("moderation_blocked", "image_generation_user_error")
    assert stream.progress.is_whole


def test_a_server_that_is_about_to_end_says_that_the_job_goes_on(found: Services, gateway: Gateway) -> None:
    job = gateway.order()
    stream = events(found, job, pulse_s=0.01)
    pieces = iter(stream)
    first = next(pieces)

    found.waiters.drain()
    ((kind, data),) = told(pieces)

    assert first.startswith(b":")
    assert (kind, data["error"]["code"]) == ("error", "job_still_running")
    assert job.id in data["error"]["message"]
    assert not stream.progress.is_whole


def test_a_storage_that_is_away_is_told_as_an_error_and_nobody_counts_as_answered(found: Services, job: Job) -> None:
    stream = events(with_parts(found, storage=StorageAway(found, 1)), job)

    ((kind, data),) = told(iter(stream))

    assert (kind, data["error"]["code"], data["error"]["type"]) == ("error", "storage_unavailable", "server_error")
    assert not stream.progress.is_whole
    assert is_free()


def test_a_client_that_goes_away_gives_back_its_place(found: Services, job: Job) -> None:
    stream = events(found, job)
    pieces = iter(stream)

    next(pieces), next(pieces)
    pieces.close()  # type: ignore[attr-defined]

    assert not stream.progress.is_whole
    assert is_free()


def test_where_all_places_are_taken_the_stream_waits_and_goes_on_commenting(found: Services, job: Job) -> None:
    taken = [encodings.take(NAME) for _ in range(20)]
    pieces = iter(events(found, job, pulse_s=0.01))

    waiting = [next(pieces) for _ in range(3)]
    for _ in taken:
        encodings.give_back(NAME)
    kinds = [kind for kind, _ in told(pieces)]

    assert waiting[1:] == [PULSE] * 2
    assert kinds == ["image_generation.completed"] * 2
