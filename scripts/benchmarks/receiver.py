"""Receives webhooks, in a process of its own; see `source.py`.

An order is `{op: "listen"}`, answered with `{port}`, `{op: "hang"}` (calls are taken and never answered from now on), or
`{op: "count", count, within_s}`: wait until so many have come since the last order, and say over what time.
"""

import asyncio
import contextlib
import time

from scripts.benchmarks.load import serve_async
from scripts.benchmarks.source import Answer, Order

TAKEN = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


class Receiver:
    def __init__(self) -> None:
        self._times: list[float] = []
        self._hangs = False
        self._server: asyncio.Server | None = None

    async def carry_out(self, order: Order) -> Answer:
        if order["op"] == "listen":
            self._server = await asyncio.start_server(self._take, "127.0.0.1", 0, backlog=1024)
            return {"port": self._server.sockets[0].getsockname()[1]}
        if order["op"] == "hang":
            self._hangs = True
            return {}
        end = time.perf_counter() + order["within_s"]
        while len(self._times) < order["count"] and time.perf_counter() < end:  # noqa: ASYNC110 - a benchmark may look often
            await asyncio.sleep(0.02)
        times, self._times = self._times, []
        return {"count": len(times), "seconds": times[-1] - times[0] if times else 0.0}

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            self._times.append(time.perf_counter())
            if self._hangs:
                await reader.read()
            writer.write(TAKEN)
            await writer.drain()
        writer.close()


def main() -> None:
    serve_async(lambda _: Receiver().carry_out)
