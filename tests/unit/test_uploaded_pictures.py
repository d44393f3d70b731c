"""What a stranger's file must be to be kept as a picture, and what of it is kept."""

from __future__ import annotations

import io
import random
import struct
import time
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, PngImagePlugin

from app.errors import NotAnImage
from app.pictures import CONTENT_TYPES
from app.sanitizing import CleanPicture, clean, extension_of
from app.services.uploads import ANY_SIDE, SideLimits
from app.services.web_generation import REFERENCE_SIDES
from tests.support.factories import picture

FORMATS = tuple(CONTENT_TYPES)
PLACE = b"52 deg 31' N"
GPS = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)}


def cleaned(content: bytes, sides: SideLimits = ANY_SIDE) -> CleanPicture:
    return clean(content, sides.check)


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    size = width * height * len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (width, height), random.Random(1).randbytes(size))


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def exif(orientation: int | None = None) -> bytes:
    data = Image.Exif()
    data[0x010F] = PLACE.decode()
    data.get_ifd(0x8825).update(GPS)
    if orientation:
        data[0x0112] = orientation
    return data.tobytes()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of_declared_size(width: int, height: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_picture_without_metadata_is_kept_byte_for_byte(file_format: str) -> None:
    content = saved(noise(61, 47), file_format)

    kept = cleaned(content)

    assert kept == CleanPicture(content, CONTENT_TYPES[file_format], 61, 47)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_every_usual_kind_of_bmp_is_kept(mode: str) -> None:
    content = saved(noise(33, 34).convert(mode), "BMP")

    assert cleaned(content).content == content


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_blocks": 1}, {"optimize": True}, {"subsampling": 0}])
def test_every_usual_kind_of_jpeg_is_kept(options: dict[str, object]) -> None:
    content = saved(noise(64, 64), "JPEG", **options)

    assert cleaned(content).content == content


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_the_place_is_removed_and_the_orientation_stays(file_format: str, orientation: int) -> None:
    source = saved(noise(60, 40), file_format, exif=exif(orientation))

    kept = cleaned(source)

    found = opened(kept.content).getexif()
    assert dict(found) == {0x0112: orientation}
    assert not found.get_ifd(0x8825)
    assert PLACE in source
    assert PLACE not in kept.content
    assert opened(kept.content).tobytes() == opened(source).tobytes()
    assert (kept.width, kept.height) == (60, 40)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_an_upright_picture_keeps_no_exif_at_all(file_format: str) -> None:
    kept = cleaned(saved(noise(60, 40), file_format, exif=exif(1)))

    assert not opened(kept.content).getexif()
    assert b"Exif" not in kept.content
    assert b"eXIf" not in kept.content


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_cleaning_a_clean_picture_changes_nothing(file_format: str) -> None:
    once = cleaned(saved(noise(60, 40), file_format, exif=exif(6))).content

    assert cleaned(once).content == once


@pytest.mark.parametrize("broken", [b"", b"Exif\0\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"\0" * 100])
def test_unreadable_exif_is_dropped_without_a_word(broken: bytes) -> None:
    source = saved(noise(40, 40), "PNG")
    content = source[:33] + chunk(b"eXIf", broken) + source[33:]

    assert cleaned(content).content == source


def test_the_orientation_is_read_from_xmp_where_exif_is_silent() -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="8" exif:GPSLatitude="52,31N"/></x:xmpmeta>'

    kept = cleaned(saved(noise(40, 40), "JPEG", xmp=xmp))

    assert dict(opened(kept.content).getexif()) == {0x0112: 8}
    assert b"GPSLatitude" not in kept.content


def test_comments_and_vendors_segments_of_a_jpeg_are_removed_and_its_colors_stay() -> None:
    profile = b"icc " * 20_000
    plain = saved(noise(40, 40), "JPEG", icc_profile=profile)
    iptc = b"\xff\xed" + struct.pack(">H", 2 + 14 + 4) + b"Photoshop 3.0\0" + b"IPTC"
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(PLACE)) + PLACE

    kept = cleaned(plain[:2] + comment + iptc + plain[2:])

    assert kept.content == plain
    assert opened(kept.content).info["icc_profile"] == profile


def test_the_texts_of_a_png_are_removed_and_its_colors_stay() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "a secret prompt")
    texts.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    texts.add_text("Comment", "zipped", zip=True)

    kept = cleaned(saved(noise(40, 40, "RGBA"), "PNG", pnginfo=texts, icc_profile=b"icc profile", dpi=(300, 300)))

    assert kept.content == saved(noise(40, 40, "RGBA"), "PNG", icc_profile=b"icc profile", dpi=(300, 300))


def test_the_xmp_of_a_webp_is_removed_and_its_colors_stay() -> None:
    kept = cleaned(saved(noise(40, 40, "RGBA"), "WEBP", lossless=True, xmp=b"<x:xmpmeta/>", icc_profile=b"icc profile"))

    assert kept.content == saved(noise(40, 40, "RGBA"), "WEBP", lossless=True, icc_profile=b"icc profile")


def test_a_moving_gif_still_moves_and_has_lost_its_comment() -> None:
    frames = [noise(40, 32).quantize() for _ in range(3)] + [noise(32, 40).resize((40, 32)).quantize()]
    source = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=[10, 20, 30, 40], loop=2, comment=PLACE)

    kept = opened(cleaned(source).content)

    before = opened(source)
    assert (kept.n_frames, kept.info["loop"], kept.info.get("comment")) == (before.n_frames, 2, None)  # type: ignore[attr-defined]
    assert before.info["comment"] == PLACE
    for number in range(before.n_frames):  # type: ignore[attr-defined]
        kept.seek(number)
        before.seek(number)
        assert kept.convert("RGB").tobytes() == before.convert("RGB").tobytes()


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_other_moving_pictures_still_move(file_format: str) -> None:
    frames = [picture_of(color) for color in ("red", "green", "blue")]
    source = saved(frames[0], file_format, save_all=True, append_images=frames[1:], duration=50)

    assert opened(cleaned(source).content).n_frames == 3  # type: ignore[attr-defined]


