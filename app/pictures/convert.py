"""A picture in another format than it is stored in: for whoever asked for one that its model does not make."""

from __future__ import annotations

from typing import IO, Any

from PIL import Image

from app.pictures.inspect import CONTENT_TYPES, broken_pictures_refused
from app.pictures.spooled import spooled

#: What a conversion may take, measured as the process' growth: bytes for each pixel, by format, and for a WEBP with transparency.
MEMORY_BYTES = 256 * 1024 * 1024
PIXEL_BYTES = {"png": 9, "jpeg": 9, "webp": 13}
CLEAR_WEBP_PIXEL_BYTES = 35
#: Quality of JPEG and WEBP where nobody says another. PNG loses nothing.
QUALITY = 95
#: Where more effort would cost several times the time, and the memory, for some percent of the size.
PNG_LEVEL, WEBP_METHOD = 3, 0
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
WHITE = (255, 255, 255)


def convert(file: IO[bytes], kind: str, quality: int | None = None) -> IO[bytes] | None:
    """Return the picture as "png", "jpeg" or "webp", in a file that is in memory up to 1 MB and on disk beyond.

    None where it has too many pixels to be converted within 256 MB of memory: 29 million for PNG and JPEG, 20 for WEBP, 7.6 for a
    transparent WEBP. Transparency becomes white where the format has none; a color profile goes along, other metadata does not; of a
    moving picture the first frame. Takes a second for some million pixels, with Python's lock released; may run in any thread. Raises
    NotAnImage for what cannot be decoded.
    """
    with broken_pictures_refused(), Image.open(file, formats=tuple(CONTENT_TYPES)) as picture:
        if _memory_of(picture, kind) > MEMORY_BYTES:
            return None
        picture.load()
        return _written(_fitting(picture, kind), kind, _profile_of(picture, kind), quality)


def _memory_of(picture: Image.Image, kind: str) -> int:
    is_clear = kind == "webp" and picture.has_transparency_data
    return picture.width * picture.height * (CLEAR_WEBP_PIXEL_BYTES if is_clear else PIXEL_BYTES[kind])


def _fitting(picture: Image.Image, kind: str) -> Image.Image:
    """Return the picture in colors that the format has."""
    if kind == "png":
        return picture if picture.mode in PNG_MODES else picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if not picture.has_transparency_data:
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    clear = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    if kind == "webp":
        return clear
    flat = Image.new("RGB", clear.size, WHITE)
    flat.paste(clear, mask=clear)
    return flat


def _profile_of(picture: Image.Image, kind: str) -> bytes | None:
    """Return the color profile, where it still is one of the colors that are written: CMYK's is none of RGB's."""
    profile: bytes | None = picture.info.get("icc_profile")
    return profile if picture.mode in ("RGB", "RGBA") or (kind == "png" and picture.mode in PNG_MODES) else None


def _written(picture: Image.Image, kind: str, profile: bytes | None, quality: int | None) -> IO[bytes]:
    settings: dict[str, Any] = {"compress_level": PNG_LEVEL}
    if kind != "png":
        settings = {"quality": QUALITY if quality is None else quality, "method": WEBP_METHOD}
    return spooled(lambda file: picture.save(file, kind.upper(), icc_profile=profile, **settings))
