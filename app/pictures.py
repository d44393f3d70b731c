"""What a picture file is: its real type and size, whoever claims what. Bytes decide, never a name or a header."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from typing import IO

from PIL import Image, UnidentifiedImageError

from app.errors import NotAnImage

CONTENT_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"}
EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif", "image/bmp": "bmp"}
#: The largest side fal's image_size allows, squared (fal.md 4.0): what is bigger was made to burst memory.
MAX_PIXELS = 14142 * 14142


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
    """Return the facts of a picture without decoding its pixels. Raises NotAnImage for anything else, and for truncated files and bombs.

    The file is read to its end and left at its start.
    """
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=tuple(CONTENT_TYPES)) as picture:
                kind, width, height = picture.format or "", picture.width, picture.height
                if width * height > max_pixels:
                    raise NotAnImage(f"The image has {width} x {height} pixels, more than is allowed")
                picture.verify()
    except NotAnImage:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError) as exc:
        raise NotAnImage("The file is not a complete JPEG, PNG, WEBP, GIF or BMP image") from exc
    size = file.seek(0, io.SEEK_END)
    _check_end(file, kind, size)
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0)
    return PictureFacts(CONTENT_TYPES[kind], width, height, size, digest)


def _check_end(file: IO[bytes], kind: str, size: int) -> None:
    """Raise NotAnImage where the file stops short: Pillow's verify() reads a PNG to its end, the others only at their start."""
    if kind == "JPEG":
        file.seek(max(0, size - 4096))
        if b"\xff\xd9" not in file.read():
            raise NotAnImage("The image is truncated")
    elif kind == "WEBP":
        file.seek(4)
        if int.from_bytes(file.read(4), "little") + 8 > size:
            raise NotAnImage("The image is truncated")
