"""The state of requests at fal, many at a time, asked for or told.

aiohttp: at 500 in flight, httpx took 4 to 10 times the CPU and fell seconds behind.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import aiohttp

from app.clients.outgoing import tls_context
from app.domain.errors import ProviderBusy
from app.domain.fal_request import Receipt

STATUS_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 64
MAX_BODY_BYTES = 256 * 1024
#: Of requests whose state fal streams, each over a connection of its own.
MAX_STREAMS = 100
MAX_EVENTS = 10_000
STREAM_SILENCE_S = 120.0
#: No queue is longer; and the store has no room for any integer.
MAX_POSITION = 1_000_000_000


class FalState(StrEnum):
    """fal knows three states; COMPLETED is not success. GONE is ours: fal does not know the request."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    GONE = "GONE"


@dataclass(frozen=True)
class FalStatus:
    """`queue_position` counts the requests ahead, from 0."""

    state: FalState
    queue_position: int | None = None


#: What comes of an answer that is no state.
NO_STATUS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def status_of(status: int, body: Any) -> FalStatus:
    """Return what an answer says of a request's state. Raises one of NO_STATUS where it says nothing."""
    if status == 404:
        return FalStatus(FalState.GONE)
    return FalStatus(FalState(body["status"]), _position(body.get("queue_position")))


class FalStatusClient:
    """An async context manager bound to one event loop; connections are bounded and kept."""

    def __init__(self, key: str, *, timeout_s: float = STATUS_TIMEOUT_S) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._patience = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=STREAM_SILENCE_S)
        self._headers = {"Authorization": f"Key {key}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS + MAX_STREAMS, ssl=tls_context(), keepalive_timeout=60)
        jar = aiohttp.DummyCookieJar()  # No cookie of fal's matters here, and a jar would be searched for every poll.
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, headers=self._headers, cookie_jar=jar)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        if self._session:
            await self._session.close()

    async def status(self, receipt: Receipt) -> FalStatus:
        """Ask for one request's state. Raises ProviderBusy where no usable answer came: ask again later."""
        if self._session is None:
            raise RuntimeError("use FalStatusClient as an async context manager")
        try:
            async with self._session.get(receipt.status_url, allow_redirects=False) as response:
                return status_of(response.status, None if response.status == 404 else json.loads(await _body(response)))
        except (TimeoutError, aiohttp.ClientError, *NO_STATUS) as exc:
            raise ProviderBusy("fal does not tell the request's state right now") from exc

    async def states(self, receipt: Receipt) -> AsyncGenerator[FalStatus]:
        """Tell each state of a request as fal does, until it has ended. Raises ProviderBusy where the stream breaks off or is none."""
        if self._session is None:
            raise RuntimeError("use FalStatusClient as an async context manager")
        try:
            async with self._session.get(_stream_url(receipt), allow_redirects=False, timeout=self._patience) as response:
                if response.status != 200 or response.content_type != "text/event-stream":
                    raise ValueError("no stream")
                async for event in _events(response):
                    yield (state := status_of(200, json.loads(event)))
                    if state.state is FalState.COMPLETED:
                        return
        except (TimeoutError, aiohttp.ClientError, *NO_STATUS) as exc:
            raise ProviderBusy("fal does not stream the request's state") from exc
        raise ProviderBusy("fal's stream ended before the request")


def _stream_url(receipt: Receipt) -> str:
    path, mark, query = receipt.status_url.partition("?")
    return f"{path}/stream{mark}{query}"


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the data of each server-sent event, which fal writes as one line. Raises ValueError where there is no end to them."""
    rest, left = b"", MAX_EVENTS
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        left -= len(lines)
        if len(rest) > MAX_BODY_BYTES or left < 0:
            raise ValueError("too much for a request's states")
        for line in lines:
            if line.startswith(b"data:"):
                yield line.removeprefix(b"data:")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer's body. Raises ValueError where it is larger than any status is."""
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ValueError("too large for a status")
    return body


def _position(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_POSITION else None
