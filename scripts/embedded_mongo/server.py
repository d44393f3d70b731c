"""The process: an asyncio server that reads messages, runs commands and writes answers, until a signal ends it."""

import asyncio
import contextlib
import signal
import sys
from itertools import count

from . import catalog, reads, writes
from .commands import Commands
from .engine import Engine
from .values import Document
from .wire import HEADER_BYTES, ProtocolError, message_length, parse, reply

_EXPIRY_INTERVAL_S = 5.0


class Connection(asyncio.Protocol):
    """One client. Bytes that are not the protocol close this connection and touch nothing else."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            self._server.connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature.
        if self._transport is not None:
            self._server.connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            while len(self._buffer) >= HEADER_BYTES:
                length = message_length(self._buffer)
                if len(self._buffer) < length:
                    return
                message = bytes(self._buffer[:length])
                del self._buffer[:length]
                self._answer(message)
        except ProtocolError as exc:
            print(f"embedded_mongo: closing a connection: {exc}", file=sys.stderr)
            self._buffer.clear()
            if self._transport is not None:
                self._transport.abort()

    def _answer(self, message: bytes) -> None:
        request = parse(message)
        answer = self._server.run(request.arguments)
        if request.wants_reply and self._transport is not None:
            self._transport.write(reply(request, next(self._server.reply_ids), answer))


class Server:
    """What the connections share, and the life of the process."""

    def __init__(self, engine: Engine) -> None:
        self.connections: set[asyncio.Transport] = set()
        self.reply_ids = (number & 0x7FFFFFFF for number in count(1))
        self._engine = engine
        self._commands = Commands(engine, {**catalog.COMMANDS, **reads.COMMANDS, **writes.COMMANDS})
        self._stop = asyncio.Event()
        self._failure: OSError | None = None

    def run(self, arguments: Document) -> Document:
        """Run one command. When the journal cannot be written, ends the process: memory is ahead of the disk."""
        try:
            return self._commands.run(arguments)
        except OSError as exc:
            self._fail(exc)
            raise ProtocolError(f"the journal cannot be written: {exc}") from exc

    async def serve(self, host: str, port: int) -> None:
        """Accept connections until SIGTERM or SIGINT. Raises OSError when the port is taken or the disk fails."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        listener = await loop.create_server(lambda: Connection(self), host, port, backlog=512)
        chores = asyncio.create_task(self._do_chores())
        actual = listener.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        print("embedded_mongo is for trying out and for tests, not for production", file=sys.stderr, flush=True)
        print(f"embedded_mongo ready mongodb://{shown}:{actual}", flush=True)
        await self._stop.wait()
        chores.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await chores
        listener.close()
        for transport in list(self.connections):
            transport.close()
        if self._failure is not None:
            raise self._failure

    async def _do_chores(self) -> None:
        while True:
            await asyncio.sleep(_EXPIRY_INTERVAL_S)
            self._engine.cursors.forget_idle()
            try:
                self._engine.expire()
            except OSError as exc:
                self._fail(exc)

    def _fail(self, exc: OSError) -> None:
        self._failure = exc
        self._stop.set()
