"""The validation rules of contract/image-reference-api.md, each from both sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from PIL.PngImagePlugin import PngInfo

from tests.acceptance.people import Person
from tests.acceptance.service import Service
from tests.support.factories import picture


@pytest.fixture
def ada(service: Service) -> Person:
    return Person(service)


ACCEPTED: list[dict[str, Any]] = [
    {"prompt": "x" * 5},
    {"prompt": "x" * 2000},
    {"numberOfImages": 1},
    {"numberOfImages": 4},
    {"numberOfImages": "3"},
    *({"aspectRatio": ratio} for ratio in ("1:1", "16:9", "9:16", "4:3", "3:4")),
    *({"referenceType": kind} for kind in ("subject", "face", "full_image")),
    {"projectId": None},
]
REFUSED: list[dict[str, Any]] = [
    {"prompt": "x" * 4},
    {"prompt": "x" * 2001},
    {"prompt": "<script>hello</script>"},
    {"prompt": None},
    {"prompt": 12345},
    {"numberOfImages": 0},
    {"numberOfImages": 5},
    {"numberOfImages": -1},
    {"numberOfImages": 2.5},
    {"numberOfImages": "two"},
    {"numberOfImages": True},
    {"aspectRatio": "2:1"},
    {"aspectRatio": "1x1"},
    {"projectId": "my project"},
    {"referenceImageId": "123"},
    {"promptTemplateId": "watercolor"},
    {"negativePrompt": "hands"},
]


def named(fields: dict[str, Any]) -> str:
    return ",".join(f"{name}={str(value)[:12]}" for name, value in fields.items())


@pytest.mark.parametrize("fields", ACCEPTED, ids=named)
def test_what_the_rules_allow_is_accepted(ada: Person, fields: dict[str, Any]) -> None:
    answer = ada.reference(**{"referenceImageId": ada.upload()["id"], **fields})

    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("fields", REFUSED, ids=named)
def test_what_the_rules_forbid_is_refused_and_costs_nothing(ada: Person, fields: dict[str, Any]) -> None:
    upload_id = ada.upload()["id"]
    before = ada.service.footprint()

    answer = ada.reference(**{"referenceImageId": upload_id, **fields})

    (name,) = fields
    body = answer.json()
    assert (answer.status_code, body["success"], body["status"]) == (400, False, 400)
    assert [error["pointer"] for error in body["errors"]] == [f"/{name}"]
    assert (ada.service.footprint(), ada.balance()) == (before, (1000, 0))


def a_picture_of(size: int) -> bytes:
    """Return a right picture of exactly so many bytes: a part that decoders skip fills it."""
    filler = PngInfo()
    filler.add(b"fiLl", bytes(size - len(picture()) - 12))
    return picture(pnginfo=filler)


FILES: dict[str, tuple[Callable[[], bytes], int]] = {
    "jpeg": (lambda: picture("JPEG"), 202),
    "png": (picture, 202),
    "webp": (lambda: picture("WEBP"), 202),
    "gif": (lambda: picture("GIF"), 202),
    "bmp": (lambda: picture("BMP"), 202),
    "tiff": (lambda: picture("TIFF"), 400),
    "svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'/>", 400),
    "text": (lambda: b"hello world" * 20, 400),
    "32 pixels": (lambda: picture(size=(32, 32)), 202),
    "31 pixels wide": (lambda: picture(size=(31, 32)), 400),
    "31 pixels high": (lambda: picture(size=(32, 31)), 400),
    "4096 pixels": (lambda: picture(size=(4096, 4096)), 202),
    "4097 pixels": (lambda: picture(size=(4097, 64)), 400),
    "10 MB": (lambda: a_picture_of(10 * 1024 * 1024), 202),
    "one byte more": (lambda: a_picture_of(10 * 1024 * 1024 + 1), 413),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_are_accepted_up_to_the_documented_limits(ada: Person, kind: str) -> None:
    make, expected = FILES[kind]

    answer = ada.reference_form(make())

    assert answer.status_code == expected, answer.text
    assert answer.json()["success"] is (expected == 202)
