"""Brings one delivery to its receiver: one POST over a connection of its own, never redirected, never for long."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version

import httpcore
import httpx

from app.clients.guarded import GuardedBackend, NotPublic, Receivers, is_public
from app.clients.outgoing import BROKEN, headers_of, tls_context
from app.domain.delivery import SNIPPET_BYTES, Reply

CONNECT_S, TOTAL_S = 5.0, 15.0
TIMEOUTS = {"connect": CONNECT_S, "read": TOTAL_S, "write": TOTAL_S, "pool": TOTAL_S}
REDIRECTS = range(300, 400)


class WebhookSender:
    """Safe for threads. Keeps no connection: receivers are many, and what is kept is found closed when it is needed."""

    def __init__(self, receivers: Receivers) -> None:
        self._receivers = receivers
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls_context(),
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=GuardedBackend(receivers.address_of, total_s=TOTAL_S),
        )

    def close(self) -> None:
        self._pool.close()

    def post(self, url: str, headers: Mapping[str, str], body: bytes, *, tells_private: bool = False) -> Reply:
        """Return what came of it; nothing is raised. What a private host answers is told only where `tells_private`, no address ever."""
        begun = time.monotonic()
        try:
            return self._posted(url, headers, body, begun, tells_private)
        except NotPublic as exc:
            error = str(exc)
        except httpcore.TimeoutException:
            error = "It did not answer in time."
        except (httpcore.ConnectError, ssl.SSLError) as exc:
            error = _unconnected(exc)
        except BROKEN:
            error = "It broke the connection, or did not speak HTTP."
        return Reply(error=error, latency_ms=_ms_since(begun))

    def _posted(self, url: str, headers: Mapping[str, str], body: bytes, begun: float, tells_private: bool) -> Reply:  # noqa: FBT001
        address = httpx.URL(self._receivers.checked(url))
        sent = {"Host": address.netloc.decode("ascii"), "Connection": "close", "Content-Length": str(len(body)), **_USUAL, **headers}
        with self._pool.stream(
            "POST",
            str(address),
            headers=[(name.encode(), value.encode()) for name, value in sent.items()],
            content=body,
            extensions={"timeout": TIMEOUTS},
        ) as answer:
            told = headers_of(answer)
            peer = answer.extensions["network_stream"].get_extra_info("server_addr")
            snippet = _first_bytes(answer) if tells_private or (peer and is_public(peer[0])) else None
        return Reply(
            status_code=answer.status,
            error=_error(answer.status, told),
            latency_ms=_ms_since(begun),
            snippet=snippet,
            retry_after_s=_seconds(told.get("retry-after", "")),
            aborts=told.get("webhook-delivery", "").strip().lower() == "abort-message",
        )


def _first_bytes(answer: httpcore.Response) -> str:
    """Return the beginning of an answer; one that breaks off is an answer all the same."""
    found = b""
    with contextlib.suppress(httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
        for chunk in answer.iter_stream():
            found += chunk
            if len(found) >= SNIPPET_BYTES:
                break
    return found[:SNIPPET_BYTES].decode("utf-8", "replace").replace("\0", "")


def _error(status: int, told: Mapping[str, str]) -> str | None:
    if status in REDIRECTS:
        return f"redirect to {told.get('location', '?')[:200]} not followed, register that URL"
    return None if 200 <= status < 300 else f"It answered {status}."


def _unconnected(exc: Exception) -> str:
    text = str(exc).lower()
    if "resolve" in text:
        return "Its host cannot be resolved."
    return "Its certificate cannot be trusted, or TLS failed." if "ssl" in text or "certificate" in text else "It takes no connection."


def _seconds(text: str) -> float | None:
    """Return what `Retry-After` says, a number of seconds or a date."""
    if text.strip().isdigit():
        return float(text.strip()[:9])
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()


def _ms_since(begun: float) -> int:
    return int((time.monotonic() - begun) * 1000)


def _version() -> str:
    try:
        return version("imagegw")
    except PackageNotFoundError:
        return "0"


_USUAL = {"Content-Type": "application/json", "User-Agent": f"imagegw-webhooks/{_version()}"}
