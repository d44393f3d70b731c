"""The process: an asyncio server that reads messages, runs commands and writes answers, until a signal ends it.

Source: MongoDB's documentation of the wire protocol (OP_MSG, and OP_QUERY for the first hello only).
"""

import asyncio
import signal
import struct
import sys
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import bson
from bson.errors import BSONError

from . import catalog, commands, reads, writes
from .commands import MAX_MESSAGE_BYTES
from .storage import Engine
from .values import CODEC, Document

_COMMANDS = {**commands.COMMANDS, **catalog.COMMANDS, **reads.COMMANDS, **writes.COMMANDS}
_EXPIRY_INTERVAL_S = 5.0
_HEADER_BYTES: Final = 16
_BUFFER_BYTES = 1 << 20

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


def message_length(buffer: bytes) -> int:
    """Return the whole length of the message that begins with these 16 bytes. Raises ProtocolError."""
    length, _, _, opcode = _HEADER.unpack_from(buffer)
    if not _HEADER_BYTES < length <= MAX_MESSAGE_BYTES:
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
    (flags,) = _FLAGS.unpack_from(message, _HEADER_BYTES)
    if flags & _REQUIRED_BITS & ~(_CHECKSUM | _MORE_TO_COME):
        raise ProtocolError(f"unknown flags {flags:#x}")
    end = len(message) - (4 if flags & _CHECKSUM else 0)
    position = _HEADER_BYTES + 4
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
    position = message.index(b"\0", _HEADER_BYTES + 4) + 1 + 8
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
    length = _HEADER_BYTES + len(prefix) + len(body)
    return _HEADER.pack(length, reply_id, request.request_id, opcode) + prefix + body


class Server:
    """What the connections share, and the life of the process."""

    def __init__(self, engine: Engine) -> None:
        self.clients: set[asyncio.StreamWriter] = set()
        self._reply_ids = (number & 0x7FFFFFFF for number in count(1))
        self._engine = engine
        self._stop = asyncio.Event()
        self._failure: OSError | None = None

    async def serve(self, host: str, port: int) -> None:
        """Accept connections until SIGTERM or SIGINT. Raises OSError when the port is taken or the disk fails."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        listener = await asyncio.start_server(self.serve_client, host, port, backlog=512, limit=_BUFFER_BYTES)
        expiry = asyncio.create_task(self._expire())
        actual = listener.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        print("embedded_mongo is for trying out and for tests, not for production", file=sys.stderr, flush=True)
        print(f"embedded_mongo ready mongodb://{shown}:{actual}", flush=True)
        await self._stop.wait()
        expiry.cancel()
        listener.close()
        for writer in list(self.clients):
            writer.close()
        if self._failure is not None:
            raise self._failure

    async def serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client. Bytes that are not the protocol close its connection and touch nothing else."""
        self.clients.add(writer)
        try:
            while True:
                head = await reader.readexactly(_HEADER_BYTES)
                request = parse(head + await reader.readexactly(message_length(head) - _HEADER_BYTES))
                answer = self.answer(request.arguments)
                if answer is not None and request.wants_reply:
                    writer.write(reply(request, next(self._reply_ids), answer))
        except ProtocolError as exc:
            print(f"embedded_mongo: closing a connection: {exc}", file=sys.stderr)
            writer.transport.abort()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()  # The client has gone.
        finally:
            self.clients.discard(writer)

    def answer(self, arguments: Document) -> Document | None:
        """Run one command. When the journal cannot be written, ends the process: memory is ahead of the disk."""
        try:
            return commands.run(self._engine, _COMMANDS, arguments)
        except OSError as exc:
            self._fail(exc)
            raise ProtocolError(f"the journal cannot be written: {exc}") from exc

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(_EXPIRY_INTERVAL_S)
            try:
                self._engine.expire()
            except OSError as exc:
                self._fail(exc)

    def _fail(self, exc: OSError) -> None:
        self._failure = exc
        self._stop.set()
