"""contract/image-reference-api.md, to the letter."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.acceptance.people import Person
from tests.acceptance.service import Answer, Service, wait_until
from tests.support.factories import picture

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
PROJECT = "770e8400-e29b-41d4-a716-446655440002"
NOBODYS = "550e8400-e29b-41d4-a716-446655440000"
MISSING = "Either upload an image file or provide referenceImageId"
BAD_TYPE = "Invalid reference type. Allowed: subject, face, full_image"


@pytest.fixture
def ada(service: Service) -> Person:
    return Person(service)


def submits_about(service: Service, words: str) -> list[Answer]:
    """Return what fal was sent about these words, which the service has put a text around."""
    return [seen for seen in service.emulator.requests() if words in (seen["arguments"] or {}).get("prompt", "")]


def refusal(answer: httpx.Response) -> tuple[int, Answer]:
    """Return the fields of the contract's error body."""
    body = answer.json()
    return answer.status_code, {name: body[name] for name in ("success", "status", "message")}


def unmistakable(color: tuple[int, int, int] = (17, 99, 201)) -> bytes:
    image = Image.new("RGB", (96, 64), color)
    image.putpixel((5, 7), (250, 240, 10))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_form_with_a_picture_is_answered_field_by_field_as_documented(ada: Person) -> None:
    answer = ada.reference_form(aspectRatio="1:1", numberOfImages="2")

    body = answer.json()
    data = body["data"]
    generation_id, reference_id = data["generationId"], data["referenceImageId"]
    assert answer.status_code == 202
    assert body == {
        "success": True,
        "message": "Job queued successfully",
        "data": {
            "jobId": generation_id,
            "generationId": generation_id,
            "referenceImageId": reference_id,
            "status": "pending",
            "message": "Image reference generation queued successfully",
            "numberOfImages": 2,
            "metadata": {
                "prompt": "Professional headshot in business attire",
                "referenceType": "face",
                "aspectRatio": "1:1",
                "projectId": None,
                "uploadedNewImage": True,
            },
            "websocketEvents": {"progress": "generation_progress", "completed": "generation_completed", "failed": "generation_failed"},
            "statusEndpoint": f"/api/generate/queue/{generation_id}",
        },
    }
    assert UUID.fullmatch(generation_id)
    assert UUID.fullmatch(reference_id)
    assert reference_id != generation_id
    upload = ada.data(f"/api/uploads/{reference_id}")
    assert (upload["purpose"], upload["fileName"], upload["jobId"]) == ("generation_input", "me.png", None)


def test_a_previous_upload_is_used_by_form_and_by_json(ada: Person) -> None:
    upload = ada.upload()
    fields = {"prompt": "Transform into cyberpunk style", "referenceType": "full_image", "aspectRatio": "16:9", "numberOfImages": "1"}

    # A form without a file is multipart in a browser; httpx makes one only of parts.
    parts = {name: (None, value) for name, value in {**fields, "referenceImageId": upload["id"], "projectId": PROJECT}.items()}
    by_form = ada.post("/api/generate/image-reference", files=parts)
    by_json = ada.reference(**{**fields, "numberOfImages": 1}, referenceImageId=upload["id"], projectId=PROJECT)

    for answer in (by_form, by_json):
        data = answer.json()["data"]
        assert answer.status_code == 202
        assert data["referenceImageId"] == upload["id"]
        assert data["metadata"] == {
            "prompt": "Transform into cyberpunk style",
            "referenceType": "full_image",
            "aspectRatio": "16:9",
            "projectId": PROJECT,
            "uploadedNewImage": False,
        }


def test_json_brings_the_picture_itself_as_a_form_does(ada: Person) -> None:
    content = picture()
    uri = f"data:image/png;base64,{base64.b64encode(content).decode()}"

    by_json, by_form = ada.reference(image=uri), ada.reference_form(content)

    told = [answer.json()["data"] for answer in (by_json, by_form)]
    assert [answer.status_code for answer in (by_json, by_form)] == [202, 202]
    assert told[0]["referenceImageId"] == told[1]["referenceImageId"]
    assert told[0]["metadata"]["uploadedNewImage"] is True


