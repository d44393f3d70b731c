"""A small JPEG to look at: of any picture, small, upright, and nothing else inside."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from app.domain.errors import NotAnImage
from app.pictures.preview import preview
from tests.support.images import exif, noise, opened, png_of_declared_size, saved

LIMIT = 45_000


def shown(content: bytes, max_bytes: int = LIMIT) -> Image.Image:
    made = preview(io.BytesIO(content), max_bytes=max_bytes)
    assert len(made) <= max_bytes
    picture = opened(made)
    assert (picture.format, picture.mode, dict(picture.getexif())) == ("JPEG", "RGB", {})
    return picture


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGB", "PNG"), ("RGB", "JPEG"), ("RGB", "WEBP"), ("CMYK", "JPEG"), ("L", "PNG"), ("P", "GIF"), ("I;16", "PNG")]
)
def test_every_kind_becomes_a_small_jpeg(mode: str, kind: str) -> None:
    picture = Image.new("I;16", (1024, 768)) if mode == "I;16" else noise(1024, 768).convert(mode)

    assert max(shown(saved(picture, kind)).size) <= 512


def test_what_is_small_is_not_made_larger() -> None:
    assert shown(saved(Image.new("RGB", (40, 30), "red"), "PNG")).size == (40, 30)


def test_what_is_hard_to_press_is_made_smaller_until_it_fits() -> None:
    content = saved(noise(2000, 2000), "PNG")

    assert max(shown(content, max_bytes=12_000).size) < 512


def test_it_stands_upright_and_transparency_is_white() -> None:
    turned = saved(Image.new("RGB", (800, 400), "red"), "JPEG", exif=exif(6))
    clear = saved(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG")

    assert shown(turned).size == (256, 512)
    assert shown(clear).getpixel((32, 32)) == (255, 255, 255)


@pytest.mark.parametrize("content", [b"", b"no picture", png_of_declared_size(20_000, 20_000), png_of_declared_size(9000, 9000)])
def test_what_cannot_be_shown_is_refused(content: bytes) -> None:
    with pytest.raises(NotAnImage):
        preview(io.BytesIO(content), max_bytes=LIMIT)
