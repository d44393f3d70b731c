"""What a picture says of its origin: C2PA's signed manifests, and IPTC's DigitalSourceType in XMP. And how to say the latter.

Sources: C2PA Technical Specification 2.1 appendix A (embedding in JPEG, PNG, RIFF), XMP Specification part 3 (storage in files), IPTC
NewsCodes "digitalsourcetype". Manifests are seen and not verified: whether a signature holds is the reader's to find out.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from app.pictures.formats import MAX_PARTS, PNG_SIGNATURE, WEBP_XMP_FLAG, XMP_HEADER

TRAINED = "trainedAlgorithmicMedia"
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
#: IPTC's terms, retired ones too, and C2PA's own. In a manifest the next field's first byte may look like a letter: only terms end a term.
TERMS = (
    *(COMPOSITE, TRAINED, "trainedAlgorithmicData", "algorithmicallyEnhanced", "algorithmicMedia", "multiFrameComputationalCapture"),
    *("computationalCapture", "compositeSynthetic", "compositeCapture", "composite", "digitalCapture", "digitalCreation", "digitalArt"),
    *("dataDrivenMedia", "minorHumanEdits", "humanEdits", "negativeFilm", "positiveFilm", "screenCapture", "softwareImage"),
    *("virtualRecording", "print"),
)
_TERM = re.compile(
    rb"digitalsourcetype(?:/|\s*=\s*[\"']|>)(?:https?://[a-z.]+/newscodes/digitalsourcetype/)?(%s)" % "|".join(TERMS).encode(),
    re.IGNORECASE,
)
_SPELLED = {term.lower(): term for term in TERMS}

C2PA, XMP, MORE_XMP, LEAD = "c2pa", "xmp", "more xmp", "lead"
XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
XMP_EXTENSION_HEAD = len(XMP_EXTENSION) + 32 + 4 + 4
PNG_XMP = b"XML:com.adobe.xmp\0"
#: More text than any XMP has that says something about a picture's origin.
MAX_XMP_BYTES = 1 << 20
MAX_SEGMENT_BYTES = 65533

_SOI, _SOS, _APP0, _APP1, _APP11 = 0xD8, 0xDA, 0xE0, 0xE1, 0xEB
_EXIF = b"Exif\0\0"
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">%s</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
_STATEMENT = (
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/%s"/>'
)


@dataclass(frozen=True)
class Marks:
    """`digital_source_type` is IPTC's term, such as "trainedAlgorithmicMedia"; None where nothing is said."""

    c2pa: bool = False
    digital_source_type: str | None = None

    @property
    def is_marked(self) -> bool:
        return self.c2pa or self.digital_source_type is not None


@dataclass(frozen=True)
class _Part:
    """A part of a file that matters here, from `start` to `end`: a manifest's or an XMP packet's content, or where XMP may follow."""

    kind: str
    start: int
    end: int
    content: bytes = b""


def marks_of(file: IO[bytes]) -> Marks:
    """Return what a PNG, JPEG or WEBP says of its origin; nothing of any other file, nor behind where one is damaged. Reads no pixels."""
    parts = list(_parts_of(file))
    file.seek(0)
    manifest = b"".join(part.content for part in parts if part.kind == C2PA)
    in_xmp = _TERM.findall(b"".join(part.content for part in parts if part.kind in (XMP, MORE_XMP)))
    # The last manifest is the picture's own; those before it are of what it was made from.
    in_manifest = _TERM.findall(manifest)[-1:]
    found = (in_xmp or in_manifest)[:1]
    return Marks(c2pa=b"c2pa" in manifest, digital_source_type=_SPELLED[found[0].decode().lower()] if found else None)


def with_source_type(content: bytes, term: str, *, width: int, height: int) -> bytes | None:
    """Return a PNG, JPEG or WEBP that says a DigitalSourceType in its XMP, all else as it was, its pixels' bytes too.

    None where it cannot be said: another format, or XMP that has no place for it.
    """
    parts = list(_parts_of(io.BytesIO(content)))
    lead = next((part for part in reversed(parts) if part.kind == LEAD), None)
    old = next((part for part in parts if part.kind == XMP), None)
    packet = _with_statement(old.content if old else b"", _STATEMENT % term)
    if lead is None or packet is None:
        return None
    start, end = (old.start, old.end) if old else (lead.end, lead.end)
    if content.startswith(PNG_SIGNATURE):
        return content[:start] + _png_chunk(PNG_XMP + b"\0\0\0\0" + packet) + content[end:]
    if content.startswith(b"RIFF"):
        return _webp_with(content, packet, old, width=width, height=height)
    size = len(XMP_HEADER) + len(packet) + 2
    if size > MAX_SEGMENT_BYTES:
        return None
    return content[:start] + struct.pack(">BBH", 0xFF, _APP1, size) + XMP_HEADER + packet + content[end:]


def _with_statement(packet: bytes, statement: str) -> bytes | None:
    if not packet:
        return (_PACKET % statement).encode()
    before, end, after = packet.rpartition(b"</rdf:RDF>")
    return before + statement.encode() + end + after if end else None


# -- where the parts are ------------------------------------------------------------------------------------------------------------


