"""Which way up a picture is meant to be shown: the one thing its metadata says that changes what one sees."""

from __future__ import annotations

import re
import struct

UPRIGHT = 1
EXIF_TAG = 0x0112
EXIF_SHORT = 3
#: The standard says SHORT; BYTE, LONG and the signed ones were seen.
EXIF_INTEGERS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l"}
EXIF_HEADER = b"Exif\0\0"
#: A directory holds some dozens of entries; the orientation's number sorts it near the start.
MAX_ENTRIES = 1000

_IN_XMP = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])")


def orientation_of(exif: bytes | None, xmp: bytes | None) -> int:
    """Return the orientation, 1 to 8 as Exif numbers them; 1, upright, where nothing readable is said."""
    found = _in_exif(_without_headers(exif)) if exif else None
    if found is None and xmp and (match := _IN_XMP.search(xmp)):
        found = int(match[1])
    return found or UPRIGHT


def _without_headers(exif: bytes) -> bytes:
    """Return what follows the header, which some programs write a second time when they move Exif from file to file."""
    while exif.startswith(EXIF_HEADER):
        exif = exif.removeprefix(EXIF_HEADER)
    return exif


def exif_of(orientation: int) -> bytes:
    """Return an Exif block (TIFF header, one directory) that says nothing but the orientation."""
    return b"MM\0*" + struct.pack(">LHHHLHHL", 8, 1, EXIF_TAG, EXIF_SHORT, 1, orientation, 0, 0)


def _in_exif(tiff: bytes) -> int | None:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}L", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for number in range(min(entries, MAX_ENTRIES)):
            place = start + 2 + 12 * number
            tag, kind = struct.unpack_from(f"{order}HH", tiff, place)
            if tag == EXIF_TAG:
                value = struct.unpack_from(order + EXIF_INTEGERS[kind], tiff, place + 8)[0] if kind in EXIF_INTEGERS else UPRIGHT
                return value if 1 <= value <= 8 else None
    except struct.error:
        return None
    return None
