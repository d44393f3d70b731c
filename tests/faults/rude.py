"""Clients without manners, on plain sockets; and a web process that loses patience with them soon."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from scripts.stack.ports import free_port
from tests.acceptance.service import Service, wait_until
from tests.support.connections import open_connections

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 1.0
BYTES_PER_S = 1000
SERVE = f"""
import eventlet
eventlet.monkey_patch()
import os
from app.config import load_settings
from app.web.serving import serve
from app.web.slow_clients import Limits
s = {PATIENCE_S}
limits = Limits(head_s=s, idle_s=s, body_s=s, body_bytes_per_s={BYTES_PER_S}, write_s=s, ping_interval_s=1, ping_timeout_s=1, stranger_s=s)
serve(load_settings(os.environ), limits)
"""


class Web:
    """One web process, as its clients and its machine see it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.address = f"http://127.0.0.1:{port}"

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def connections(self) -> int:
        return open_connections(self.port)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.address}{path}", timeout=10, trust_env=False)

    def health_s(self) -> float:
        """Return how long another client waits for an answer now."""
        began = time.monotonic()
        assert httpx.get(f"{self.address}/healthz", timeout=10, trust_env=False).status_code == 200
        return time.monotonic() - began


@contextmanager
def impatient_web(service: Service) -> Iterator[Web]:
    """Start one more web process of a running service, with short limits."""
    port = free_port()
    env = {**service.stack.env, "PORT": str(port), "HOST": "127.0.0.1"}
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", SERVE], cwd=ROOT, env=env, stderr=subprocess.DEVNULL) as process:
        web = Web(port)
        try:
            wait_until(lambda: process.poll() is not None or _answers(web), 20, "the web process")
            yield web
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(web: Web) -> bool:
    try:
        return httpx.get(f"{web.address}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def heard_until_closed(client: socket.socket, within_s: float = 8.0) -> bytes:
    """Read until the server closes the connection; fails where it does not."""
    deadline, heard = time.monotonic() + within_s, b""
    while True:
        client.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            data = client.recv(65536)
        except ConnectionError:
            return heard
        if not data:
            return heard
        heard += data


def trickled(client: socket.socket, piece: bytes, every_s: float, within_s: float = 8.0) -> float:
    """Send a piece again and again until the server has closed the connection; return after how many seconds it had."""
    began = time.monotonic()
    client.settimeout(every_s)
    while time.monotonic() - began < within_s:
        try:
            client.sendall(piece)
            if not client.recv(65536):
                return time.monotonic() - began
        except TimeoutError:
            continue
        except ConnectionError:
            return time.monotonic() - began
    raise AssertionError(f"still connected after {within_s:g} s")
