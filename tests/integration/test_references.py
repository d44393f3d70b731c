"""Reference images: kept on the way in, and fetched or carried as bytes on the way out to fal."""

from __future__ import annotations

import base64
import copy
import io
from typing import Any

import pytest
from PIL import Image

from app.domain.asset import REFERENCE_PREFIX, Purpose
from app.domain.errors import InvalidRequest
from app.domain.fal_request import RequestState
from app.domain.job import JobStatus
from app.services.orders.references import References
from app.services.people.uploads import ANY_SIDE
from app.stores.jobs import JobFilter
from tests.support.factories import picture
from tests.support.gateway import Gateway, StorageAway

PICTURE = picture(size=(32, 24))
LINK = "https://pictures.example/face.png"


def data_uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def edit(gateway: Gateway, *images: str, user_id: str = "user-1") -> Any:
    return gateway.order(model="nano-banana-edit", prompt="make it blue", image_urls=list(images), user_id=user_id)


def upload(gateway: Gateway, content: bytes = PICTURE, user_id: str = "user-1") -> str:
    kept = gateway.services.uploads.keep(user_id, io.BytesIO(content), sides=ANY_SIDE)
    return REFERENCE_PREFIX + kept.upload.id


def received(gateway: Gateway) -> list[str]:
    """Return the images of the one submit that fal saw."""
    (seen,) = gateway.fal.requests()
    images: list[str] = seen["arguments"]["image_urls"]
    return images


def decoded(uri: str) -> bytes:
    head, _, payload = uri.partition(",")
    assert head == "data:image/png;base64"
    return base64.b64decode(payload)


def test_an_upload_and_a_data_uri_reach_fal_as_bytes_and_a_link_as_a_link(gateway: Gateway) -> None:
    other = picture(size=(16, 16), color="blue")

    done = gateway.generated(edit(gateway, upload(gateway), data_uri(other), LINK))

    first, second, third = received(gateway)
    assert done.status is JobStatus.COMPLETED
    assert third == LINK
    for uri, size in ((first, (32, 24)), (second, (16, 16))):
        with Image.open(io.BytesIO(decoded(uri))) as image:
            assert image.size == size


def test_a_job_keeps_references_and_no_bytes(gateway: Gateway) -> None:
    job = edit(gateway, data_uri(PICTURE))

    kept = job.inputs["image_urls"][0]
    assert kept.startswith(REFERENCE_PREFIX)
    assert job.arguments["image_urls"] == [kept]
    assert gateway.services.uploads.get(kept.removeprefix(REFERENCE_PREFIX), user_id="user-1").purpose is Purpose.INPUT


def test_the_same_picture_is_stored_once_for_a_user_and_again_for_another(gateway: Gateway) -> None:
    first, again = upload(gateway), upload(gateway)
    theirs = upload(gateway, user_id="user-2")

    assert first == again != theirs
    assert edit(gateway, data_uri(PICTURE)).inputs["image_urls"] == [first]
    assert gateway.services.database["uploads"].count_documents({}) == 2


def test_a_generated_picture_can_be_the_reference_of_the_next(gateway: Gateway) -> None:
    done = gateway.generated(gateway.order())
    gateway.fal.reset()

    gateway.generated(edit(gateway, REFERENCE_PREFIX + done.images[0].upload_id))

    (sent,) = received(gateway)
    assert base64.b64decode(sent.partition(",")[2]) == gateway.stored(done)[0]


@pytest.mark.parametrize(
    "value",
    [
        "upload:01890000-0000-7000-8000-000000000000",
        "upload:../../etc/passwd",
        "upload:",
        "data:image/png;base64,bm8gcGljdHVyZQ==",
        "data:image/png;base64,!!!",
    ],
)
def test_a_reference_that_cannot_be_used_refuses_the_order(gateway: Gateway, value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        edit(gateway, LINK, value)

    assert [error.pointer for error in refused.value.errors] == ["/inputs/image_urls/1"]
    assert gateway.services.jobs.count(JobFilter()) == 0


def test_somebody_elses_upload_is_no_reference(gateway: Gateway) -> None:
    theirs = upload(gateway, user_id="user-2")

    with pytest.raises(InvalidRequest):
        edit(gateway, theirs)


def test_a_reference_that_was_deleted_meanwhile_fails_the_job_before_anything_is_bought(gateway: Gateway) -> None:
    job = edit(gateway, data_uri(PICTURE))
    gateway.services.database["uploads"].delete_many({})

    failed = gateway.dispatch(job)

    assert (failed.status, failed.failure and failed.failure.code) == (JobStatus.FAILED, "not_found")
    assert gateway.fal.requests() == []


def test_storage_that_is_away_when_a_reference_is_needed_delays_the_submit(gateway: Gateway) -> None:
    storage = StorageAway(gateway.services, failures=0)
    dispatcher = copy.copy(gateway.services.dispatcher)
    dispatcher._references = References(uploads=gateway.services.uploads, storage=storage)
    job = edit(gateway, data_uri(PICTURE))
    storage.failures_left = 1

    dispatcher.post(job.id)
    waiting = gateway.job(job.id)
    gateway.wait(job, 100)
    dispatcher.post(job.id)

    assert (waiting.requests[0].state, waiting.requests[0].attempts) == (RequestState.NEW, 1)
    assert gateway.collect(job).status is JobStatus.COMPLETED
    assert len(gateway.fal.requests()) == 1
