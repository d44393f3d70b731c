from __future__ import annotations

import hashlib
import io
import struct
import zlib

import pytest

from app.domain.errors import NotAnImage
from app.pictures.inspect import CONTENT_TYPES, EXTENSIONS, PictureFacts, inspect
from tests.support.cases import case
from tests.support.factories import picture

FORMATS = tuple(CONTENT_TYPES)


def facts_of(content: bytes) -> PictureFacts:
    return inspect(io.BytesIO(content))


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of_declared_size(width: int, height: int) -> bytes:
    """A small file that claims to be large."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0" * 100)) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_bytes_tell_type_and_size(file_format: str) -> None:
    content = picture(file_format, size=(61, 47))

    facts = facts_of(content)

    assert facts == PictureFacts(CONTENT_TYPES[file_format], 61, 47, len(content), hashlib.sha256(content).hexdigest())
    assert facts.extension == EXTENSIONS[facts.content_type]


def test_the_file_is_left_at_its_start() -> None:
    file = io.BytesIO(picture())
    file.seek(17)

    inspect(file)

    assert file.tell() == 0


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_refused(file_format: str, kept: float) -> None:
    content = picture(file_format, size=(300, 200))

    with pytest.raises(NotAnImage):
        facts_of(content[: int(len(content) * kept)])


@pytest.mark.parametrize("file_format", ["GIF", "BMP"])
def test_a_truncated_gif_or_bmp_is_refused(file_format: str) -> None:
    content = picture(file_format, size=(300, 200))

    with pytest.raises(NotAnImage):
        facts_of(content[: len(content) // 2])


@pytest.mark.parametrize("size", [(30_000, 30_000), (2**31 - 1, 1), (20_000, 10_001), (0, 10)])
def test_a_picture_made_to_burst_memory_is_refused_unopened(size: tuple[int, int]) -> None:
    bomb = png_of_declared_size(*size)

    with pytest.raises(NotAnImage):
        facts_of(bomb)


def test_the_largest_picture_that_fal_can_make_is_one() -> None:
    assert facts_of(png_of_declared_size(14_142, 14_142)).width == 14_142
    with pytest.raises(NotAnImage, match="more pixels than are allowed"):
        facts_of(png_of_declared_size(30_000, 30_000))


def test_the_limit_of_pixels_is_the_last_allowed() -> None:
    content = picture(size=(20, 10))

    assert inspect(io.BytesIO(content), max_pixels=200).width == 20
    with pytest.raises(NotAnImage, match="20 x 10 pixels"):
        inspect(io.BytesIO(content), max_pixels=199)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 1000,
        b"plain text",
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        b"<!doctype html><title>502</title>",
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"RIFF\x04\x00\x00\x00WEBP",
        b"GIF89a",
        b"BM",
    ],
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(NotAnImage):
        facts_of(content)


@pytest.mark.parametrize("file_format", ["TIFF", "ICO", "TGA", "PPM", "PCX"])
def test_formats_that_are_not_offered_are_refused_though_pillow_knows_them(file_format: str) -> None:
    with pytest.raises(NotAnImage):
        facts_of(picture(file_format))


def test_a_picture_with_a_page_hidden_behind_it_keeps_the_type_of_its_bytes() -> None:
    facts = facts_of(picture("PNG") + b"<script>alert(1)</script>")

    assert facts.content_type == "image/png"


def test_a_page_with_a_picture_hidden_behind_it_is_refused() -> None:
    with pytest.raises(NotAnImage):
        facts_of(b"<script>alert(1)</script>" + picture("PNG"))


def test_the_facts_follow_the_bytes_whatever_the_first_ones_pretend() -> None:
    with pytest.raises(NotAnImage):
        facts_of(b"\xff\xd8\xff\xe0" + picture("PNG"))


def png_with(*chunks: bytes) -> bytes:
    """A PNG with chunks between its header and its pixels."""
    content = picture(size=(64, 48))
    return content[:33] + b"".join(chunks) + content[33:]


LONG = zlib.compress(b"a workflow " * 200_000)
BAD_TEXT = png_chunk(b"tEXt", b"Comment\0hello")[:-4] + b"\0\0\0\0"


@pytest.mark.parametrize(
    "content",
    [
        case("images/ztxt_over_1mb.png"),
        png_with(png_chunk(b"zTXt", b"workflow\0\0" + LONG)),
        png_with(png_chunk(b"iTXt", b"workflow\0\1\0\0\0" + LONG)),
        png_with(png_chunk(b"iCCP", b"profile\0\0" + LONG)),
        png_with(BAD_TEXT),
        png_with(png_chunk(b"tEXt", b"no end of a keyword"), BAD_TEXT),
        picture()[:-12],
        picture("JPEG") + bytes(100_000),
        picture("GIF") + b"trailer",
    ],
)
def test_a_picture_whose_pixels_can_be_read_is_one_whatever_else_its_file_says(content: bytes) -> None:
    facts = facts_of(content)

    assert (facts.width, facts.height, facts.size_bytes) == (64, 48, len(content))


def test_a_png_without_the_rest_of_its_pixels_is_refused_though_its_chunks_are_whole() -> None:
    content = picture(size=(300, 200))
    pixels = content[41:-16]
    half = png_chunk(b"IDAT", pixels[: len(pixels) // 2])

    with pytest.raises(NotAnImage):
        facts_of(content[:33] + BAD_TEXT + half + png_chunk(b"IEND", b""))


def test_a_bad_chunk_does_not_open_a_picture_made_to_burst_memory() -> None:
    bomb = png_of_declared_size(12_000, 12_000)

    with pytest.raises(NotAnImage):
        facts_of(bomb[:33] + BAD_TEXT + bomb[33:])


def test_a_moving_gif_is_a_picture() -> None:
    from PIL import Image

    buffer = io.BytesIO()
    frames = [Image.new("RGB", (10, 12), color) for color in ("red", "blue")]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])

    assert facts_of(buffer.getvalue()).content_type == "image/gif"


def test_a_png_with_a_damaged_chunk_is_refused() -> None:
    content = bytearray(picture(size=(100, 100)))
    content[-20] ^= 0xFF

    with pytest.raises(NotAnImage):
        facts_of(bytes(content))
