"""What pictures say of their origin: found in every format, said without touching a pixel."""

from __future__ import annotations

import io
import zlib

import pytest
from PIL import ImageSequence

from app.pictures.inspect import inspect
from app.pictures.provenance import COMPOSITE, TERMS, TRAINED, Marks, marks_of, with_source_type
from tests.support.images import chunk, cleaned, exif, noise, opened, saved
from tests.support.marks import STORE, manifest, segment, with_c2pa, with_xmp, xmp

FORMATS = ("PNG", "JPEG", "WEBP")


def marks(content: bytes) -> Marks:
    return marks_of(io.BytesIO(content))


def marked(content: bytes, term: str = TRAINED) -> bytes | None:
    facts = inspect(io.BytesIO(content))
    return with_source_type(content, term, width=facts.width, height=facts.height)


def plain(kind: str) -> bytes:
    return saved(noise(61, 47), kind)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_manifest_is_seen_and_what_it_says(kind: str) -> None:
    assert marks(with_c2pa(plain(kind), manifest(COMPOSITE))) == Marks(c2pa=True, digital_source_type=COMPOSITE)
    assert marks(with_c2pa(plain(kind), STORE + b"\0" * 40)) == Marks(c2pa=True)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "spelled",
    [
        "{} Iptc4xmpExt:DigitalSourceType='{}'/>",
        "{}><Iptc4xmpExt:DigitalSourceType>{}</Iptc4xmpExt:DigitalSourceType></rdf:Description>",
        "{}><Iptc4xmpExt:DigitalSourceType rdf:resource='{}'/></rdf:Description>",
    ],
)
def test_xmp_is_read_however_it_is_spelled(kind: str, spelled: str) -> None:
    assert marks(with_xmp(plain(kind), xmp(COMPOSITE, spelled))) == Marks(digital_source_type=COMPOSITE)


def test_packed_xmp_and_its_second_part_are_read_too() -> None:
    packed = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp()))
    second = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + xmp())
    broken = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0nothing packed")
    png, jpeg = plain("PNG"), plain("JPEG")

    found = [marks(png[:33] + packed + png[33:]), marks(jpeg[:20] + second + jpeg[20:]), marks(png[:33] + broken + png[33:])]

    assert found == [Marks(digital_source_type=TRAINED), Marks(digital_source_type=TRAINED), Marks()]


@pytest.mark.parametrize("term", TERMS)
def test_every_term_is_known_by_its_whole_name(term: str) -> None:
    assert marks(with_c2pa(plain("PNG"), manifest(term))).digital_source_type == term


def test_of_several_manifests_the_last_is_the_pictures_own() -> None:
    both = manifest("digitalCapture") + manifest(COMPOSITE)

    assert marks(with_c2pa(plain("PNG"), both)).digital_source_type == COMPOSITE


@pytest.mark.parametrize("kind", [*FORMATS, "GIF", "BMP"])
def test_a_usual_picture_says_nothing(kind: str) -> None:
    assert marks(plain(kind)) == Marks()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_file_is_read_as_far_as_it_goes(kind: str) -> None:
    whole = with_c2pa(with_xmp(plain(kind), xmp()), manifest())

    found = [marks(whole[:length]) for length in range(0, min(len(whole), 600), 7)]

    assert set(found) <= {Marks(a, b) for a in (False, True) for b in (None, TRAINED)}
    assert marks(whole[:2]) == Marks()


@pytest.mark.parametrize("term", [TRAINED, COMPOSITE])
@pytest.mark.parametrize(
    "content",
    [
        plain("PNG"),
        plain("JPEG"),
        plain("WEBP"),
        saved(noise(60, 40, "RGBA"), "PNG"),
        saved(noise(60, 40, "RGBA"), "WEBP", lossless=True),
        saved(noise(60, 40), "WEBP", lossless=True, exif=exif(6)),
        saved(noise(60, 40), "JPEG", exif=exif(6), progressive=True),
        with_xmp(plain("PNG"), xmp("x")),
        with_xmp(plain("JPEG"), xmp("x")),
        saved(noise(60, 40), "WEBP", xmp=xmp("x")),
        saved(noise(60, 40), "WEBP", save_all=True, append_images=[noise(60, 40, "L")]),
    ],
)
def test_a_picture_says_its_origin_and_no_pixel_changes(content: bytes, term: str) -> None:
    made = marked(content, term)

    assert made is not None
    before, after = opened(content), opened(made)
    pixels = [[frame.tobytes() for frame in ImageSequence.Iterator(picture)] for picture in (before, after)]
    assert (after.format, after.mode, after.size, pixels[1]) == (before.format, before.mode, before.size, pixels[0])
    assert dict(after.getexif()) == dict(before.getexif())
    assert inspect(io.BytesIO(made)).content_type == inspect(io.BytesIO(content)).content_type
    assert marks(made) == Marks(digital_source_type=term)
    assert term in str(after.info["xmp"] if "xmp" in after.info else after.info["XML:com.adobe.xmp"])


def test_what_xmp_said_before_stays() -> None:
    packet = xmp("x", "{} dc:title='A bicycle {}'/>")

    for content in (with_xmp(plain("PNG"), packet), with_xmp(plain("JPEG"), packet), saved(noise(60, 40), "WEBP", xmp=packet)):
        made = marked(content)
        assert made is not None
        assert made.count(b"A bicycle") == made.count(b"<x:xmpmeta") == 1


def test_where_it_cannot_be_said_nothing_is_changed() -> None:
    full = with_xmp(plain("JPEG"), xmp("x", "{} dc:title='" + "x" * 65_150 + "{}'/>"))

    assert [marked(content) for content in (plain("GIF"), plain("BMP"), full, with_xmp(plain("PNG"), b"no RDF"))] == [None] * 4


@pytest.mark.parametrize("kind", FORMATS)
def test_an_upload_keeps_its_manifest_where_nothing_had_to_be_removed(kind: str) -> None:
    signed = with_c2pa(plain(kind), manifest())

    assert cleaned(signed).content == signed


@pytest.mark.parametrize("kind", FORMATS)
def test_an_upload_that_held_more_loses_the_manifest_with_it(kind: str) -> None:
    held = with_c2pa(saved(noise(61, 47), kind, exif=exif(1)), manifest())
    active = with_c2pa(plain(kind), manifest() + b"<script>alert(1)</script>")

    for content in (held, active):
        kept = cleaned(content)
        assert marks(kept.content) == Marks()
        assert opened(kept.content).tobytes() == opened(content).tobytes()


def test_a_picture_of_many_parts_takes_no_longer_than_its_size() -> None:
    many = b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"") * 60_000

    assert marks(many) == Marks()
    assert marks(b"\xff\xd8" + b"\xff" * 100_000) == Marks()
