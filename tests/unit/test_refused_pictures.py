"""What a stranger's file must be to be kept as a picture."""

from __future__ import annotations

import contextlib
import random
import struct
import time
import zlib

import pytest
from PIL import Image

from app.domain.errors import NotAnImage
from app.pictures.inspect import CONTENT_TYPES
from app.pictures.sanitize import extension_of
from app.services.orders.web_generation import REFERENCE_SIDES
from app.services.people.uploads import SideLimits
from tests.support.factories import picture
from tests.support.images import chunk, cleaned, exif, noise, png_of_declared_size, saved

FORMATS = tuple(CONTENT_TYPES)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("missing", [1, 2, 0.05, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(file_format: str, missing: float) -> None:
    content = saved(noise(200, 150), file_format)
    if file_format == "GIF":
        content = content[:-1]  # Its end mark is not missed.
    lost = int(missing) or int(len(content) * missing)

    with pytest.raises(NotAnImage):
        cleaned(content[:-lost])


def test_pixels_that_stop_short_in_a_whole_file_are_refused() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100, 100, 8, 2, 0, 0, 0))
    half = zlib.compress(bytes(301 * 50))
    png = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", half[:-6]) + chunk(b"IEND", b"")
    webp = saved(noise(100, 100), "WEBP", lossless=True)
    cut = webp[20 : len(webp) // 2 // 2 * 2]
    short_webp = b"RIFF" + struct.pack("<L", len(cut) + 12) + b"WEBPVP8L" + struct.pack("<L", len(cut)) + cut
    gif = bytearray(b"GIF89a" + struct.pack("<HHBBB", 100, 100, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff")
    gif += b"," + struct.pack("<HHHHB", 0, 0, 100, 100, 0) + b"\x02\x01\x04\0;"

    for content in (png, short_webp, bytes(gif)):
        with pytest.raises(NotAnImage):
            cleaned(content)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("tag", [b"<script>", b"<SCRIPT src=", b"<html>", b"<hTmL lang=", b"<?php system(", b"<?PHP\n"])
def test_a_page_or_program_inside_is_never_kept_wherever_it_is(file_format: str, tag: bytes) -> None:
    content = saved(noise(40, 40), file_format)
    middle = len(content) // 2

    with pytest.raises(NotAnImage):
        cleaned(content[:middle] + tag + content[middle:])


def test_a_page_in_a_part_that_is_kept_is_refused() -> None:
    with pytest.raises(NotAnImage, match="page or a program"):
        cleaned(saved(noise(40, 40), "JPEG", icc_profile=b"<script>alert(1)</script>"))


def test_letters_that_only_look_like_a_tag_are_no_reason() -> None:
    content = saved(noise(40, 40), "JPEG")
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 20) + b"<scripture> <htmlx> "

    assert cleaned(content[:2] + comment + content[2:]).content == content


def test_something_between_a_bmps_header_and_its_pixels_is_refused() -> None:
    content = saved(noise(40, 40), "BMP")
    gap = b"PK\x03\x04 hidden"
    moved = content[:10] + struct.pack("<L", 54 + len(gap)) + content[14:54] + gap + content[54:]

    with pytest.raises(NotAnImage, match="other data besides"):
        cleaned(moved)


def test_a_compressed_bmp_is_refused() -> None:
    content = bytearray(saved(noise(40, 40).quantize(), "BMP"))
    content[30] = 1

    with pytest.raises(NotAnImage, match="save the image as PNG"):
        cleaned(bytes(content))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"BM",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x04\0\0\0WEBP",
        b"RIFF\0\0\0\0WEBP",
        b"plain text",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<!doctype html><title>502</title>",
        b"%PDF-1.7\n",
        b"\0\0\0\x1cftypheic",
        picture("TIFF"),
        picture("ICO"),
    ],
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(NotAnImage):
        cleaned(content)


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_first_bytes_alone_decide_the_type(file_format: str) -> None:
    content = saved(noise(40, 40), file_format)

    assert extension_of(content[:16]) == {"JPEG": "jpg"}.get(file_format, file_format.lower())
    with pytest.raises(NotAnImage):
        cleaned(b"\xff\xd8\xff" + content[3:] if file_format != "JPEG" else b"BM\xff" + content[3:])


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(("width", "height"), [(32, 32), (32, 100), (100, 32)])
def test_the_smallest_sides_are_still_allowed(file_format: str, width: int, height: int) -> None:
    kept = cleaned(saved(noise(width, height), file_format), REFERENCE_SIDES)

    assert (kept.width, kept.height) == (width, height)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(("width", "height"), [(31, 100), (100, 31), (4097, 32), (32, 4097)])
def test_a_side_outside_of_the_limits_is_refused(file_format: str, width: int, height: int) -> None:
    content = saved(Image.new("RGB", (width, height)), file_format)

    with pytest.raises(NotAnImage, match=f"{width}x{height} pixels; it must be from 32x32 to 4096x4096"):
        cleaned(content, REFERENCE_SIDES)


def test_the_largest_picture_is_still_allowed() -> None:
    kept = cleaned(saved(Image.new("L", (4096, 4096)), "PNG"), REFERENCE_SIDES)

    assert (kept.width, kept.height) == (4096, 4096)


@pytest.mark.parametrize("size", [(8192, 6145), (14142, 14142), (30_000, 30_000), (2**31 - 1, 1), (0, 10)])
def test_a_picture_made_to_burst_memory_is_refused_undecoded(size: tuple[int, int]) -> None:
    started = time.process_time()

    with pytest.raises(NotAnImage):
        cleaned(png_of_declared_size(*size))

    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8" + b"\xff\xfe\0\x02" * 2_500_000 + b"\xff\xd9",
        b"\xff\xd8\xff" + b"\xff" * 10_000_000,
        b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"") * 800_000,
        b"GIF89a" + b"\0" * 7 + b"!\xfe\0" * 3_000_000 + b";",
        b"GIF89a" + b"\0" * 7 + b"!\xfe" + b"\x01a" * 5_000_000 + b"\0;",
        b"RIFF" + struct.pack("<L", 4 + 8_000_000) + b"WEBP" + b"junk\0\0\0\0" * 1_000_000,
    ],
    ids=["jpeg segments", "jpeg filling", "png chunks", "gif extensions", "gif blocks", "webp chunks"],
)
def test_a_file_of_very_many_parts_is_refused_soon(content: bytes) -> None:
    started = time.process_time()

    with pytest.raises(NotAnImage):
        cleaned(content)

    assert time.process_time() - started < 3


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_damaged_file_is_a_picture_or_refused_and_never_an_accident(file_format: str) -> None:
    chance = random.Random(file_format)
    options = {"exif": exif(6)} if file_format in ("JPEG", "PNG", "WEBP") else {}
    source = saved(noise(40, 33).quantize(16).convert("RGB"), file_format, **options)

    for _ in range(400):
        with contextlib.suppress(NotAnImage):
            cleaned(damaged(source, chance), SideLimits(1, 4096))


def damaged(content: bytes, chance: random.Random) -> bytes:
    broken = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(min(len(broken), chance.choice([64, 400, len(broken)])))
        broken[place] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
    return bytes(broken)