def picture_of(color: str) -> Image.Image:
    return Image.new("RGB", (40, 40), color)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("missing", [1, 2, 0.05, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(file_format: str, missing: float) -> None:
    content = saved(noise(200, 150), file_format)
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
@pytest.mark.parametrize("tail", [b"x", b"PK\x03\x04" + b"\0" * 30, b"GIF89a", b"\0" * 20, b"\xff\xd8\xff\xd9"])
def test_anything_behind_the_picture_is_refused(file_format: str, tail: bytes) -> None:
    content = saved(noise(40, 40), file_format)

    with pytest.raises(NotAnImage, match="other data besides"):
        cleaned(content + tail)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("tag", [b"<script>", b"<SCRIPT src=", b"<html>", b"<hTmL lang=", b"<?php system(", b"<?PHP\n"])
def test_a_page_or_program_inside_is_refused_wherever_it_is(file_format: str, tag: bytes) -> None:
    content = saved(noise(40, 40), file_format)
    middle = len(content) // 2

    with pytest.raises(NotAnImage, match="page or a program"):
        cleaned(content[:middle] + tag + content[middle:])


def test_a_page_in_metadata_is_refused_though_it_would_be_removed() -> None:
    with pytest.raises(NotAnImage, match="page or a program"):
        cleaned(saved(noise(40, 40), "JPEG", comment=b"<script>alert(1)</script>"))


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


def test_a_file_of_several_pictures_is_refused() -> None:
    content = saved(noise(40, 40), "MPO", save_all=True, append_images=[noise(40, 40)])

    with pytest.raises(NotAnImage, match="other data besides"):
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
        assert_kept_or_refused(lambda: cleaned(damaged(source, chance), SideLimits(1, 4096)))


def assert_kept_or_refused(call: Callable[[], CleanPicture]) -> None:
    try:
        call()
    except NotAnImage:
        return


def damaged(content: bytes, chance: random.Random) -> bytes:
    broken = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(min(len(broken), chance.choice([64, 400, len(broken)])))
        broken[place] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
    return bytes(broken)
