"""What of a stranger's picture is kept: its pixels, their colors, which way up they are; and nothing else."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image, PngImagePlugin

from app.pictures.formats import orientation_of
from app.pictures.inspect import CONTENT_TYPES
from app.pictures.sanitize import CleanPicture
from tests.support.cases import case
from tests.support.images import PLACE, chunk, cleaned, exif, noise, opened, saved

FORMATS = tuple(CONTENT_TYPES)


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


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    "tail", [b"\n", b"x", b"PK\x03\x04" + b"\0" * 30, b"GIF89a", b"\0" * 20, b"\xff\xd9", b"<script>alert(1)</script>"]
)
def test_what_follows_a_whole_picture_is_left_out(file_format: str, tail: bytes) -> None:
    content = saved(noise(40, 40), file_format)

    assert cleaned(content + tail).content == content


@pytest.mark.parametrize(
    "name", ["motion_photo.jpg", "zero_padded.jpg", "gif_no_trailer.gif", "text_script_prompt.png", "ztxt_over_1mb.png"]
)
def test_files_of_phones_and_painters_are_kept_as_the_picture_that_they_are(name: str) -> None:
    kept = cleaned(case(f"images/{name}"))

    assert (kept.width, kept.height) == (64, 48)
    assert b"script" not in kept.content
    assert b"ftyp" not in kept.content


@pytest.mark.parametrize("end", [b"", b"\0\0\0", b"\n"])
def test_a_gif_without_its_end_mark_gets_one(end: bytes) -> None:
    content = saved(noise(40, 40), "GIF")

    assert cleaned(content[:-1] + end).content == content


@pytest.mark.parametrize("kind", ["B", "H", "L", "b", "h", "l"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("header", [b"", b"Exif\0\0", b"Exif\0\0Exif\0\0"])
def test_the_orientation_is_read_in_every_integer_that_programs_write(kind: str, order: str, header: bytes) -> None:
    number = {"B": 1, "H": 3, "L": 4, "b": 6, "h": 8, "l": 9}[kind]
    value = struct.pack(order + kind, 6).ljust(4, b"\0")
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}LHHHL", 8, 1, 0x0112, number, 1) + value + bytes(4)

    assert orientation_of(header + tiff, None) == 6


def test_a_jpegs_orientation_as_a_long_number_is_kept() -> None:
    assert dict(opened(cleaned(case("images/exif_orientation_long.jpg")).content).getexif()) == {0x0112: 6}


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


def test_a_text_may_say_what_it_likes_since_it_is_removed() -> None:
    content = saved(noise(40, 40), "JPEG", comment=b"<script>alert(1)</script>")

    assert cleaned(content).content == saved(noise(40, 40), "JPEG")


def test_a_phones_second_picture_is_left_behind() -> None:
    both = io.BytesIO()
    noise(64, 48).save(both, "MPO", save_all=True, append_images=[noise(32, 24)])

    kept = cleaned(both.getvalue())

    with Image.open(io.BytesIO(kept.content)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (64, 48))
    assert kept.content.endswith(b"\xff\xd9")
    assert len(kept.content) < len(both.getvalue())
