"""What a machine without servers is given: the program that is started for Redis."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.stack.backing import missing


def redis_program(path: Path, data_dir: Path) -> tuple[str, bool]:
    env = {"PATH": str(path), "MONGODB_URI": "given", "FAL_KEY": "given"}
    (redis,) = missing(env, data_dir, database="imagegw", emulator_seconds=0)
    return redis.command(1)[0], redis.is_embedded


def installed(folder: Path, name: str) -> str:
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_a_server_on_the_path_is_used_as_it_is(name: str, tmp_path: Path) -> None:
    program = installed(tmp_path, name)

    assert redis_program(tmp_path, tmp_path / "data") == (program, False)


def test_a_machine_with_neither_uses_the_server_that_came_with_the_packages(tmp_path: Path) -> None:
    program, is_embedded = redis_program(tmp_path, tmp_path / "data")

    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    assert said.startswith("Valkey server")
    assert is_embedded
