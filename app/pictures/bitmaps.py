"""BMP files: a header, colors and rows of pixels, and nowhere else anything.

Compressed ones (RLE) are refused: where their pixels end shows only when they are decoded, and hardly any program writes them. Source:
learn.microsoft.com/windows/win32/gdi/bitmap-storage.
"""

from __future__ import annotations

import struct

from app.domain.errors import NotAnImage
from app.pictures.byte_reader import damaged, hidden, truncated
from app.pictures.formats import Parts

HEADER_SIZES = (40, 52, 56, 64, 108, 124)
OLD_HEADER_SIZE = 12
RAW, BITFIELDS = 0, 3
#: Some programs fill a file up to a multiple of four.
MAX_PADDING = 3


def read_bmp(content: bytes) -> Parts:
    """Raises NotAnImage for a file that stops short, or holds something between header and pixels. What follows is left behind."""
    try:
        start, header = struct.unpack_from("<LL", content, 10)
        if header == OLD_HEADER_SIZE:
            width, height, _, bits = struct.unpack_from("<HHHH", content, 18)
            head_end = 26 + (3 << bits if bits <= 8 else 0)
        else:
            width, height, _, bits, compression = struct.unpack_from("<llHHL", content, 18)
            head_end = _head_end(content, header, bits, compression)
    except struct.error:
        raise truncated() from None
    end = start + (abs(width) * bits + 31) // 32 * 4 * abs(height)
    if end > len(content):
        raise truncated()
    if content[head_end:start].strip(b"\0"):
        raise hidden()
    if len(content) - end <= MAX_PADDING and not content[end:].strip(b"\0"):
        return Parts([content])
    return Parts([content[:2], struct.pack("<L", end), content[6:end]])


def _head_end(content: bytes, header: int, bits: int, compression: int) -> int:
    """Return where header, masks and colors end."""
    if header not in HEADER_SIZES:
        raise damaged()
    if compression not in (RAW, BITFIELDS):
        raise NotAnImage("Compressed BMP images are not accepted; save the image as PNG")
    (used,) = struct.unpack_from("<L", content, 46)
    most = 1 << bits if bits <= 8 else 256
    colors = min(used, most) or (most if bits <= 8 else 0)
    masks = 12 if compression == BITFIELDS and header == 40 else 0
    return 14 + header + masks + 4 * colors
