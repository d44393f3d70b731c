"""Fetches what fal's results point at, and nothing inside the operator's network.

https only, redirects followed by hand, names resolved once and connected to exactly that address: a name that answers differently the
second time changes nothing. The hosts fal itself is reached by are exempt, which is how an emulator on this machine works.
"""

from __future__ import annotations

import base64
import ipaddress
import socket
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any
from urllib.parse import urljoin

import httpcore
import httpx

from app.domain.errors import ResultUnavailable, ResultUnusable

MAX_BYTES = 50 << 20
MAX_REDIRECTS = 3
TIMEOUTS = {"connect": 10.0, "read": 30.0, "write": 10.0, "pool": 30.0}
IN_MEMORY_BYTES = 1 << 20
#: Pictures do not shrink, so nothing is gained by packing; some caches pack them all the same.
HEADERS = (("Accept", "image/*"), ("Accept-Encoding", "identity"))
CHUNK_BYTES = 1 << 16
GZIP_MAGIC = b"\x1f\x8b"


class Downloader:
    """Keeps its connections; safe for threads."""

    def __init__(self, exempt_hosts: frozenset[str], *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=64,
            max_keepalive_connections=16,
            keepalive_expiry=60,
            network_backend=_GuardedBackend(exempt_hosts),
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
        except (
            httpcore.NetworkError,
            httpcore.TimeoutException,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            OSError,
            ValueError,
        ) as exc:
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


class _GuardedBackend(httpcore.SyncBackend):
    """Resolves a name once, refuses addresses that are not public, and connects to the address it checked."""

    def __init__(self, exempt_hosts: frozenset[str]) -> None:
        super().__init__()
        self._exempt = exempt_hosts

    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        if host in self._exempt or f"{host}:{port}" in self._exempt:
            return super().connect_tcp(host, port, *args, **kwargs)
        return super().connect_tcp(_public_address(host, port), port, *args, **kwargs)


def _public_address(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise httpcore.ConnectError(f"cannot resolve {host}") from exc
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(is_public(address) for address in addresses):
        raise ResultUnusable("The picture's address is not on the public internet", code="forbidden_address")
    return addresses[0]


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet, whatever IPv6 form it is wrapped in."""
    ip = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip not in ipaddress.ip_network("2000::/3"):
            # Nothing else is given out to the internet: this leaves out ::a.b.c.d and 64:ff9b:1::/48, which `is_global` lets pass.
            return False
    return ip.is_global and not ip.is_multicast


def _refusal(status: int) -> ResultUnavailable | ResultUnusable:
    if status in (403, 404, 410):
        return ResultUnusable(f"The picture is not at its address (HTTP {status})", code="result_gone")
    return ResultUnavailable(f"The picture cannot be downloaded right now (HTTP {status})")


def _spooled(chunks: Iterable[bytes], max_bytes: int) -> IO[bytes]:
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - handed to the caller
    size = 0
    try:
        for chunk in chunks:
            size += len(chunk)
            if size > max_bytes:
                raise ResultUnusable(f"The picture is larger than {max_bytes >> 20} MB", code="file_too_large")
            file.write(chunk)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


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
        unpacked = _spooled(_inflated(file, 31 if is_gzip else 15), max_bytes)
    except zlib.error:
        file.seek(0)
        return file
    except BaseException:
        file.close()
        raise
    file.close()
    return unpacked


def _inflated(file: IO[bytes], window_bits: int) -> Iterator[bytes]:
    """Yield what is packed, a piece of bounded size at a time: a small file may hold gigabytes of zeros."""
    inflater = zlib.decompressobj(window_bits)
    while packed := file.read(CHUNK_BYTES):
        while packed:
            if inflater.eof:
                inflater = zlib.decompressobj(window_bits)  # What is packed may come in several pieces, one after the other.
            yield inflater.decompress(packed, CHUNK_BYTES)
            packed = inflater.unconsumed_tail or inflater.unused_data


def _decoded(url: str, max_bytes: int) -> IO[bytes]:
    head, _, payload = url.partition(",")
    if not head.endswith(";base64") or len(payload) > max_bytes * 4 // 3 + 4:
        raise ResultUnusable("The picture's data URI cannot be used")
    try:
        return _spooled([base64.b64decode(payload, validate=True)], max_bytes)
    except ValueError as exc:
        raise ResultUnusable("The picture's data URI cannot be used") from exc
