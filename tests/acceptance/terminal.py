"""The `imagegen` command as somebody at a terminal has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.acceptance.service import Service, wait_until

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 40


class Terminal:
    """A folder to stand in, a home of one's own, and the command."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service, self.folder = service, folder / "here"
        self.orders = folder / "state" / "imagegen" / "orders"
        self.folder.mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "IMAGEGEN_SERVER": service.stack.base_url,
            "IMAGEGEN_USER": "user123",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "imagegen", *arguments]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, code: int = 0, typed: str = "") -> tuple[str, str]:
        """Run a command to its end and return what it printed; it must end with that exit code. `typed` is on its standard input."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(typed, timeout=TIMEOUT_S)
        finally:
            process.kill()
        assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
        return out, err

    def document(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run a command with --json; it must print one document and nothing else on standard output."""
        lines = self.run(*arguments, "--json", code=code)[0].splitlines()
        assert len(lines) == 1
        found: dict[str, Any] = json.loads(lines[0])
        return found

    def open_orders(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.orders.glob("*.json"))]

    def accepted_order(self) -> dict[str, Any]:
        """Return the order once the server has given it a job, while its client still waits for it."""

        def found() -> dict[str, Any] | None:
            return next((order for order in self.open_orders() if order["job_ids"]), None)

        return wait_until(found, 30, "an accepted order")

    def pictures(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())
