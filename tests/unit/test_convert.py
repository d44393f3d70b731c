"""Pictures in another format: their pixels, their transparency, their colors, and the bound on what a conversion takes."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageCms

from app.domain.errors import NotAnImage
from app.pictures.convert import MEMORY_BYTES, PIXEL_BYTES, convert
from tests.support.images import noise, opened, png_of_declared_size, saved


def converted(content: bytes, kind: str, quality: int | None = None) -> Image.Image:
    made = convert(io.BytesIO(content), kind, quality)
    assert made is not None
    with made:
        return opened(made.read())


def test_a_png_of_a_jpeg_has_every_pixel_of_it() -> None:
    content = saved(noise(40, 30), "JPEG")

    made = converted(content, "png")

    assert made.format == "PNG"
    assert made.tobytes() == opened(content).tobytes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_pictures_of_all_colors_can_be_had_in_every_format(mode: str, kind: str) -> None:
    image = noise(20, 10).convert("RGB").convert(mode) if mode != "I;16" else Image.new("I;16", (20, 10), 7)
    content = saved(image, "JPEG" if mode == "CMYK" else "PNG")

    made = converted(content, kind)

    assert (made.format, made.size) == (kind.upper(), (20, 10))


def test_transparency_stays_where_the_format_has_it_and_becomes_white_elsewhere() -> None:
    content = saved(Image.new("RGBA", (8, 8), (200, 0, 0, 0)), "PNG")

    assert converted(content, "webp").convert("RGBA").getpixel((4, 4))[3] == 0
    assert converted(content, "jpeg").getpixel((4, 4)) == (255, 255, 255)


def test_a_color_profile_goes_along_and_nothing_else() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    content = saved(noise(8, 8), "JPEG", icc_profile=profile, exif=exif)

    made = converted(content, "webp")

    assert made.info["icc_profile"] == profile
    assert not made.getexif()


def test_a_lower_quality_makes_a_smaller_file() -> None:
    content = saved(noise(200, 200), "PNG")

    sizes = []
    for quality in (10, 90):
        with convert(io.BytesIO(content), "jpeg", quality) or io.BytesIO() as made:
            sizes.append(len(made.read()))

    assert 0 < sizes[0] < sizes[1]


def test_what_would_take_too_much_memory_is_not_even_decoded() -> None:
    side = int((MEMORY_BYTES / PIXEL_BYTES["jpeg"]) ** 0.5) + 1

    assert convert(io.BytesIO(png_of_declared_size(side, side)), "jpeg") is None


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(NotAnImage):
        convert(io.BytesIO(saved(noise(64, 64), "PNG")[:900]), "jpeg")