def _parts_of(file: IO[bytes]) -> Iterator[_Part]:
    file.seek(0)
    head = file.read(12)
    if head.startswith(PNG_SIGNATURE):
        yield from _png_parts(file)
    elif head.startswith(b"\xff\xd8"):
        yield from _jpeg_parts(file)
    elif head[:4] == b"RIFF" and head[8:] == b"WEBP":
        yield from _webp_parts(file)


def _png_parts(file: IO[bytes]) -> Iterator[_Part]:
    place = len(PNG_SIGNATURE)
    for start, kind, content, end in _chunks(file, place, ">", 12, {b"caBX", b"iTXt"}):
        if kind == b"IHDR":
            yield _Part(LEAD, start, end)
        elif kind == b"caBX":
            yield _Part(C2PA, start, end, content)
        elif kind == b"iTXt" and content.startswith(PNG_XMP):
            yield _Part(XMP, start, end, _png_text(content))
        elif kind == b"IEND":
            return


def _webp_parts(file: IO[bytes]) -> Iterator[_Part]:
    for start, kind, content, end in _chunks(file, 12, "<", 8, {b"C2PA", b"XMP "}):
        if kind in (b"VP8X", b"VP8 ", b"VP8L"):
            yield _Part(LEAD, start, end)
        elif kind == b"C2PA":
            yield _Part(C2PA, start, end, content)
        elif kind == b"XMP ":
            yield _Part(XMP, start, end, content)


def _chunks(file: IO[bytes], place: int, order: str, beside: int, read: Iterable[bytes]) -> Iterator[tuple[int, bytes, bytes, int]]:
    """Yield start, name, content (of those in `read`) and end of a PNG's or RIFF's chunks, until the file ends.

    `beside` is how many bytes a chunk has around its content.
    """
    for _ in range(MAX_PARTS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        size, kind = (struct.unpack(">L", head[:4])[0], head[4:]) if order == ">" else (struct.unpack("<L", head[4:])[0], head[:4])
        content = file.read(size) if kind in read else b""
        end = place + beside + size + (size % 2 if order == "<" else 0)
        yield place, kind, content, end
        place = end


def _jpeg_parts(file: IO[bytes]) -> Iterator[_Part]:
    """APP0 and Exif have to stand first, so XMP goes behind them."""
    place, is_lead = 2, True
    yield _Part(LEAD, 0, 2)
    for _ in range(MAX_PARTS):
        file.seek(place)
        head = file.read(4)
        if len(head) == 4 and head[0] == head[1] == 0xFF:
            place += 1  # Any number of fill bytes may stand before a marker.
            continue
        if len(head) < 4 or head[0] != 0xFF or head[1] == _SOS:
            return
        marker, size = head[1], int.from_bytes(head[2:], "big")
        end, content = place + 2 + size, file.read(max(0, size - 2)) if marker in (_APP1, _APP11) else b""
        is_lead = is_lead and (marker == _APP0 or content.startswith(_EXIF))
        if is_lead:
            yield _Part(LEAD, place, end)
        elif marker == _APP11 and content.startswith(b"JP"):
            # Name, number, order; what follows is the box, whose own head is repeated in each segment.
            yield _Part(C2PA, place, end, content[8:])
        elif content.startswith(XMP_HEADER):
            yield _Part(XMP, place, end, content.removeprefix(XMP_HEADER))
        elif content.startswith(XMP_EXTENSION):
            yield _Part(MORE_XMP, place, end, content[XMP_EXTENSION_HEAD:])
        place = end


def _png_text(content: bytes) -> bytes:
    """Return the text of an iTXt chunk; empty where it cannot be read, and as much as XMP may have."""
    packed, rest = content[len(PNG_XMP) : len(PNG_XMP) + 1], content[len(PNG_XMP) + 2 :]
    text = rest.split(b"\0", 2)[-1]
    if packed != b"\1":
        return text
    try:
        return zlib.decompressobj().decompress(text, MAX_XMP_BYTES)
    except zlib.error:
        return b""


# -- writing ------------------------------------------------------------------------------------------------------------------------


def _png_chunk(content: bytes) -> bytes:
    body = b"iTXt" + content
    return struct.pack(">L", len(content)) + body + struct.pack(">L", zlib.crc32(body))


def _webp_with(content: bytes, packet: bytes, old: _Part | None, *, width: int, height: int) -> bytes:
    """Only the extended form (VP8X) has a place for XMP, so the plain one is made an extended one."""
    end = int.from_bytes(content[4:8], "little") + 8
    chunks = content[12 : old.start] + content[old.end : end] if old else content[12:end]
    if chunks.startswith(b"VP8X"):
        chunks = chunks[:8] + bytes([chunks[8] | WEBP_XMP_FLAG]) + chunks[9:]
    else:
        is_clear = chunks.startswith(b"VP8L") and len(chunks) > 12 and chunks[12] & 0x10
        flags = WEBP_XMP_FLAG | (0x10 if is_clear else 0)
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        chunks = b"VP8X" + struct.pack("<LL", 10, flags) + sides + chunks
    body = b"WEBP" + chunks + b"XMP " + struct.pack("<L", len(packet)) + packet + b"\0" * (len(packet) % 2)
    return b"RIFF" + struct.pack("<L", len(body)) + body + content[end:]
