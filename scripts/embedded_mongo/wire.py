"""MongoDB's wire protocol: messages in and out, as bytes.

Source: MongoDB's documentation of the wire protocol (OP_MSG, and OP_QUERY for the first hello only).
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

import bson
from bson.errors import BSONError

from .journal import CODEC
from .values import Document

MAX_MESSAGE_BYTES: Final = 48_000_000
HEADER_BYTES: Final = 16

_HEADER = struct.Struct("<iiii")
_INT = struct.Struct("<i")
_FLAGS = struct.Struct("<I")
_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
_CHECKSUM, _MORE_TO_COME, _REQUIRED_BITS = 1, 2, 0xFFFF


class ProtocolError(Exception):
    """The bytes are not MongoDB's protocol; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Request:
    """One command: `arguments` begins with its name and holds the document sequences as lists."""

    request_id: int
    arguments: Document
    wants_reply: bool
    is_legacy: bool


def message_length(buffer: bytes | bytearray) -> int:
    """Return the whole length of the message that begins with these 16 bytes. Raises ProtocolError."""
    length, _, _, opcode = _HEADER.unpack_from(buffer)
    if not HEADER_BYTES < length <= MAX_MESSAGE_BYTES:
        raise ProtocolError(f"message of {length} bytes")
    if opcode not in {_OP_MSG, _OP_QUERY}:
        raise ProtocolError(f"operation code {opcode}")
    return int(length)


def parse(message: bytes) -> Request:
    """Read one whole message. Raises ProtocolError for anything malformed."""
    _, request_id, _, opcode = _HEADER.unpack_from(message)
    try:
        return _parse_query(request_id, message) if opcode == _OP_QUERY else _parse_msg(request_id, message)
    except (struct.error, ValueError, IndexError, OverflowError, BSONError) as exc:
        raise ProtocolError(f"malformed message: {exc}") from exc


def _parse_msg(request_id: int, message: bytes) -> Request:
    (flags,) = _FLAGS.unpack_from(message, HEADER_BYTES)
    if flags & _REQUIRED_BITS & ~(_CHECKSUM | _MORE_TO_COME):
        raise ProtocolError(f"unknown flags {flags:#x}")
    end = len(message) - (4 if flags & _CHECKSUM else 0)
    position = HEADER_BYTES + 4
    arguments: Document | None = None
    sequences: Document = {}
    while position < end:
        kind = message[position]
        (size,) = _INT.unpack_from(message, position + 1)
        section = message[position + 1 : position + 1 + size]
        if size < 5 or position + 1 + size > end:
            raise ProtocolError(f"section of {size} bytes")
        if kind == 0 and arguments is None:
            arguments = _decode(section)
        elif kind == 1:
            name, _, documents = section[4:].partition(b"\0")
            sequences[name.decode()] = bson.decode_all(documents, CODEC)
        else:
            raise ProtocolError(f"section of kind {kind}")
        position += 1 + size
    if not arguments:
        raise ProtocolError("no command")
    return Request(request_id, {**arguments, **sequences}, not flags & _MORE_TO_COME, is_legacy=False)


def _parse_query(request_id: int, message: bytes) -> Request:
    position = message.index(b"\0", HEADER_BYTES + 4) + 1 + 8
    (size,) = _INT.unpack_from(message, position)
    arguments = _decode(message[position : position + size])
    query = arguments.get("$query", arguments)
    if not isinstance(query, dict) or next(iter(query), "").lower() not in {"ismaster", "hello"}:
        raise ProtocolError("OP_QUERY is only for hello")
    return Request(request_id, query, wants_reply=True, is_legacy=True)


def _decode(data: bytes) -> Document:
    decoded: dict[str, Any] = bson.decode(data, CODEC)
    return decoded


def reply(request: Request, reply_id: int, answer: Document) -> bytes:
    """Return the message that answers the request."""
    body = bson.encode(answer, codec_options=CODEC)
    if request.is_legacy:
        prefix, opcode = struct.pack("<iqii", 8, 0, 0, 1), _OP_REPLY
    else:
        prefix, opcode = b"\0\0\0\0\0", _OP_MSG
    length = HEADER_BYTES + len(prefix) + len(body)
    return _HEADER.pack(length, reply_id, request.request_id, opcode) + prefix + body
