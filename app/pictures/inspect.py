"""What a picture file is: its real type and size, whoever claims what. Bytes decide, never a name or a header."""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from PIL import Image

from app.domain.errors import NotAnImage
from app.pictures.formats import bare_png, read_gif, truncated

CONTENT_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"}
EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif", "image/bmp": "bmp"}
#: The largest side fal's image_size allows, squared (fal toolkit, image.py): what is bigger was made to burst memory.
MAX_PIXELS = 14142 * 14142
#: A picture of 50 megapixels takes 200 MB while it is decoded.
MAX_DECODED_PIXELS = 8192 * 6144
#: Pillow's own limit, 179 megapixels, is below what fal can make; this one refuses what is twice as large before it is looked at.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
#: The warning is raised where warnings are errors.
BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)
#: What Pillow raises for broken files. UnidentifiedImageError is an OSError.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, OverflowError, struct.error, zlib.error)


@dataclass(frozen=True)
class PictureFacts:
    content_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str

    @property
    def extension(self) -> str:
        return EXTENSIONS[self.content_type]


def inspect(file: IO[bytes], *, max_pixels: int = MAX_PIXELS) -> PictureFacts:
    """Return the facts of a picture. Raises NotAnImage for anything else, for truncated files and bombs.

    Usually without decoding its pixels. Only where something about the file is wrong they are: what a chunk without pixels says, or what
    comes after the picture, does not make it unreadable. The file is read to its end and left at its start.
    """
    try:
        kind, width, height = _examined(file, max_pixels)
    except NotAnImage:
        kind, width, height = _decoded(file, max_pixels)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0)
    return PictureFacts(CONTENT_TYPES[kind], width, height, size, digest)


def _examined(file: IO[bytes], max_pixels: int, *, decode: bool = False) -> tuple[str, int, int]:
    """Return type and size of a file that is whole as far as its structure tells, or as its pixels do. Raises NotAnImage."""
    file.seek(0)
    with broken_pictures_refused(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is refused here, or does not matter.
        with Image.open(file, formats=tuple(CONTENT_TYPES)) as picture:
            # A JPEG with further pictures behind it (MPO) is a JPEG to everybody who looks at it.
            kind = "JPEG" if picture.format == "MPO" else picture.format or ""
            width, height = picture.size
            if width * height > (min(max_pixels, MAX_DECODED_PIXELS) if decode else max_pixels):
                raise NotAnImage(f"The image has {width} x {height} pixels, more than is allowed")
            if decode:
                picture.load()
            else:
                picture.verify()
    if not decode:
        _check_end(file, kind, file.seek(0, io.SEEK_END))
    return kind, width, height


def _decoded(file: IO[bytes], max_pixels: int) -> tuple[str, int, int]:
    """Return type and size of a picture all of whose pixels can be read. Raises NotAnImage."""
    file.seek(0)
    content = file.read()
    if bare := bare_png(content):
        # Pillow refuses texts and profiles beyond 1 MiB, and wrong checksums of chunks that show nothing.
        with contextlib.suppress(NotAnImage):
            return _examined(io.BytesIO(bare), max_pixels, decode=True)
    return _examined(io.BytesIO(content), max_pixels, decode=True)


@contextlib.contextmanager
def broken_pictures_refused() -> Iterator[None]:
    """Turn whatever Pillow raises for a file it cannot read into NotAnImage."""
    try:
        yield
    except BOMBS as exc:
        raise too_large() from exc
    except BROKEN as exc:
        raise not_an_image() from exc


def not_an_image() -> NotAnImage:
    return NotAnImage("The file is not a complete JPEG, PNG, WEBP, GIF or BMP image")


def too_large() -> NotAnImage:
    return NotAnImage("The image has far more pixels than are allowed")


def _check_end(file: IO[bytes], kind: str, size: int) -> None:
    """Raise NotAnImage where the file stops short: Pillow's verify() reads a PNG to its end, the others only at their start."""
    if kind == "GIF":
        file.seek(0)
        read_gif(file.read())
        return
    is_whole = True
    if kind == "JPEG":
        file.seek(max(0, size - 4096))
        is_whole = b"\xff\xd9" in file.read()
    elif kind == "WEBP":
        file.seek(4)
        is_whole = int.from_bytes(file.read(4), "little") + 8 <= size
    elif kind == "BMP":
        file.seek(2)
        is_whole = int.from_bytes(file.read(4), "little") <= size
    if not is_whole:
        raise truncated()
