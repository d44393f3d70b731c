"""A hundred hostile clients at once, while an honest one orders, is answered, and looks whether the service is well.

Run as a file it is the hostile side alone, in a process of its own: `python -m tests.faults.strangers --port 5000 --seconds 60`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.service import a_prompt, wait_until
from tests.faults.customers import Customer
from tests.faults.place import Place

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = 100
HOLD_S = 3.0
BUSY_S = 30.0
HEALTH_EVERY_S = 0.05
HEAD = "{} {} HTTP/1.1\r\nHost: localhost\r\n"
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
POLLING = "/socket.io/?EIO=4&transport=polling"
JSON = "Content-Type: application/json\r\n"
NAMES = itertools.count()
NONSENSE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
    b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
    b"POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    b"GET /files/" + b"%2e%2e/" * 500 + b"a.png HTTP/1.1\r\nHost: localhost\r\n\r\n",
)


class Hostile:
    """One client without manners and without a credential; `stream` and `token` are those of a user who has gone bad."""

    def __init__(self, port: int, stream: str, token: str, seed: int) -> None:
        self._port, self._stream, self._token = port, stream, token
        self._random = random.Random(seed)
        self._ways: tuple[Callable[[ExitStack], None], ...] = (
            self._heads_without_end,
            self._silence,
            self._slow_bodies,
            self._large_json,
            self._ended_sessions,
            self._broken_posts,
            self._silent_websockets,
            self._polls,
            self._log_ins,
            self._unread_answers,
            self._idle_connections,
            self._nonsense,
            self._streams_of_one_user,
            self._forged_webhooks,
        )
        self._way = self._ways[seed % len(self._ways)]

    def rage(self, until: float) -> None:
        while time.monotonic() < until:
            with contextlib.suppress(OSError, ValueError, httpx.HTTPError), ExitStack() as opened:
                self._way(opened)

    def _connected(self, opened: ExitStack, start: bytes = b"") -> socket.socket:
        client = opened.enter_context(socket.create_connection(("127.0.0.1", self._port), timeout=5))
        client.sendall(start)
        return client

    def _head(self, method: str, path: str, more: str = "") -> bytes:
        return (HEAD.format(method, path) + more).encode()

    def _heads_without_end(self, opened: ExitStack) -> None:
        """3,000 heads, of all clients of this kind together, each growing by a byte now and then."""
        clients = [self._connected(opened, self._head("GET", "/healthz", "X-A: ")) for _ in range(400)]
        for _ in range(3):
            time.sleep(HOLD_S / 3)
            for client in clients:
                with contextlib.suppress(OSError):
                    client.sendall(b"a")

    def _silence(self, opened: ExitStack) -> None:
        for _ in range(100):
            self._connected(opened)
        time.sleep(HOLD_S)

    def _slow_bodies(self, opened: ExitStack) -> None:
        clients = [self._connected(opened, self._head("POST", "/api/auth/login", f"{JSON}Content-Length: 9000\r\n\r\n")) for _ in range(20)]
        for _ in range(10):
            time.sleep(HOLD_S / 10)
            for client in clients:
                with contextlib.suppress(OSError):
                    client.sendall(b"{")

    def _large_json(self, opened: ExitStack) -> None:
        client = self._connected(
            opened, self._head("POST", "/api/images/generate", f"{JSON}X-API-Key: x\r\nContent-Length: 25000000\r\n\r\n")
        )
        for _ in range(100):
            client.sendall(b"[" * 250_000)

    def _session(self) -> str:
        answer = httpx.get(f"http://127.0.0.1:{self._port}{POLLING}", timeout=5, trust_env=False)
        return f"{POLLING}&sid=" + answer.text.partition('"sid":"')[2].partition('"')[0]

    def _ended_sessions(self, opened: ExitStack) -> None:
        self._connected(opened, self._head("POST", self._session(), "Content-Length: 1\r\n\r\n6"))

    def _broken_posts(self, opened: ExitStack) -> None:
        self._connected(opened, self._head("POST", self._session(), "Content-Length: 70001\r\n\r\n"))

    def _silent_websockets(self, opened: ExitStack) -> None:
        for _ in range(20):
            self._connected(opened, self._head("GET", "/socket.io/?EIO=4&transport=websocket", f"{UPGRADE}\r\n"))
        time.sleep(HOLD_S)

    def _polls(self, opened: ExitStack) -> None:
        path = self._session()
        for _ in range(10):
            self._connected(opened, self._head("GET", path, "\r\n"))
        time.sleep(HOLD_S)

    def _log_ins(self, opened: ExitStack) -> None:
        body = f'{{"email": "nobody-{next(NAMES)}@example.com", "password": "wrong password"}}'
        client = self._connected(opened, self._head("POST", "/api/auth/login", f"{JSON}Content-Length: {len(body)}\r\n\r\n{body}"))
        client.recv(4096)

    def _unread_answers(self, opened: ExitStack) -> None:
        for _ in range(5):
            self._connected(opened, self._head("GET", "/openapi.json", "\r\n") * 20)
        time.sleep(HOLD_S)

    def _idle_connections(self, opened: ExitStack) -> None:
        for _ in range(50):
            self._connected(opened, self._head("GET", "/healthz", "\r\n")).recv(4096)
        time.sleep(HOLD_S)

    def _nonsense(self, opened: ExitStack) -> None:
        self._connected(opened, self._random.choice(NONSENSE)).recv(4096)

    def _streams_of_one_user(self, opened: ExitStack) -> None:
        """1,500 streams, of all clients of this kind together."""
        for _ in range(200):
            self._connected(opened, self._head("GET", self._stream, f"Authorization: Bearer {self._token}\r\n\r\n"))
        time.sleep(HOLD_S)

    def _forged_webhooks(self, opened: ExitStack) -> None:
        head = f"X-Fal-Webhook-Timestamp: {'9' * 5000}\r\nX-Fal-Webhook-Signature: 00\r\nContent-Length: 4000000\r\n\r\n"
        client = self._connected(opened, self._head("POST", "/api/webhooks/fal/x/0", head))
        for _ in range(40):
            client.sendall(b"a" * 100_000)


@dataclass
class Honest:
    """What an honest client saw meanwhile: seconds of each health check, and jobs."""

    health_s: list[float] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)

    @property
    def p95_s(self) -> float:
        return sorted(self.health_s)[len(self.health_s) * 95 // 100]


def besieged(place: Place, customer: Customer, seconds: float, *, clients: int = CLIENTS) -> Honest:
    """Let hostile clients rage for so long; return what an honest customer saw. Fails where an order is not answered."""
    seen, over = Honest(), threading.Event()
    gone_bad = place.customer()  # Not the honest one: callers each stand in a line of their own.
    job_id = gone_bad.order(f"{a_prompt()} [emulator: seconds={seconds + 5:.0f}]")
    watching = threading.Thread(target=_watch, args=(port_of(place), seen, over))
    with hostile(place, f"/api/jobs/{job_id}/events", gone_bad, seconds, clients) as process:
        watching.start()
        try:
            while process.poll() is None:
                seen.jobs.append(_again_while_busy(lambda: customer.order(a_prompt())))
                asked = functools.partial(customer.job, seen.jobs[-1])
                wait_until(functools.partial(_is_completed, asked), 60, "an honest order's end")
        finally:
            over.set()
            watching.join()
    assert process.returncode == 0
    return seen


def _is_completed(ask: Callable[[], Any]) -> bool:
    return bool(_again_while_busy(ask)["status"] == "completed")


def _again_while_busy(ask: Callable[[], Any]) -> Any:
    """Ask again as any client does that is told `busy`, for the bound of its address: here a hundred strangers share the customer's."""
    end = time.monotonic() + BUSY_S
    while True:
        try:
            return ask()
        except AssertionError as refused:
            if '"busy"' not in str(refused) or time.monotonic() > end:
                raise
        time.sleep(0.2)


