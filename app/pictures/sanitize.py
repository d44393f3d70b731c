"""Makes a stranger's picture safe to keep and to pass on: whole, of a bearable size, nothing else inside, and nothing about its maker."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from app.domain.errors import NotAnImage
from app.pictures.formats import (
    Parts,
    bare_png,
    orientation_of,
    read_bmp,
    read_gif,
    read_jpeg,
    read_png,
    read_webp,
    write_jpeg,
    write_plain,
    write_png,
    write_webp,
)
from app.pictures.inspect import CONTENT_TYPES, EXTENSIONS, broken_pictures_refused, not_an_image

#: Where a browser or PHP would begin to obey. The name has to end there: five letters alone occur by chance in large files.
_ACTIVE = re.compile(rb"<(?:script|html|\?php)(?=[\s/>]|\Z)", re.IGNORECASE)


@dataclass(frozen=True)
class _Format:
    name: str
    signature: re.Pattern[bytes]
    read: Callable[[bytes], Parts]
    write: Callable[[Parts, int], bytes]


_FORMATS = (
    _Format("PNG", re.compile(rb"\x89PNG\r\n\x1a\n"), read_png, write_png),
    _Format("JPEG", re.compile(rb"\xff\xd8\xff"), read_jpeg, write_jpeg),
    _Format("WEBP", re.compile(rb"RIFF....WEBP", re.DOTALL), read_webp, write_webp),
    _Format("GIF", re.compile(rb"GIF8[79]a"), read_gif, write_plain),
    _Format("BMP", re.compile(rb"BM"), read_bmp, write_plain),
)


@dataclass(frozen=True)
class CleanPicture:
    """A picture as it may be stored; `width` and `height` are those of its pixels, whatever its orientation."""

    content: bytes
    content_type: str
    width: int
    height: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def extension_of(content: bytes) -> str:
    """Return the file name ending of the type that the first bytes announce. Raises NotAnImage for an unknown one."""
    return EXTENSIONS[CONTENT_TYPES[_format_of(content).name]]


def clean(content: bytes, check_size: Callable[[int, int], None]) -> CleanPicture:
    """Return the picture without metadata, its pixels untouched and its orientation kept. Raises NotAnImage.

    C2PA's manifest stays where nothing else had to be removed: then the file is kept as it came.

    `check_size(width, height)` refuses by raising; it is asked before any pixel is decoded. Then the picture (of a moving one the first
    frame) is decoded once, so that what is stored can be shown. The file must be one of the five types from its first byte to its last.
    Takes up to a second and four bytes of memory for each pixel; may run in any thread.
    """
    kind = _format_of(content)
    parts = kind.read(content)
    orientation = orientation_of(parts.exif, parts.xmp)
    cleaned = kind.write(parts, orientation)
    if parts.c2pa and (cleaned != content or _ACTIVE.search(cleaned)):
        # Something had to go, so a signed manifest would vouch for what is not there any more.
        cleaned = kind.write(parts.without_c2pa(), orientation)
    if _ACTIVE.search(cleaned):
        raise NotAnImage("The file holds a web page or a program besides the image")
    # Pillow would refuse a color profile beyond 1 MiB.
    width, height = _decoded_size(bare_png(cleaned) or cleaned, kind.name, check_size)
    return CleanPicture(cleaned, CONTENT_TYPES[kind.name], width, height)


def _format_of(content: bytes) -> _Format:
    for kind in _FORMATS:
        if kind.signature.match(content):
            return kind
    raise not_an_image()


def _decoded_size(content: bytes, name: str, check_size: Callable[[int, int], None]) -> tuple[int, int]:
    with broken_pictures_refused():
        with Image.open(io.BytesIO(content), formats=(name,)) as picture:
            size = picture.size
            check_size(*size)
            picture.verify()  # Checksums; the file has to be opened anew afterwards.
        with Image.open(io.BytesIO(content), formats=(name,)) as picture:
            picture.load()
    return size
