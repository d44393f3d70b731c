"""A MongoDB in this process that does as its test says: keeps answers to itself, does not confirm, has two winners, is called otherwise.

It is the embedded server, on its own wire, with the test in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scripts.embedded_mongo.server import Connection, Server, parse, reply
from scripts.embedded_mongo.storage import Engine

Message = dict[str, Any]
Meddle = Callable[[Message, Callable[[], Message]], Message | None]
"""Gets a command, and what carries it out; returns what is answered, or None for no answer at all."""

NOT_CONFIRMED = {"code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting for replication timed out", "errInfo": {"wtimeout": True}}


def honest(_command: Message, carry_out: Callable[[], Message]) -> Message:
    return carry_out()


class StrangeMongo:
    """A running server; `meddle` may be replaced at any moment. `commands` are those it got, in order."""

    def __init__(self, engine: Engine) -> None:
        self.meddle: Meddle = honest
        self.commands: list[Message] = []
        self.server = Server(engine)
        self.port = 0

    def uri(self, database: str = "test_strange", **options: object) -> str:
        told = {"serverSelectionTimeoutMS": 2000, **options}
        return f"mongodb://127.0.0.1:{self.port}/{database}?" + "&".join(f"{name}={value}" for name, value in told.items())

    async def listen(self) -> asyncio.Server:
        listener = await asyncio.get_running_loop().create_server(lambda: _Meddled(self), "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        return listener


class _Meddled(Connection):
    def __init__(self, strange: StrangeMongo) -> None:
        super().__init__(strange.server)
        self._strange = strange

    def _answer(self, message: bytes) -> None:
        request = parse(message)
        self._strange.commands.append(request.arguments)
        answer = self._strange.meddle(request.arguments, lambda: self._server.run(request.arguments))
        if answer is not None:
            self._transport.write(reply(request, next(self._server.reply_ids), answer))


@contextlib.contextmanager
def strange_mongo(folder: Path) -> Iterator[StrangeMongo]:
    """Run one on a data folder, in a thread, until the block ends."""
    engine = Engine(folder)
    strange = StrangeMongo(engine)
    loop = asyncio.new_event_loop()
    listener = loop.run_until_complete(strange.listen())
    thread = threading.Thread(target=loop.run_forever, name="strange-mongo")
    thread.start()
    try:
        yield strange
    finally:
        loop.call_soon_threadsafe(listener.close)
        for transport in list(strange.server.connections):
            loop.call_soon_threadsafe(transport.abort)
        loop.call_soon_threadsafe(loop.call_soon, loop.stop)
        thread.join()
        loop.close()
        engine.close()