@contextmanager
def hostile(place: Place, stream: str, customer: Customer, seconds: float, clients: int) -> Iterator[subprocess.Popen[bytes]]:
    token = customer.headers["Authorization"].removeprefix("Bearer ")
    numbers = {"--port": port_of(place), "--seconds": seconds, "--clients": clients}
    options = [str(part) for pair in {**numbers, "--stream": stream, "--token": token}.items() for part in pair]
    with subprocess.Popen([sys.executable, "-W", "ignore", "-m", "tests.faults.strangers", *options], cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def port_of(place: Place) -> int:
    return int(place.stack.base_url.rpartition(":")[2])


def _watch(port: int, seen: Honest, over: threading.Event) -> None:
    while not over.wait(HEALTH_EVERY_S):
        began, well = time.monotonic(), False
        looking = HTTPConnection("127.0.0.1", port, timeout=10)  # A new one each time, as a health check's is.
        with contextlib.suppress(OSError, HTTPException), contextlib.closing(looking):
            looking.request("GET", "/healthz", headers={"Connection": "close"})
            with looking.getresponse() as answer:
                well = answer.status == 200
        seen.health_s.append(time.monotonic() - began if well else float("inf"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--stream", default="/api/jobs/none/events")
    parser.add_argument("--token", default="none")
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    clients = [Hostile(options.port, options.stream, options.token, seed) for seed in range(options.clients)]
    threads = [threading.Thread(target=client.rage, args=(until,), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until + 30 - time.monotonic()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
