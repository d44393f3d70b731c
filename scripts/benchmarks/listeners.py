"""Users of the web app: registers them, listens on Socket.IO, and submits; in a process of its own, see `source.py`.

An order is `{op: "register", url, count}`, `{op: "connect", url, count}` (sockets in all, shared out among those
registered so far) or `{op: "pairs", url, per_s, for_s}`: so many times a second somebody new registers and one of the listeners submits.
"""

import asyncio
import time
from datetime import datetime
from typing import Any

import aiohttp
import socketio

from scripts.benchmarks.load import serve_async
from scripts.benchmarks.source import Answer, Order

EVENTS = ("generation_progress", "generation_completed", "generation_failed")
PASSWORD = "correct horse battery staple"  # noqa: S105 - nobody's
PROMPT = {"prompt": "a red bicycle", "numberOfImages": 1}


class People:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._tokens: list[str] = []
        self._sockets: list[socketio.AsyncClient] = []
        self._late_s: list[float] = []
        self._ended = 0
        self._failures: list[str] = []

    async def carry_out(self, order: Order) -> Answer:
        operations = {"register": self._register_all, "connect": self._connect_all, "pairs": self._pairs}
        self._late_s, self._ended, self._failures = [], 0, []
        started = time.perf_counter()
        await operations[order["op"]](order)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "late_s": self._late_s, "ended": self._ended, "failures": self._failures[:5]}

    async def _register_all(self, order: Order) -> None:
        for number in range(int(order["count"])):
            self._tokens.append(await self._registered(order["url"], f"listener-{len(self._tokens)}-{number}"))

    async def _connect_all(self, order: Order) -> None:
        for number in range(len(self._sockets), int(order["count"])):
            token = self._tokens[number % len(self._tokens)]
            client = socketio.AsyncClient(reconnection=False)
            for name in EVENTS:
                client.on(name, self._heard)
            await client.connect(order["url"], auth={"token": token}, transports=["websocket"])
            self._sockets.append(client)

    async def _heard(self, event: dict[str, Any]) -> None:
        self._late_s.append(time.time() - datetime.fromisoformat(event["timestamp"]).timestamp())
        self._ended += "images" in event or "error" in event

    async def _pairs(self, order: Order) -> None:
        count = int(order["per_s"] * order["for_s"])
        await asyncio.gather(*(self._pair(order["url"], number, number / order["per_s"]) for number in range(count)))
        end = time.perf_counter() + 30
        while self._ended < count and time.perf_counter() < end:  # noqa: ASYNC110 - a benchmark may look ten times a second
            await asyncio.sleep(0.1)

    async def _pair(self, url: str, number: int, start_s: float) -> None:
        await asyncio.sleep(start_s)
        await self._registered(url, f"pair-{number}-{time.time_ns()}")
        token = self._tokens[number % len(self._tokens)]
        await self._post(f"{url}/api/generate/text-to-image", PROMPT, 202, token=token)

    async def _registered(self, url: str, name: str) -> str:
        body = {"email": f"{name}@example.com", "password": PASSWORD}
        answer = await self._post(f"{url}/api/auth/register", body, 201)
        return str(answer["data"]["token"])

    async def _post(self, url: str, body: dict[str, Any], expected: int, *, token: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._session.post(url, json=body, headers=headers) as response:
            answer = await response.json()
            if response.status != expected:
                self._failures.append(f"{response.status} {answer.get('message')}")
            return answer


def main() -> None:
    serve_async(lambda session: People(session).carry_out)
