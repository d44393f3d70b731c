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

from scripts.embedded_mongo.server import Server
from scripts.embedded_mongo.storage import Engine

Message = dict[str, Any]
Meddle = Callable[[Message, Callable[[], Message | None]], Message | None]
"""Gets a command, and what carries it out; returns what is answered, or None for no answer at all."""

NOT_CONFIRMED = {"code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting for replication timed out", "errInfo": {"wtimeout": True}}


def honest(_command: Message, carry_out: Callable[[], Message | None]) -> Message | None:
    return carry_out()


class StrangeMongo(Server):
    """A running server; `meddle` may be replaced at any moment. `commands` are those it got, in order."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.meddle: Meddle = honest
        self.commands: list[Message] = []
        self.port = 0

    def uri(self, database: str = "test_strange", **options: object) -> str:
        told = {"serverSelectionTimeoutMS": 2000, **options}
        return f"mongodb://127.0.0.1:{self.port}/{database}?" + "&".join(f"{name}={value}" for name, value in told.items())

    def answer(self, arguments: Message) -> Message | None:
        self.commands.append(arguments)
        carry_out = super().answer
        return self.meddle(arguments, lambda: carry_out(arguments))

    async def listen(self) -> asyncio.Server:
        listener = await asyncio.start_server(self.serve_client, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        return listener

    async def hang_up(self, listener: asyncio.Server) -> None:
        listener.close()
        for writer in list(self.clients):
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
        asyncio.run_coroutine_threadsafe(strange.hang_up(listener), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        engine.close()
