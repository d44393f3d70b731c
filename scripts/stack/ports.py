"""Ports of this machine: one to listen on, and whether a server answers there."""

import random
import socket
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from types import MappingProxyType
from urllib.parse import urlsplit

from scripts.stack.processes import StackError

# Below the range from which systems take ports for outgoing connections (Linux 32768, macOS 49152): a server that is
# killed and started again finds its port still free, and a client that retries meanwhile cannot connect to itself.
_RANGE = range(20_000, 30_000)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port on which nothing listens at this moment. The caller must still cope with losing a race for it.

    Raises StackError when there is none.
    """
    for port in random.sample(_RANGE, 200):
        if is_free(port, host):
            return port
    raise StackError(f"no free port between {_RANGE.start} and {_RANGE.stop} on {host}")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def answers_ok(url: str, headers: Mapping[str, str] = MappingProxyType({}), *, timeout_s: float = 2) -> bool:
    """Tell whether a GET answers 200 in time. Goes around any proxy the environment names."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=timeout_s)
    try:
        connection.request("GET", address.path, headers=dict(headers))
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
