"""Whose request it is by address: the peer of the connection, or whom a proxy of the operator's names."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Whoever has one IPv6 address has a network of so many bits.
IPV6_HOME_BITS = 64


def networks_of(text: str) -> tuple[Network, ...]:
    """Return the networks of a comma-separated list; a single address is a network of one. Raises ValueError naming the bad one."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Return the address a request comes from.

    `forwarded_for` is the whole X-Forwarded-For, several headers joined by commas. Each proxy adds its own peer at the end, and only what a
    trusted one added counts: read from the right, the first address that is none of the trusted. What stands left of it, or behind
    something that is no address, was written by anybody.
    """
    client = address_of(peer)
    if client is None:
        return peer
    for text in reversed(forwarded_for.split(",") if trusted else []):
        named = address_of(text)
        if named is None or not is_within(client, trusted):
            break
        client = named
    return str(client)


@functools.lru_cache(maxsize=4096)
def household(address: str) -> str:
    """Return what limits count an address as: an IPv6 address stands for its /64, since its owner can choose any other in it."""
    found = address_of(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, IPV6_HOME_BITS), strict=False))
    return address


@functools.lru_cache(maxsize=4096)
def address_of(text: str) -> Address | None:
    """Return an address as proxies write it, with a port or brackets as some do; None for anything else."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