@pytest.mark.parametrize(
    "image",
    ["https://example.com/me.png", "data:text/plain;base64,aGVsbG8=", "data:image/png;base64,aGVsbG8", "data:image/png;base64,aGVsbG8=", 7],
    ids=["a link", "no picture's type", "half of base64", "no picture", "a number"],
)
def test_json_that_brings_no_picture_is_refused_and_nothing_is_stored(ada: Person, image: Any) -> None:
    before = ada.service.footprint()

    answer = ada.reference(image=image)

    assert answer.status_code == 400, answer.text
    assert ada.service.footprint() == before


def test_json_with_two_references_is_refused(ada: Person) -> None:
    uri = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"

    answer = ada.reference(image=uri, referenceImageId=NOBODYS)

    assert refusal(answer)[1]["message"] == "Provide either an image file or referenceImageId, not both"


def test_a_form_with_empty_optional_fields_counts_them_as_left_out(ada: Person) -> None:
    answer = ada.reference_form(aspectRatio="", numberOfImages="", projectId="", referenceImageId="")

    data = answer.json()["data"]
    assert (answer.status_code, data["numberOfImages"], data["metadata"]["aspectRatio"], data["metadata"]["projectId"]) == (
        202,
        1,
        "1:1",
        None,
    )


def test_no_reference_is_refused_in_the_documents_words(ada: Person) -> None:
    expected = (400, {"success": False, "status": 400, "message": MISSING})

    assert refusal(ada.reference()) == expected
    assert (
        refusal(ada.post("/api/generate/image-reference", files={"prompt": (None, "hello"), "referenceType": (None, "face")})) == expected
    )


@pytest.mark.parametrize("reference_type", ["nose", "Face", "", None, 7], ids=str)
def test_an_invalid_reference_type_is_refused_in_the_documents_words(ada: Person, reference_type: Any) -> None:
    answer = ada.reference(referenceType=reference_type, referenceImageId=ada.upload()["id"])

    assert refusal(answer) == (400, {"success": False, "status": 400, "message": BAD_TYPE})


def test_too_few_tokens_are_refused_in_the_documents_words_and_nothing_is_kept(ada: Person) -> None:
    ada.spend_down_to(50)
    before = ada.service.footprint()

    by_form, two = ada.reference_form(), ada.reference(numberOfImages=2, referenceImageId=NOBODYS)

    assert refusal(by_form) == (400, {"success": False, "status": 400, "message": "Insufficient tokens. Need 150, have 50"})
    assert refusal(two) == (400, {"success": False, "status": 400, "message": "Insufficient tokens. Need 300, have 50"})
    assert (ada.service.footprint(), ada.balance()) == (before, (50, 0))


def test_a_reference_that_is_not_ones_own_is_refused_in_the_documents_words(ada: Person) -> None:
    grace = Person(ada.service, "grace")
    hers = grace.upload()["id"]
    before = ada.service.footprint()

    answers = [ada.reference(referenceImageId=wanted) for wanted in (hers, NOBODYS)]

    for answer in answers:
        assert refusal(answer) == (500, {"success": False, "status": 500, "message": "Reference image not found or access denied"})
    assert {name for answer in answers for name in answer.json()} == {"success", "status", "code", "message", "retryable", "requestId"}
    assert (ada.service.footprint(), ada.balance()) == (before, (1000, 0))


def test_both_kinds_of_reference_at_once_are_refused(ada: Person) -> None:
    answer = ada.reference_form(referenceImageId=ada.upload()["id"])

    assert (answer.status_code, answer.json()["message"]) == (400, "Provide either an image file or referenceImageId, not both")


