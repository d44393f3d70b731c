"""What became of a user's generations: one by one, and the list of all kinds."""

from __future__ import annotations

from datetime import datetime

import httpx
import pytest

from tests.acceptance.people import Person
from tests.acceptance.service import Answer, Service

ITEM = {"generationId", "status", "progress", "message", "createdAt", "completedAt", "metadata", "images", "tokensUsed", "processingTimeMs"}
TEXT_METADATA = {"prompt", "numberOfImages", "aspectRatio", "projectId"}
REFERENCE_METADATA = TEXT_METADATA | {"referenceType", "referenceImageId"}


@pytest.fixture
def ada(service: Service) -> Person:
    return Person(service)


def mine(ada: Person, **query: object) -> Answer:
    return ada.data("/api/generate/my-generations", **query)


def ids(items: list[Answer]) -> list[str]:
    return [item["generationId"] for item in items]


def test_a_user_without_generations_has_empty_lists(ada: Person) -> None:
    assert mine(ada) == {"queue": [], "completed": [], "results": [], "cursor": {"next": None, "hasMore": False}}


def test_the_list_tells_what_waits_what_is_done_and_all_in_order(ada: Person) -> None:
    ada.service.emulator.outcome("content_policy", promptContains=f"bad {ada.id}")
    done = [ada.ordered(ada.reference_form(prompt="first")), ada.ordered(ada.text(prompt="second"))]
    failed = ada.ordered(ada.text(prompt=f"bad {ada.id}"))
    for generation_id in (*done, failed):
        ada.ended(generation_id)
    ada.service.emulator.settings(seconds=2.0)
    waiting = ada.ordered(ada.text(prompt="third"))

    shown, with_failed = mine(ada, limit=20), mine(ada, includeFailed="true")

    assert set(shown) == {"queue", "completed", "results", "cursor"}
    assert ids(shown["queue"]) == [waiting]
    assert ids(shown["completed"]) == done[::-1]
    assert ids(shown["results"]) == [waiting, *done[::-1]]
    assert set(with_failed) == {"queue", "completed", "failed", "results", "cursor"}
    assert ids(with_failed["failed"]) == [failed]
    assert ids(with_failed["results"]) == [waiting, failed, *done[::-1]]
    by_type = {item["generationId"]: item["metadata"].get("referenceType") for item in shown["completed"]}
    assert by_type == {done[0]: "face", done[1]: None}
    ada.ended(waiting)


def test_a_finished_generation_has_every_field_in_the_list_and_by_itself(ada: Person) -> None:
    generation_id = ada.ordered(ada.reference_form(prompt="A portrait", aspectRatio="9:16", numberOfImages="2"))

    by_itself = ada.ended(generation_id)

    (listed,) = mine(ada)["completed"]
    created, completed = (datetime.fromisoformat(by_itself[name]) for name in ("createdAt", "completedAt"))
    assert listed == by_itself
    assert set(by_itself) == ITEM
    assert set(by_itself["metadata"]) == REFERENCE_METADATA
    assert {name: by_itself["metadata"][name] for name in ("prompt", "numberOfImages", "aspectRatio", "projectId", "referenceType")} == {
        "prompt": "A portrait",
        "numberOfImages": 2,
        "aspectRatio": "9:16",
        "projectId": None,
        "referenceType": "face",
    }
    assert (by_itself["status"], by_itself["progress"], by_itself["tokensUsed"]) == ("completed", 100, 300)
    assert by_itself["processingTimeMs"] == round((completed - created).total_seconds() * 1000)
    for image in by_itself["images"]:
        assert set(image) == {"imageId", "imageUrl", "thumbnailUrl", "downloadUrl", "mimeType", "sizeBytes"}
        fetched = httpx.get(image["imageUrl"], trust_env=False)
        assert (fetched.status_code, fetched.headers["content-type"], len(fetched.content)) == (200, image["mimeType"], image["sizeBytes"])


def test_a_generation_on_its_way_has_every_field_but_the_end(ada: Person) -> None:
    ada.service.emulator.settings(seconds=1.0)
    generation_id = ada.ordered(ada.text())

    now = ada.generation(generation_id)

    assert set(now) == ITEM
    assert set(now["metadata"]) == TEXT_METADATA
    assert now["status"] in ("pending", "processing")
    assert now["progress"] < 100
    assert (now["images"], now["completedAt"], now["tokensUsed"]) == ([], None, 0)
    ada.ended(generation_id)


def test_a_failed_generation_says_why(ada: Person) -> None:
    ada.service.emulator.outcome("content_policy", promptContains=ada.id)

    failed = ada.ended(ada.ordered(ada.text(prompt=f"bad {ada.id}")))

    assert set(failed) == ITEM | {"error"}
    assert set(failed["error"]) == {"code", "message"}
    assert (failed["status"], failed["images"], failed["tokensUsed"]) == ("failed", [], 0)


def test_an_aspect_ratio_of_text_to_image_is_the_pictures_own(ada: Person) -> None:
    (image,) = ada.ended(ada.ordered(ada.text(aspectRatio="16:9")))["images"]

    upload = ada.data(f"/api/uploads/{image['imageId']}")
    assert (upload["purpose"], upload["jobId"] is not None) == ("generation_output", True)
    assert upload["width"] / upload["height"] == pytest.approx(16 / 9, rel=0.02)


@pytest.mark.parametrize(
    "path", ["nonsense", "12345", "01a1fbd0-bc8c-709f-83ac-6312d7eb7090", "01a1fbd0-bc8c-709f-83ac-6312d7eb7090%00", "%24ne"]
)
def test_a_generation_that_does_not_exist_is_not_found(ada: Person, path: str) -> None:
    answer = ada.get(f"/api/generate/queue/{path}")

    assert (answer.status_code, answer.json()["code"], answer.json()["success"]) == (404, "not_found", False)
