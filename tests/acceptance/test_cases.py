"""Inputs that people really sent and that were once refused: each is taken, and means what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.acceptance.people import Person
from tests.acceptance.service import Service
from tests.support.cases import case
from tests.support.images import opened

JSON = {"Content-Type": "application/json"}
ASYNC = {**JSON, "Prefer": "respond-async"}


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.client


def test_a_data_uri_is_taken_by_its_bytes_whatever_type_it_claims(client: httpx.Client, service: Service) -> None:
    answer = client.post("/api/images/generate", content=case("json/image_jpg_data_uri.json"), headers=ASYNC)

    assert answer.status_code == 202, answer.text
    assert service.ended(answer.json()["jobId"])["status"] == "completed"


def test_a_sum_of_floats_is_compared_as_money(client: httpx.Client) -> None:
    answer = client.post("/api/images/batch", content=case("json/batch_maxcost_float_sum.json"), headers=JSON)

    assert answer.status_code == 202, answer.text


def test_an_id_may_be_written_in_any_case(client: httpx.Client, service: Service) -> None:
    job_id = service.submit("a red bicycle")
    batch = {"items": [{"model": "flux-dev", "inputs": {"prompt": "x"}}], "userId": "u1"}
    batch_id = client.post("/api/images/batch", json=batch).json()["batchId"]

    job = client.get(f"/api/jobs/{job_id.upper()}")
    of_batch = client.get(f"/api/batches/{batch_id.upper()}")
    listed = client.get("/api/jobs", params={"batchId": batch_id.upper()})

    assert (job.status_code, job.json()["jobId"]) == (200, job_id)
    assert of_batch.json()["batchId"] == batch_id
    assert [found["batchId"] for found in listed.json()["jobs"]] == [batch_id]


def test_a_list_holds_no_infinity_even_of_an_old_order(client: httpx.Client, service: Service) -> None:
    job_id = service.submit("a red bicycle", userId="old-rows", metadata={"weight": 1})
    service.ended(job_id)
    service.database["jobs"].update_one({"_id": job_id}, {"$set": {"metadata.weight": float("inf"), "config.options.seed": float("nan")}})

    answers = [client.get(f"/api/jobs{path}userId=old-rows") for path in ("?", "/export?format=ndjson&", "/export?format=csv&")]

    assert json.loads(answers[0].content, parse_constant=_never)["jobs"][0]["metadata"] == {"weight": None}
    assert json.loads(answers[1].content.splitlines()[0], parse_constant=_never)["jobId"] == job_id
    assert not any(re.search(r"\b(Infinity|NaN|inf|nan)\b(?!-)", WITHOUT_LINKS.sub("", answer.text)) for answer in answers)


#: A signature may hold any letters.
WITHOUT_LINKS = re.compile(r"https?://[^\s\",;]+")


def _never(name: str) -> Any:
    raise AssertionError(name)


@pytest.mark.parametrize(
    "name", ["motion_photo.jpg", "zero_padded.jpg", "gif_no_trailer.gif", "text_script_prompt.png", "ztxt_over_1mb.png"]
)
def test_pictures_of_phones_and_painters_are_uploads(service: Service, name: str) -> None:
    upload = Person(service).upload(case(f"images/{name}"))

    assert (upload["width"], upload["height"]) == (64, 48)


def test_a_picture_stays_the_right_way_up(service: Service) -> None:
    upload = Person(service).upload(case("images/exif_orientation_long.jpg"))

    stored = httpx.get(upload["url"], trust_env=False).content
    assert opened(stored).getexif()[0x0112] == 6


@pytest.mark.parametrize("twice", [lambda f: [*f, ("prompt", (None, "another one"))], lambda f: [*f, ("numberOfImages", (None, "2"))]])
def test_a_forms_field_that_is_given_twice_is_answered_400(service: Service, twice: Callable[[list[Any]], list[Any]]) -> None:
    fields = [
        ("prompt", (None, "a red bicycle")),
        ("referenceType", (None, "full_image")),
        ("numberOfImages", (None, "1")),
        ("image", ("a.jpg", case("images/motion_photo.jpg"))),
    ]

    answer = Person(service).post("/api/generate/image-reference", files=twice(fields))

    assert answer.status_code == 400
    assert "Given more than once" in answer.json()["message"]