def test_the_picture_and_the_enhanced_prompt_reach_fal(ada: Person) -> None:
    words, content = f"Wizard robes {ada.id}", unmistakable()

    answer = ada.reference_form(content, prompt=f"{words}<script>alert(1)</script>", referenceType="subject", aspectRatio="4:3")
    generation = ada.ended(ada.ordered(answer))

    (sent,) = submits_about(ada.service, words)
    (uri,) = sent["arguments"]["image_urls"]
    head, _, encoded = uri.partition(",")
    with Image.open(io.BytesIO(content)) as ours, Image.open(io.BytesIO(base64.b64decode(encoded))) as theirs:
        assert (theirs.size, theirs.convert("RGB").tobytes()) == (ours.size, ours.convert("RGB").tobytes())
    assert head == "data:image/png;base64"
    assert sent["endpoint"] == "fal-ai/nano-banana-pro/edit"
    assert (sent["arguments"]["aspect_ratio"], sent["arguments"]["num_images"]) == ("4:3", 1)
    assert sent["arguments"]["prompt"].endswith(f"New image: {words}")
    assert "form, shape, proportions, colors and textures" in sent["arguments"]["prompt"]
    assert generation["metadata"]["prompt"] == words


@pytest.mark.parametrize(("mode", "kept"), [("face", "skin tone"), ("full_image", "color palette"), ("subject", "textures")])
def test_each_focus_mode_preserves_what_the_document_says(ada: Person, mode: str, kept: str) -> None:
    words = f"In a forest {ada.id}"

    ada.ordered(ada.reference_form(prompt=words, referenceType=mode))

    (sent,) = wait_until(lambda: submits_about(ada.service, words), 30, "the submit")
    assert kept in sent["arguments"]["prompt"]


def test_the_record_has_the_fields_of_the_documents_example(ada: Person) -> None:
    generation_id = ada.ordered(ada.reference_form(prompt="Professional portrait in modern office", aspectRatio="3:4"))
    images = ada.ended(generation_id)["images"]

    record = ada.service.document(generation_id)
    reference_id = record["referenceImageId"]
    expected = {
        "_id": generation_id,
        "userId": ada.id,
        "operation": "image_reference",
        "prompt": "Professional portrait in modern office",
        "referenceImageId": reference_id,
        "referenceType": "face",
        "outputImageId": images[0]["imageId"],
        "status": "completed",
        "tokensUsed": 150,
        "aiMetadata": {
            "referenceType": "face",
            "referenceImageId": reference_id,
            "enhancedPrompt": record["config"]["inputs"]["prompt"],
            "imageIds": [images[0]["imageId"]],
        },
    }
    assert {name: record[name] for name in expected} == expected
    assert UUID.fullmatch(record["operationTypeId"])
    assert record["aiMetadata"]["enhancedPrompt"].endswith("New image: Professional portrait in modern office")


def test_a_generated_image_is_the_reference_of_the_next(ada: Person) -> None:
    first = ada.ended(ada.ordered(ada.reference_form()))
    (image,) = first["images"]
    words = f"Now in watercolor {ada.id}"

    second = ada.ended(ada.ordered(ada.reference(referenceImageId=image["imageId"], prompt=words)))

    (sent,) = submits_about(ada.service, words)
    stored = httpx.get(image["imageUrl"], trust_env=False).content
    uri = f"data:{image['mimeType']};base64,{base64.b64encode(stored).decode()}"
    # The emulator keeps the beginning of a long text, and its length.
    beginning, _, length = sent["arguments"]["image_urls"][0].partition("… (")
    assert (uri.startswith(beginning), length) == (True, f"{len(uri)} characters)")
    assert second["status"] == "completed"
    assert second["metadata"]["referenceImageId"] == image["imageId"]
    assert ada.data(f"/api/uploads/{image['imageId']}")["purpose"] == "generation_output"


def test_without_a_user_nothing_is_generated(service: Service) -> None:
    answers = [
        service.client.post("/api/generate/image-reference", json={}, headers=headers)
        for headers in ({}, {"Authorization": "Bearer nonsense"})
    ]

    assert [(answer.status_code, answer.headers["www-authenticate"]) for answer in answers] == [(401, "Bearer")] * 2
