"""Ports for the stack's own servers."""

import random
import socket

# Below the range from which systems take ports for outgoing connections (Linux 32768, macOS 49152): a server that is
# killed and started again finds its port still free, and a client that retries meanwhile cannot connect to itself.
_RANGE = range(20_000, 30_000)


class PortTakenError(Exception):
    """No process can listen on this port now."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port on which nothing listens at this moment. The caller must still cope with losing a race for it."""
    for port in random.sample(_RANGE, 200):
        if is_free(port, host):
            return port
    raise PortTakenError(f"no free port between {_RANGE.start} and {_RANGE.stop} on {host}")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
