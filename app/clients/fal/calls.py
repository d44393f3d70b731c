"""One HTTP call of fal's after the other, over connections that are kept: sent once, and what comes back read within bounds.

httpcore alone, since httpx over it takes twice the CPU and fal-client over that four times, which was a fifth of a worker's. What those
would do beside has no use here: a redirected POST would be a second purchase, and so would one that is tried again; one cookie that is no
ASCII would break every call after it.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import fal_client.client
import httpcore
import httpx

from app.clients.outgoing import BROKEN, headers_of, inflated, tls_context

#: What fal-client turns to where fal's first domain cannot be connected to, and how long it tries that one.
BACKUP_HOSTS = {"queue.fal.run": "queue.falrun.com"}
BACKUP_AFTER_S = 5.0
NEVER_SENT = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout, httpcore.UnsupportedProtocol)
#: For zlib: a gzip's head or its own, whichever is there.
ANY_HEAD = 47


class NotSent(Exception):
    """There was no connection: fal knows nothing of the call."""


class NoAnswer(Exception):
    """What was sent may have arrived. `status` is that of an answer whose body broke off, or was longer than it may be."""

    def __init__(self, status: int | None = None, *, is_too_long: bool = False) -> None:
        super().__init__()
        self.status, self.is_too_long = status, is_too_long


@dataclass(frozen=True)
class Answer:
    """`headers` by their names in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return is_success(self.status)


class FalCalls:
    """The calls of one account. Safe for threads; make one after a fork, not before."""

    def __init__(self, key: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._headers = {"Authorization": f"Key {key}", "User-Agent": fal_client.client.USER_AGENT, "Accept-Encoding": "identity"}
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls_context(), max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0
        )

    def close(self) -> None:
        self._pool.close()

    def call(
        self,
        method: str,
        url: str,
        *,
        most_bytes: int,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Make one call. Raises NotSent or NoAnswer."""
        backup = BACKUP_HOSTS.get(urlsplit(url).netloc)
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_s or self._timeout_s)
        if backup:
            timeouts["connect"] = min(timeouts["connect"], BACKUP_AFTER_S)
        sent = {**self._headers, **(headers or {})}
        said = {"headers": list(sent.items()), "content": content, "extensions": {"timeout": timeouts}}
        try:
            return self._answer(method, url, most_bytes, said)
        except NotSent:
            if backup is None:
                raise
            return self._answer(method, urlsplit(url)._replace(netloc=backup).geturl(), most_bytes, said)

    def _answer(self, method: str, url: str, most_bytes: int, said: Mapping[str, Any]) -> Answer:
        status = None
        try:
            address = str(httpx.URL(url))  # As the wire needs it.
            with self._pool.stream(method, address, **said) as response:
                status = response.status
                found = headers_of(response)
                body = _unpacked(_within(response.iter_stream(), most_bytes), found.get("content-encoding"), most_bytes)
                return Answer(status, found, body)
        except NEVER_SENT as exc:
            raise NotSent from exc
        except _TooLong as exc:
            raise NoAnswer(status, is_too_long=True) from exc
        except (*BROKEN, httpx.InvalidURL) as exc:
            raise NoAnswer(status) from exc


def is_success(status: int) -> bool:
    return 200 <= status < 300


class _TooLong(Exception):
    """A body is longer than it may be."""


def _within(chunks: Iterable[bytes], most_bytes: int) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > most_bytes:
            raise _TooLong
    return bytes(body)


def _unpacked(body: bytes, encoding: str | None, most_bytes: int) -> bytes:
    """Return a body that somebody on the way has packed, though nobody asked for that; one that cannot be unpacked stays as it is."""
    if not encoding or encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return _within(inflated(io.BytesIO(body), ANY_HEAD), most_bytes)
    except zlib.error:
        return body
