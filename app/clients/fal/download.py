"""Fetches what fal's results point at, and nothing inside the operator's network.

https only, redirects followed by hand, hosts guarded as `clients/guarded.py` does. The hosts fal itself is reached by are exempt, which is
how an emulator on this machine works.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from typing import IO
from urllib.parse import urljoin

import httpcore
import httpx

from app.clients.guarded import GuardedBackend, NotPublic, public_address
from app.clients.outgoing import BROKEN, inflated, tls_context
from app.domain.errors import ResultUnavailable, ResultUnusable
from app.pictures.spooled import spooled

MAX_BYTES = 50 << 20
MAX_REDIRECTS = 3
TIMEOUTS = {"connect": 10.0, "read": 30.0, "write": 10.0, "pool": 30.0}
#: Pictures do not shrink, so nothing is gained by packing; some caches pack them all the same.
HEADERS = (("Accept", "image/*"), ("Accept-Encoding", "identity"))
GZIP_MAGIC = b"\x1f\x8b"


class Downloader:
    """Keeps its connections; safe for threads."""

    def __init__(self, exempt_hosts: frozenset[str], *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._exempt = exempt_hosts
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls_context(),
            max_connections=64,
            max_keepalive_connections=16,
            keepalive_expiry=60,
            network_backend=GuardedBackend(self._address_of),
        )

    def close(self) -> None:
        self._pool.close()

    def fetch(self, url: str) -> IO[bytes]:
        """Return the bytes behind a URL as an unnamed temporary file, at its start; nothing is left behind whatever happens.

        Raises ResultUnavailable where it may work later, ResultUnusable where it never will.
        """
        if url.startswith("data:"):
            return _decoded(url, self._max_bytes)
        address = _https_address(url)
        for _ in range(MAX_REDIRECTS + 1):
            outcome = self._get(address)
            if not isinstance(outcome, str):
                return outcome
            address = _https_address(outcome, address)
        raise ResultUnusable("The picture's address redirects too often")

    def _address_of(self, host: str, port: int) -> str:
        return host if host in self._exempt or f"{host}:{port}" in self._exempt else public_address(host, port)

    def _get(self, url: str) -> IO[bytes] | str:
        """Return the file, or where a redirect points."""
        try:
            with self._pool.stream("GET", url, headers=HEADERS, extensions={"timeout": TIMEOUTS}) as response:
                headers = {name.lower(): value for name, value in response.headers}
                if response.status in (301, 302, 303, 307, 308) and b"location" in headers:
                    return headers[b"location"].decode("ascii", "replace")
                if response.status != 200:
                    raise _refusal(response.status)
                packed = _spooled(response.iter_stream(), self._max_bytes)
                return _unpacked(packed, headers.get(b"content-encoding", b""), self._max_bytes)
        except NotPublic as exc:
            raise ResultUnusable("The picture's address is not on the public internet", code="forbidden_address") from exc
        except BROKEN as exc:
            raise ResultUnavailable("The picture cannot be downloaded right now") from exc


def _https_address(url: str, base: str = "") -> str:
    """Return a URL as the wire needs it, a redirect's joined to where it came from. Raises ResultUnusable for what is no https URL."""
    try:
        address = httpx.URL(urljoin(base, url))
    except (httpx.InvalidURL, ValueError) as exc:
        raise ResultUnusable("The picture's address cannot be read") from exc
    if address.scheme != "https" or not address.host:
        raise ResultUnusable("The picture's address is not https")
    return str(address)


def _refusal(status: int) -> ResultUnavailable | ResultUnusable:
    if status in (403, 404, 410):
        return ResultUnusable(f"The picture is not at its address (HTTP {status})", code="result_gone")
    return ResultUnavailable(f"The picture cannot be downloaded right now (HTTP {status})")


def _spooled(chunks: Iterable[bytes], max_bytes: int) -> IO[bytes]:
    def write(file: IO[bytes]) -> None:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > max_bytes:
                raise ResultUnusable(f"The picture is larger than {max_bytes >> 20} MB", code="file_too_large")
            file.write(chunk)

    return spooled(write)


def _unpacked(file: IO[bytes], encoding: bytes, max_bytes: int) -> IO[bytes]:
    """Return the file that was packed with gzip or deflate on its way, within the same bounds; what cannot be unpacked stays as it is.

    Its first bytes decide: no picture begins as gzip does, and headers say what they like.
    """
    head = file.read(2)
    file.seek(0)
    is_gzip = head == GZIP_MAGIC
    if not is_gzip and encoding.strip().lower() != b"deflate":
        return file
    try:
        unpacked = _spooled(inflated(file, 31 if is_gzip else 15), max_bytes)
    except zlib.error:
        file.seek(0)
        return file
    except BaseException:
        file.close()
        raise
    file.close()
    return unpacked


def _decoded(url: str, max_bytes: int) -> IO[bytes]:
    head, _, payload = url.partition(",")
    if not head.endswith(";base64") or len(payload) > max_bytes * 4 // 3 + 4:
        raise ResultUnusable("The picture's data URI cannot be used")
    try:
        return _spooled([base64.b64decode(payload, validate=True)], max_bytes)
    except ValueError as exc:
        raise ResultUnusable("The picture's data URI cannot be used") from exc
