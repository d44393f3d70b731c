"""An emulator of fal.ai, shared by all who only talk to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.emulator import Emulator, running_emulator


@pytest.fixture(scope="session")
def tls_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="session")
def running(tls_dir: Path) -> Iterator[Emulator]:
    with running_emulator(tls_dir, "--seconds", "0.05", "--queue-seconds", "0") as emulator:
        yield emulator


@pytest.fixture
def fal(running: Emulator) -> Emulator:
    running.reset()
    return running
