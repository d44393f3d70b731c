"""Two clients of Socket.IO that keep what they hear: Python's, and the JavaScript one that web apps use."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import socketio

from tests.support.node import node_folder

EVENTS = ("generation_progress", "generation_completed", "generation_failed")
Event = tuple[str, dict[str, Any]]
T = TypeVar("T")


class Heard:
    """What a client has heard so far, in its order."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = threading.Condition()

    def add(self, name: str, data: Any) -> None:
        with self._news:
            self.events.append((name, data))
            self._news.notify_all()

    def of(self, job_id: str) -> list[Event]:
        return [(name, data) for name, data in self.events if isinstance(data, dict) and data.get("jobId") == job_id]

    def until_end_of(self, job_id: str, within_s: float = 15.0) -> list[Event]:
        """Wait for the last event of a job; return all of them."""

        def whole() -> list[Event] | None:
            events = self.of(job_id)
            return events if any(name != EVENTS[0] for name, _ in events) else None

        return self.until(whole, within_s)

    def until(self, found: Callable[[], T | None], within_s: float = 15.0) -> T:
        deadline = time.monotonic() + within_s
        with self._news:
            while not (answer := found()):
                if not self._news.wait(deadline - time.monotonic()):
                    raise AssertionError(f"waited {within_s:g} s in vain; heard {self.events}")
        return answer


@contextmanager
def listening(
    address: str, auth: Mapping[str, Any], *, transports: tuple[str, ...] = ("websocket",), namespace: str = "/"
) -> Iterator[Heard]:
    """Connect as a Python client. Raises socketio's ConnectionError where the service does not let it in."""
    heard = Heard()
    client = socketio.Client(reconnection=False)
    for name in EVENTS:
        client.on(name, lambda data, name=name: heard.add(name, data), namespace=namespace)
    client.on("connect_error", lambda data=None: heard.add("connect_error", data), namespace=namespace)
    try:
        client.connect(address, auth=dict(auth), transports=list(transports), namespaces=[namespace], wait_timeout=30)
        yield heard
    finally:
        client.disconnect()
        if client.eio.http is not None:
            client.eio.http.close()


@contextmanager
def listening_in_javascript(address: str, auth: Mapping[str, Any], *, transports: tuple[str, ...] | None = None) -> Iterator[Heard]:
    """Connect as a web app does; `connect`, `connect_error` and `disconnect` are among what it hears."""
    heard = Heard()
    command = ["node", "listen.mjs", address, json.dumps(auth), *([json.dumps(transports)] if transports else [])]
    with subprocess.Popen(command, cwd=node_folder(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        reader = threading.Thread(target=_read, args=(process, heard), daemon=True)
        reader.start()
        try:
            yield heard
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
            reader.join(timeout=30)


def _read(process: subprocess.Popen[str], heard: Heard) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        heard.add(*json.loads(line))
