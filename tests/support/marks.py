"""Pictures that say where they come from, as the specifications have it."""

from __future__ import annotations

import struct

from app.pictures.provenance import TRAINED
from tests.support.images import chunk

URI = b"http://cv.iptc.org/newscodes/digitalsourcetype/"
#: The head of C2PA's box as it stands in a file, and a claim's action in CBOR: the text's length, the text, and a key that begins like a letter.
STORE = b"\0\0\1\0jumb\0\0\0\x1ejumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0"


def manifest(term: str = TRAINED) -> bytes:
    text = URI + term.encode()
    return STORE + b"\x71digitalSourceType\x78" + bytes([len(text)]) + text + b"\x64when"


def xmp(term: str = TRAINED, spelled: str = "{} Iptc4xmpExt:DigitalSourceType='{}'/>") -> bytes:
    said = spelled.format("<rdf:Description", (URI + term.encode()).decode())
    return f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='r'>{said}</rdf:RDF></x:xmpmeta>".encode()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_c2pa(content: bytes, store: bytes) -> bytes:
    """Return a picture with a manifest where the specification has it."""
    if content.startswith(b"\x89PNG"):
        return content[:33] + chunk(b"caBX", store) + content[33:]
    if content.startswith(b"RIFF"):
        return riff(content[12:] + b"C2PA" + struct.pack("<L", len(store)) + store + b"\0" * (len(store) % 2))
    pieces = [store[:40], store[40:]]
    boxes = [segment(0xEB, b"JP\0\1" + struct.pack(">L", n) + piece) for n, piece in enumerate(pieces, 1)]
    return content[:20] + b"".join(boxes) + content[20:]


def with_xmp(content: bytes, packet: bytes) -> bytes:
    if content.startswith(b"\x89PNG"):
        return content[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet) + content[33:]
    if content.startswith(b"RIFF"):
        return riff(content[12:] + b"XMP " + struct.pack("<L", len(packet)) + packet + b"\0" * (len(packet) % 2))
    return content[:20] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet) + content[20:]


def riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<L", len(chunks) + 4) + b"WEBP" + chunks
