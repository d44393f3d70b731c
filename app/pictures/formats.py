"""What the parts of PNG, WEBP, JPEG, GIF and BMP files are, and which of them a picture needs.

Only parts that are known to carry pixels, colors or movement are kept; everything else (Exif, XMP, IPTC, comments, thumbnails, what
vendors add) is left out. The kept parts are copied as they are, so no pixel changes. Sources: PNG Specification 3rd edition, RFC 9649
(WebP), ITU-T T.81 Annex B (JPEG), GIF89a.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass, field

from app.domain.errors import NotAnImage

#: No program writes a picture of this many parts; walking through more of them only costs time.
MAX_PARTS = 50_000


class ByteReader:
    """A file's bytes in order. Whoever asks for more than there is holds no whole file."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0
        self._parts = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes. Raises NotAnImage where fewer are left."""
        taken = self._content[self._position : self._position + size]
        if len(taken) < size:
            raise truncated()
        self._position += size
        return taken

    def take_some(self, size: int) -> bytes:
        """Return the next bytes, or as many as are left."""
        taken = self._content[self._position : self._position + size]
        self._position += len(taken)
        return taken

    def number(self, size: int, order: str = "big") -> int:
        """Return the next bytes as an unsigned number; `order` is "big" or "little"."""
        return int.from_bytes(self.take(size), "big" if order == "big" else "little")

    def take_until(self, pattern: re.Pattern[bytes]) -> bytes:
        """Return the bytes before the pattern's next match. Raises NotAnImage where there is none."""
        match = pattern.search(self._content, self._position)
        if match is None:
            raise truncated()
        return self.take(match.start() - self._position)

    def take_blocks(self) -> bytes:
        """Return a GIF's next sub-blocks: each begins with its size, and an empty one ends them."""
        position, content = self._position, self._content
        try:
            while size := content[position]:
                position += size + 1
        except IndexError:
            raise truncated() from None
        return self.take(position + 1 - self._position)

    def count_part(self) -> None:
        """Note that one more part begins. Raises NotAnImage after too many."""
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise NotAnImage(f"The image has more than {MAX_PARTS} parts")


def truncated() -> NotAnImage:
    return NotAnImage("The image is truncated")


def damaged() -> NotAnImage:
    return NotAnImage("The image is damaged")


