"""The sign of life of processes that have no port, and the probe that looks for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workers import alive

ROOT = Path(__file__).resolve().parents[2]


def probe(file: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "ALIVE_FILE": file or ""}
    return subprocess.run(
        [sys.executable, "-m", "workers.alive", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


def test_a_fresh_sign_is_well_and_an_old_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    alive.show(file)

    fresh = probe(str(file), "60")
    os.utime(file, (time.time() - 61, time.time() - 61))
    old = probe(str(file), "60")

    assert (fresh.returncode, fresh.stderr) == (0, "")
    said = re.fullmatch(r"no sign of life for (\d+) s\n", old.stderr)
    assert old.returncode == 1
    assert said, old.stderr
    assert 61 <= int(said[1]) <= 61 + 60  # A busy machine takes a while to ask.


def test_a_process_that_never_showed_itself_is_not_well(tmp_path: Path) -> None:
    answer = probe(str(tmp_path / "alive"), "60")

    assert answer.returncode == 1
    assert "No such file" in answer.stderr


@pytest.mark.parametrize(
    ("file", "arguments"), [(None, ("60",)), ("/tmp/alive", ()), ("/tmp/alive", ("soon",)), ("/tmp/alive", ("1", "2"))]
)
def test_a_wrong_call_says_how_to_call(file: str | None, arguments: tuple[str, ...]) -> None:
    answer = probe(file, *arguments)

    assert (answer.returncode, answer.stderr[:6]) == (2, "usage:")


def test_a_sign_that_cannot_be_shown_stops_nobody(tmp_path: Path) -> None:
    alive.show(tmp_path / "no folder" / "alive")
    alive.show(None)

    assert list(tmp_path.iterdir()) == []
