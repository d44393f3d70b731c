"""Whatever pip a machine has brings the uv that scripts/venv installs with; from there on pip's version no longer matters."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PINNED = re.search(r"^uv==(\S+)", (ROOT / "scripts/uv.txt").read_text(), re.MULTILINE)
#: What Debian 12, Ubuntu 24.04 and Debian 13 ship, and the newest there is.
PIPS = ("pip==23.0.1", "pip==24.0", "pip==25.1.1", "pip")
OFFLINE = re.compile("ConnectionError|NewConnectionError|Temporary failure in name resolution|Network is unreachable|Max retries exceeded")


def run_pip(*arguments: str | Path, pip: Path | None = None) -> None:
    """Run pip, one that lies in a folder where it is given; skip the test where the index cannot be reached."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if pip:
        environment["PYTHONPATH"] = str(pip)
    command = [sys.executable, "-m", "pip", "install", "--no-input", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)
    if done.returncode and OFFLINE.search(done.stderr):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("pip", PIPS)
def test_each_pip_that_people_have_brings_uv(pip: str, tmp_path: Path) -> None:
    if pip == "pip==23.0.1" and sys.version_info >= (3, 12):
        pytest.skip("Debian 12's pip runs on its Python, 3.11, and not on 3.12 or newer")
    run_pip("--target", tmp_path / "pip", pip)

    run_pip("--require-hashes", "--no-deps", "--target", tmp_path / "uv", "-r", ROOT / "scripts/uv.txt", pip=tmp_path / "pip")

    said = subprocess.run([tmp_path / "uv/bin/uv", "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    assert PINNED
    assert said.split()[1] == PINNED[1]
