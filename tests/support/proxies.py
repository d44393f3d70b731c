"""Networks that go wrong: a TCP proxy that delays, withholds, falls silent or refuses, as it is told while it runs.

What a real network loses is sent again until it arrives: a cut side is silent while it lasts, and then everything comes at once. A half-open
connection is another thing: one end is gone, the other is not told, and nothing ever comes of what it sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Self

Way = Literal["up", "down"]  # What the client sends, and what the server answers.
CHUNK_BYTES = 1 << 16
LOOK_S = 0.02


@dataclass
class Link:
    """One connection. Once it is half-open it stays so; times are of the monotonic clock."""

    last_way: Way = "down"
    dead_since: float | None = None
    asked_at: float | None = None
    left_at: float | None = None

    @property
    def is_missed(self) -> bool:
        """Tell whether its client waits for something on it, or has tried to use it, since it is half-open."""
        return self.asked_at is not None

    def noticed_in_s(self, now: float) -> float:
        """Return how long its client took to give it up, or has taken so far."""
        return 0.0 if self.asked_at is None else (self.left_at or now) - self.asked_at


@dataclass
class Proxy:
    """One way to one server. `latency_s` delays each answer; `cut` holds back what goes one way until the network is whole again.

    The first request that holds `fatal_words` arrives, and makes every connection half-open: nobody hears what came of it.
    """

    target: tuple[str, int]
    port: int = 0
    latency_s: float = 0.0
    cut: set[Way] = field(default_factory=set)
    refuses: bool = False
    fatal_words: bytes | None = None
    links: list[Link] = field(default_factory=list)
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    def silence(self) -> None:
        """Make every connection there is half-open, for good. New ones are well."""
        now = time.monotonic()
        for link in self.links:
            if link.left_at is None and link.dead_since is None:
                link.dead_since = now
                link.asked_at = now if link.last_way == "up" else None

    def heal(self) -> None:
        self.latency_s, self.refuses, self.fatal_words = 0.0, False, None
        self.cut.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        link = Link()
        self.links.append(link)
        self.open.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(self._pass(link, "up", reader, server_writer), self._pass(link, "down", server_reader, writer))
        finally:
            server_writer.transport.abort()
            writer.transport.abort()
            self.open.discard(writer)

    async def _pass(self, link: Link, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                if way == "down":
                    await asyncio.sleep(self.latency_s)
                while way in self.cut and link.dead_since is None:  # noqa: ASYNC110 - another thread tells
                    await asyncio.sleep(LOOK_S)
                if link.dead_since is None:
                    link.last_way = way
                    sink.write(data)
                    await sink.drain()
                    if way == "up" and self.fatal_words and self.fatal_words in data:
                        self.fatal_words = None
                        self.silence()
                elif way == "up" and link.asked_at is None:
                    link.asked_at = time.monotonic()
        if way == "up":
            link.left_at = time.monotonic()
        if way == "up" or link.dead_since is None:  # A half-open connection's client does not hear of the other end's death.
            sink.close()
        while way == "down" and link.left_at is None and link.dead_since is not None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(LOOK_S)


class Network:
    """The proxies of one test, in a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._servers: list[asyncio.Server] = []
        self.proxies: dict[tuple[str, str], Proxy] = {}

    def add(self, client: str, server: str, target: tuple[str, int]) -> Proxy:
        """Open a way from one named process to one named server, on a free port of this machine."""
        proxy = self.proxies[client, server] = Proxy(target)
        listening = asyncio.run_coroutine_threadsafe(asyncio.start_server(proxy.serve, "127.0.0.1", 0), self._loop).result(10)
        self._servers.append(listening)
        proxy.port = listening.sockets[0].getsockname()[1]
        return proxy

    def between(self, client: str = "", server: str = "") -> list[Proxy]:
        """Return the ways of one client, to one server, or all."""
        return [proxy for (a, b), proxy in self.proxies.items() if client in ("", a) and server in ("", b)]

    def hang_up(self, proxy: Proxy) -> None:
        """End every connection of a proxy and refuse new ones, as a server that was killed does."""
        proxy.refuses = True
        for writer in list(proxy.open):
            self._loop.call_soon_threadsafe(writer.transport.abort)

    def heal(self) -> None:
        for proxy in self.proxies.values():
            proxy.heal()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(LOOK_S)  # What was aborted is closed in the loop's next rounds.


@contextlib.contextmanager
def proxied(host: str, port: int) -> Iterator[Proxy]:
    """One way to one server."""
    with Network() as network:
        yield network.add("client", "server", (host, port))
