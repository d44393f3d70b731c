"""Keeps what others' addresses name out of the operator's network: what fal's results point at, and receivers of webhooks.

A name is resolved once and connected to at exactly that address: one that answers differently the second time changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from app.domain.addresses import Network, networks_of

MAX_URL_CHARS = 2000
LEAST_HIGH_PORT = 1024
RESERVED_PORTS = {"https": 443, "http": 80}


class NotPublic(Exception):
    """A host is reached inside of somebody's network, or cannot be resolved. Its text is for whoever named it: no address is in it."""


class GuardedBackend(httpcore.SyncBackend):
    """Connects to the address that `address_of` gives for a host and port; what it refuses it raises."""

    def __init__(self, address_of: Callable[[str, int], str], *, total_s: float | None = None) -> None:
        super().__init__()
        self._address_of = address_of
        self._total_s = total_s

    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        stream = super().connect_tcp(self._address_of(host, port), port, *args, **kwargs)
        return stream if self._total_s is None else _Hurried(stream, time.monotonic() + self._total_s)


class _Hurried(httpcore.NetworkStream):
    """A connection that must be done with by a moment, however slowly its other side drips."""

    def __init__(self, stream: httpcore.NetworkStream, end: float) -> None:
        self._stream = stream
        self._end = end

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._left(timeout, httpcore.ConnectTimeout)
        return _Hurried(self._stream.start_tls(ssl_context, server_hostname, left), self._end)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _left(self, timeout: float | None, too_late: type[httpcore.TimeoutException]) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise too_late
        return left if timeout is None else min(left, timeout)


class Receivers:
    """Where webhooks may go: public hosts, and those of the operator's that are named. Never this service itself."""

    def __init__(self, *, allow_http: bool, private_hosts: Iterable[str], own_url: str | None) -> None:
        texts = tuple(private_hosts)
        self._schemes = ("https", "http") if allow_http else ("https",)
        self._networks: tuple[Network, ...] = tuple(net for text in texts if _is_network(text) for net in networks_of(text))
        self._names = frozenset(text for text in texts if not _is_network(text))
        self._own_host = urlsplit(own_url).hostname if own_url else None

    def checked(self, url: str) -> str:
        """Return a URL as it will be asked. Raises NotPublic, saying what is wrong with it; nothing is resolved here."""
        try:
            address = httpx.URL(url)
        except (httpx.InvalidURL, ValueError, TypeError) as exc:
            raise NotPublic("Not a URL.") from exc
        if problem := self._problem(url, address):
            raise NotPublic(problem)
        return str(address.copy_with(fragment=None))

    def _problem(self, url: str, address: httpx.URL) -> str | None:
        if address.scheme not in self._schemes:
            return "Use https." if address.scheme == "http" else f"Not a URL that starts with {self._schemes[0]}://"
        if not address.host or len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url:
            return f"Not a URL of at most {MAX_URL_CHARS} characters with a host."
        if address.userinfo or "@" in address.netloc.decode("ascii", "replace"):
            return "Leave credentials out of the URL; registered endpoints may have headers."
        if address.port is not None and address.port != RESERVED_PORTS[address.scheme] and address.port < LEAST_HIGH_PORT:
            return f"Use port {RESERVED_PORTS[address.scheme]}, or one from {LEAST_HIGH_PORT} on."
        if _plain(address.host) == self._own_host:
            return "That is this service itself."
        return None

    def require_reachable(self, url: str) -> None:
        """Raise NotPublic where a checked URL's host cannot be resolved, or is inside of somebody's network."""
        address = httpx.URL(url)
        self.address_of(address.host, address.port or RESERVED_PORTS[address.scheme])

    def address_of(self, host: str, port: int) -> str:
        """Return the one address to connect to. Raises NotPublic."""
        addresses = resolved(host, port)
        is_named = _plain(host) in self._names
        if _plain(host) == self._own_host or not (is_named or all(is_public(each) or self._is_in(each) for each in addresses)):
            raise NotPublic("Its address is not on the public internet.")
        return addresses[0]

    def _is_in(self, address: str) -> bool:
        found = ipaddress.ip_address(address.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._networks)


def public_address(host: str, port: int) -> str:
    """Return the one address of a public host to connect to. Raises NotPublic."""
    addresses = resolved(host, port)
    if not all(is_public(address) for address in addresses):
        raise NotPublic("Its address is not on the public internet.")
    return addresses[0]


def resolved(host: str, port: int) -> list[str]:
    """Return a host's addresses. Raises httpcore.ConnectError where there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise httpcore.ConnectError(f"cannot resolve {host}") from exc
    if not found:
        raise httpcore.ConnectError(f"cannot resolve {host}")
    return [str(entry[4][0]) for entry in found]


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


def _is_network(text: str) -> bool:
    try:
        return bool(networks_of(text))
    except ValueError:
        return False


def _plain(host: str) -> str:
    return host.lower().rstrip(".")