def hidden() -> NotAnImage:
    return NotAnImage("The file holds other data besides the image; save the image anew and send that")


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


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = frozenset(b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs acTL fcTL fdAT".split())
PNG_PIXELS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT"))
PNG_END = struct.pack(">L", 0) + b"IEND" + struct.pack(">L", zlib.crc32(b"IEND"))
WEBP_KEPT = frozenset((b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"))
WEBP_XMP_FLAG, WEBP_EXIF_FLAG = 0x04, 0x08
GIF_KEPT_APPLICATIONS = frozenset((b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"))
XMP_HEADER = b"http://ns.adobe.com/xap/1.0/\0"

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SOI, _EOI, _SOS, _APP0, _APP1, _APP2, _APP11, _APP14, _APP15, _COM = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEB, 0xEE, 0xEF, 0xFE


@dataclass
class Parts:
    """A picture's needed parts in their order, and the metadata that may say which way up it is."""

    kept: list[bytes] = field(default_factory=list)
    #: Which of them are C2PA's: they stay where nothing else has to go, since they vouch for the file as it is.
    c2pa: list[int] = field(default_factory=list)
    exif: bytes | None = None
    xmp: bytes | None = None

    def keep_c2pa(self, part: bytes) -> None:
        self.c2pa.append(len(self.kept))
        self.kept.append(part)

    def without_c2pa(self) -> Parts:
        return Parts([part for place, part in enumerate(self.kept) if place not in self.c2pa], exif=self.exif, xmp=self.xmp)


def read_png(content: bytes) -> Parts:
    """Raises NotAnImage for a file that stops short. What follows the picture is left behind."""
    reader, parts = ByteReader(content), Parts()
    parts.kept.append(reader.take(len(PNG_SIGNATURE)))
    kind = b""
    while kind != b"IEND":
        reader.count_part()
        size = reader.number(4)
        kind, data, checksum = reader.take(4), reader.take(size), reader.take(4)
        if kind in PNG_KEPT:
            parts.kept.append(struct.pack(">L", size) + kind + data + checksum)
        elif kind == b"caBX":
            parts.keep_c2pa(struct.pack(">L", size) + kind + data + checksum)
        elif kind == b"eXIf":
            parts.exif = parts.exif or data
        elif kind == b"iTXt" and data.startswith(b"XML:com.adobe.xmp\0"):
            parts.xmp = data
    return parts


def bare_png(content: bytes) -> bytes:
    """Return a PNG's header, colors and pixels and nothing else, whatever the other chunks hold; empty where it is no PNG.

    Tolerant: a file that stops short gives what is there, and whoever decodes it finds out.
    """
    if not content.startswith(PNG_SIGNATURE):
        return b""
    kept, position = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    for _ in range(MAX_PARTS):
        size = int.from_bytes(content[position : position + 4], "big")
        kind, end = content[position + 4 : position + 8], position + 12 + size
        if kind == b"IEND" or end > len(content):
            break
        if kind in PNG_PIXELS:
            kept.append(content[position:end])
        position = end
    return b"".join((*kept, PNG_END))


def write_png(parts: Parts, orientation: int) -> bytes:
    said = b""
    if orientation != UPRIGHT:
        body = b"eXIf" + exif_of(orientation)
        said = struct.pack(">L", len(body) - 4) + body + struct.pack(">L", zlib.crc32(body))
    return b"".join((*parts.kept[:2], said, *parts.kept[2:]))


def read_webp(content: bytes) -> Parts:
    """Raises NotAnImage for a file that stops short. What follows the picture is left behind."""
    reader, parts = ByteReader(content), Parts()
    reader.take(4)
    left = reader.number(4, "little") - 4
    reader.take(4)
    if left + 12 > len(content):
        raise truncated()
    while left > 0:
        reader.count_part()
        kind, size = reader.take(4), reader.number(4, "little")
        data = reader.take(size + size % 2)
        left -= 8 + len(data)
        if kind in WEBP_KEPT:
            parts.kept.append(kind + struct.pack("<L", size) + data)
        elif kind == b"C2PA":
            parts.keep_c2pa(kind + struct.pack("<L", size) + data)
        elif kind == b"EXIF":
            parts.exif = parts.exif or data
        elif kind == b"XMP ":
            parts.xmp = data
    return parts


def write_webp(parts: Parts, orientation: int) -> bytes:
    """Only the extended form (VP8X) can say an orientation; in the plain one there is nowhere to say it."""
    chunks = list(parts.kept)
    if chunks and chunks[0].startswith(b"VP8X") and len(chunks[0]) > 8:
        flags = chunks[0][8] & ~(WEBP_XMP_FLAG | WEBP_EXIF_FLAG)
        if orientation != UPRIGHT:
            flags |= WEBP_EXIF_FLAG
            said = exif_of(orientation)
            chunks.append(b"EXIF" + struct.pack("<L", len(said)) + said)
        chunks[0] = chunks[0][:8] + bytes([flags]) + chunks[0][9:]
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def read_jpeg(content: bytes) -> Parts:
    """Raises NotAnImage for a file that stops short. What follows the picture is left behind: films, gain maps, trailers, padding."""
    reader, parts = ByteReader(content), Parts()
    parts.kept.append(reader.take(2))
    while (marker := _jpeg_marker(reader)) != _EOI:
        reader.count_part()
        if marker in (0, 1, _SOI) or 0xD0 <= marker <= 0xD7:
            raise damaged()
        size = reader.number(2)
        if size < 2:
            raise damaged()
        data = reader.take(size - 2)
        if marker == _APP11 and data.startswith(b"JP"):
            parts.keep_c2pa(bytes((0xFF, marker)) + struct.pack(">H", size) + data)
        elif kept := _jpeg_segment(marker, data, parts):
            parts.kept.append(kept)
        if marker == _SOS:
            parts.kept.append(reader.take_until(_JPEG_MARKER))
    parts.kept.append(b"\xff\xd9")
    return parts


def _jpeg_marker(reader: ByteReader) -> int:
    if reader.take(1) != b"\xff":
        raise damaged()
    while (marker := reader.number(1)) == 0xFF:
        reader.count_part()
    return marker


def _jpeg_segment(marker: int, data: bytes, parts: Parts) -> bytes:
    """Return the segment as it is kept; empty where it is not. Notes what it says about orientation."""
    if marker == _APP1 and data.startswith(EXIF_HEADER):
        parts.exif = parts.exif or data
    elif marker == _APP1 and data.startswith(XMP_HEADER):
        parts.xmp = parts.xmp or data
    if marker == _APP0 and data.startswith(b"JFIF\0") and len(data) >= 14:
        data = data[:12] + b"\0\0"  # Without its thumbnail, which may show what was cut off the picture.
    elif marker == _COM or (_APP0 <= marker <= _APP15 and not _jpeg_colors(marker, data)):
        return b""
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def _jpeg_colors(marker: int, data: bytes) -> bool:
    return (marker == _APP2 and data.startswith(b"ICC_PROFILE\0")) or (marker == _APP14 and data.startswith(b"Adobe"))


def write_jpeg(parts: Parts, orientation: int) -> bytes:
    said = b""
    if orientation != UPRIGHT:
        data = EXIF_HEADER + exif_of(orientation)
        said = bytes((0xFF, _APP1)) + struct.pack(">H", len(data) + 2) + data
    return b"".join((parts.kept[0], said, *parts.kept[1:]))


def read_gif(content: bytes) -> Parts:
    """Raises NotAnImage for a file that stops short. What follows the picture is left behind."""
    reader, parts = ByteReader(content), Parts()
    head = reader.take(13)
    parts.kept += [head, reader.take(_gif_colors(head[10]))]
    has_pixels = False
    while (introducer := reader.take_some(1)) != b";":
        if introducer not in (b",", b"!") and has_pixels:
            break  # No end mark: nothing, or some padding, stands in its place.
        reader.count_part()
        if introducer == b",":
            has_pixels, descriptor = True, reader.take(9)
            parts.kept += [introducer, descriptor, reader.take(_gif_colors(descriptor[8]) + 1), reader.take_blocks()]
        elif introducer == b"!":
            label, blocks = reader.take(1), reader.take_blocks()
            if label == b"\xf9" or (label == b"\xff" and blocks[1:12] in GIF_KEPT_APPLICATIONS):
                parts.kept += [introducer, label, blocks]
        else:
            raise damaged() if introducer else truncated()
    parts.kept.append(b";")
    return parts


def _gif_colors(flags: int) -> int:
    """Return the size in bytes of the color table that these flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def write_plain(parts: Parts, orientation: int) -> bytes:  # noqa: ARG001 - GIF and BMP have no way to say it
    return b"".join(parts.kept)
