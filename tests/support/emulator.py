"""A small client of the fal emulator's control API, and a way to start one."""

from __future__ import annotations

import json
import re
import select
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
READY = re.compile(r"fal_emulator ready (https://\S+) bundle=(.+)")
START_SECONDS = 20.0


class Emulator:
    """Orders failures from a running emulator and asks it what it has seen."""

    def __init__(self, base_url: str, bundle: Path | str) -> None:
        self.base_url = base_url
        self.bundle = str(bundle)
        self.host = base_url.removeprefix("https://")
        context = ssl.create_default_context(cafile=self.bundle)
        self.http = httpx.Client(base_url=base_url, verify=context, timeout=10.0)

    def environment(self) -> dict[str, str]:
        """The variables that lead fal-client here; they must be set before Python starts."""
        return {
            "FAL_RUN_HOST": self.host,
            "FAL_QUEUE_RUN_HOST": self.host,
            "SSL_CERT_FILE": self.bundle,
            "FAL_KEY": "test-id:test-secret",
        }

    def fault(self, on: str, kind: str, *, times: int | None = 1, **more: Any) -> Any:
        """Order a failure; `more`: endpoint, promptContains, value, seconds. times=None: until cleared."""
        return self._json("POST", "/_emulator/faults", {"on": on, "kind": kind, "times": times, **more})

    def outcome(self, value: str, *, times: int | None = 1, **more: Any) -> Any:
        """Order how the next accepted requests end."""
        return self.fault("submit", "outcome", times=times, value=value, **more)

    def clear(self) -> None:
        self.http.delete("/_emulator/faults").raise_for_status()

    def settings(self, **change: Any) -> Any:
        """Change seconds, queueSeconds, concurrency or webhookRetrySeconds; returns all of them."""
        return self._json("POST", "/_emulator/settings", change)

    def requests(self) -> list[dict[str, Any]]:
        """Every submit seen, oldest first."""
        seen: list[dict[str, Any]] = self._json("GET", "/_emulator/requests")
        return seen

    def stats(self) -> dict[str, Any]:
        counted: dict[str, Any] = self._json("GET", "/_emulator/stats")
        return counted

    def reset(self) -> None:
        self.http.post("/_emulator/reset").raise_for_status()

    def close(self) -> None:
        self.http.close()

    def _json(self, method: str, path: str, body: Any = None) -> Any:
        # Not httpx' own JSON: it cannot say half an emoji, which fal can.
        response = self.http.request(method, path, content=json.dumps(body), headers={"Content-Type": "application/json"})
        response.raise_for_status()
        return response.json()


@contextmanager
def running_emulator(tls_dir: Path, *options: str) -> Iterator[Emulator]:
    """Start an emulator on a free port and end it with SIGTERM."""
    command = [sys.executable, "-m", "scripts.fal_emulator", "--port", "0", "--tls-dir", str(tls_dir)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            base_url, bundle = _ready(process)
            emulator = Emulator(base_url, bundle)
            try:
                yield emulator
            finally:
                emulator.close()
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


def _ready(process: subprocess.Popen[str]) -> tuple[str, str]:
    assert process.stdout is not None
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if select.select([process.stdout], [], [], 0.2)[0]:
            found = READY.match(process.stdout.readline())
            if found:
                return found[1], found[2]
    raise RuntimeError("the emulator did not start")
