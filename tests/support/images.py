"""Images of every kind, and the bytes they are made of."""

from __future__ import annotations

import io
import random
import struct
import zlib

from PIL import Image

from app.pictures.sanitize import CleanPicture, clean
from app.services.people.uploads import ANY_SIDE, SideLimits

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
