"""JavaScript clients: npm's packages installed once as tests/node locks them, and scripts of tests/node run with them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "node"
INSTALLED = Path(__file__).resolve().parents[2] / "var" / "node-client"


def node_folder() -> Path:
    """Return the folder where Node finds the packages and every script of tests/node. Skips without Node, except in CI."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs node and npm for the JavaScript clients")
        pytest.skip("node and npm are not installed")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # Several processes share the tests.
        _install()
        for script in SCRIPTS.glob("*.mjs"):
            shutil.copy2(script, INSTALLED / script.name)
    return INSTALLED


def run_node(script: str, *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 90) -> str:
    """Run a script of tests/node to its end; return what it printed. Fails, with its errors, where it does."""
    done = subprocess.run(
        ["node", script, *arguments],
        cwd=node_folder(),
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _install() -> None:
    lock = (SCRIPTS / "package-lock.json").read_bytes()
    kept = INSTALLED / "installed-lock.json"
    if kept.exists() and kept.read_bytes() == lock:
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copy2(SCRIPTS / name, INSTALLED / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=INSTALLED, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"npm cannot install the JavaScript clients: {done.stderr.strip()[-300:]}")
    assert done.returncode == 0, done.stderr
    kept.write_bytes(lock)
