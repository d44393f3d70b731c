"""What the emulator paints shows what it was asked for: letters of every usual script, and the pictures that came along."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFont, features

from scripts.fal_emulator import lettering
from scripts.fal_emulator.lettering import FONTS, wrapped, write
from scripts.fal_emulator.painter import Picture, paint
from scripts.fal_emulator.references import read, uris_of

RED, BLUE, GREEN = (200, 20, 20), (20, 20, 200), (20, 160, 20)


def uri(colour: tuple[int, int, int], size: tuple[int, int] = (800, 600), mode: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, mode)
    return f"data:image/{mode.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def painted(**arguments: object) -> Image.Image:
    found = read(uris_of(arguments))
    picture = Picture(
        prompt=str(arguments.get("prompt", "")), width=1024, height=768, file_format="png", index=0, seed=1, label="m", references=found
    )
    return Image.open(io.BytesIO(paint(picture)))


def is_like(pixel: object, colour: tuple[int, int, int]) -> bool:
    return isinstance(pixel, tuple) and all(abs(one - other) < 24 for one, other in zip(pixel, colour, strict=True))


def test_an_edit_shows_what_it_edits_and_what_else_came() -> None:
    image = painted(prompt="put them together", image_urls=[uri(RED), uri(BLUE), uri(GREEN, mode="JPEG")])

    assert is_like(image.getpixel((400, 300)), RED)
    assert is_like(image.getpixel((1024 - 80, 90)), BLUE)
    assert is_like(image.getpixel((1024 - 80, 250)), GREEN)


def test_a_swap_shows_the_face_in_the_base() -> None:
    image = painted(swap_image_url=uri(BLUE), base_image_url=uri(RED))

    assert is_like(image.getpixel((512, 300)), BLUE)
    assert is_like(image.getpixel((60, 400)), RED)


@pytest.mark.parametrize(
    "odd", ["data:image/png;base64,AAAA", "data:,", "data:image/png;base64,%%%", "https://example.com/a.png", "upload:1"]
)
def test_what_is_no_picture_spoils_nothing(odd: str) -> None:
    assert painted(prompt="a boat", image_url=odd).size == (1024, 768)


def test_a_picture_without_others_is_as_it_was() -> None:
    assert painted(prompt="a boat", image_url=None).size == (1024, 768)


@pytest.mark.parametrize(
    "text",
    [
        "红色自行车",
        "紅色單車",
        "赤い自転車とカタカナ",
        "빨간 자전거",
        "دراجة حمراء",
        "אופניים אדומים",
        "красный велосипед",
        "κόκκινο",
        "xe đạp đỏ",
    ],
)
def test_every_letter_is_in_one_of_the_fonts(text: str) -> None:
    unknown = {name: shape(chr(0x10FFFF), name) for name in (lettering.ALPHABETS, lettering.EAST_ASIAN)}

    boxes = [char for char in text if not char.isspace() and shape(char, lettering._font_name(char)) == unknown[lettering._font_name(char)]]

    assert boxes == []


def shape(char: str, name: str) -> bytes:
    image = Image.new("L", (64, 64))
    ImageDraw.Draw(image).text((8, 8), char, font=ImageFont.truetype(FONTS / name, 32), fill=255)
    return image.tobytes()


def test_arabic_is_joined_and_runs_from_the_right_with_and_without_raqm(monkeypatch: pytest.MonkeyPatch) -> None:
    if not features.check("raqm"):
        pytest.skip("Pillow has no Raqm here")
    with_raqm = _written("سلام")
    monkeypatch.setattr(lettering, "_font", lambda name, size: ImageFont.truetype(FONTS / name, size, layout_engine=ImageFont.Layout.BASIC))
    naive = _written("سلام")
    monkeypatch.setattr(features, "check", lambda _: False)

    without = _written("سلام")

    assert _difference(with_raqm, without) < _difference(with_raqm, naive) / 3


def _difference(one: Image.Image, other: Image.Image) -> int:
    return sum(ImageChops.difference(one, other).tobytes())


def _written(text: str) -> Image.Image:
    image = Image.new("L", (400, 100))
    write(ImageDraw.Draw(image), (10, 10), [text], 48, "white")
    return image


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a red bicycle by the sea", ["a red", "bicycle by", "the sea"]),
        ("红色的自行车很快", ["红色的自行", "车很快"]),
        ("a 红色 b", ["a 红色 b"]),
        ("x" * 25, ["x" * 10, "x" * 10, "x" * 5]),
        ("  ", []),
    ],
)
def test_lines_break_between_words_and_between_characters(text: str, lines: list[str]) -> None:
    assert wrapped(text, 10) == lines
