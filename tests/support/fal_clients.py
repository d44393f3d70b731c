"""Releases of fal's Python client, each in an environment of its own, and the story that is run with them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
STORY = Path(__file__).with_name("fal_story.py")
#: The release that the lock has.
LOCKED = "1.0.3"
COMMON = (
    *("anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "httpx-sse==0.4.3", "idna==3.20"),
    "typing-extensions==4.16.0",
)
PINS: Mapping[str, tuple[str, ...]] = {
    "0.9.1": ("fal-client==0.9.1", *COMMON),
    "0.13.2": ("fal-client==0.13.2", "msgpack==1.2.4", "websockets==17.4", *COMMON),
}


def python_with(release: str) -> str:
    """Return an interpreter that has a release of fal-client, made at first use. Skips where the package index cannot be asked."""
    if release == LOCKED:
        return sys.executable
    folder = ROOT / "var" / "fal-clients" / release
    folder.mkdir(parents=True, exist_ok=True)
    python, pins = folder / "bin" / "python", " ".join((sys.version, *PINS[release]))
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # Several processes share the tests.
        made = folder / "made-of"
        if not made.exists() or made.read_text() != pins:
            _make(folder, PINS[release])
            made.write_text(pins)
    return str(python)


def _make(folder: Path, pins: Collection[str]) -> None:
    uv = next((found for name in (ROOT / "var/uv/bin/uv", "uv") if (found := shutil.which(name))), None)
    python = str(folder / "bin" / "python")
    making = [uv, "venv", "--allow-existing", "--python", sys.executable] if uv else [sys.executable, "-m", "venv"]
    filling = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    for command in ([*making, str(folder)], [*filling, "--quiet", *pins]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
        if done.returncode and not os.environ.get("CI"):
            pytest.skip(f"fal-client cannot be installed: {done.stderr.strip()[-300:]}")
        assert done.returncode == 0, done.stderr


def start_story(
    release: str,
    environment: Mapping[str, str],
    *,
    prompt: str,
    picture: Path,
    use: tuple[str, str] | None = None,
    hosts: Collection[str] = (),
    steps: Collection[str] | None = None,
) -> subprocess.Popen[str]:
    """Start the story with a release, in an environment that has nothing else of this one's; see fal_story.py."""
    order = {"use": use, "hosts": list(hosts), "prompt": prompt, "picture": str(picture), "steps": None if steps is None else list(steps)}
    return subprocess.Popen(
        [python_with(release), "-P", str(STORY), json.dumps(order)],
        # Of the checkout the story sees only what an installed package would have.
        env={"PATH": os.environ["PATH"], "HOME": str(picture.parent), "PYTHONPATH": str(ROOT / ".venv/src"), **environment},
        cwd=picture.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told_by(story: subprocess.Popen[str], *, within_s: float = 90) -> dict[str, Any]:
    """Return what a story has to tell at its end."""
    try:
        said, complaint = story.communicate(timeout=within_s)
    finally:
        story.kill()
    assert story.returncode == 0, complaint
    told: dict[str, Any] = json.loads(said)
    return told
