"""`python -m app doctor` names what is wrong, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.operator.doctor import State, _clock_beside
from app.stores.database import Database
from tests.support.fal_place import FalPlace
from tests.support.fal_platform import KEY, PlatformServer, platform_server
from tests.support.operator import run_command
from tests.support.services import Backing


@pytest.fixture(scope="module")
def fal(fal_place: FalPlace) -> Iterator[PlatformServer]:
    with platform_server(fal_place.tls_dir) as server:
        yield server


@pytest.fixture
def environment(backing: Backing, database: Database, tmp_path: Path, fal: PlatformServer, fal_place: FalPlace) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "MONGODB_URI": backing.database_uri(database.name),
        "REDIS_URL": backing.redis_url,
        "STORAGE_URL": tmp_path.as_uri(),
        "FAL_KEY": KEY,
        "FAL_API_URL": fal.environment["FAL_API_URL"],
        "JWT_SECRET": "x" * 32,
        "SSL_CERT_FILE": str(fal_place.bundle),
        "NO_PROXY": "*",
    }


def test_what_is_well_is_told(environment: dict[str, str]) -> None:
    done = run_command(["doctor"], environment)

    assert (done.returncode, done.stderr) == (0, "")
    for words in ("MongoDB", "takes writes", "objects are written", "FAL_KEY is taken", "agrees with MongoDB's", "Nothing is wrong"):
        assert words in done.stdout
    assert "x" * 32 not in done.stdout
    assert KEY not in done.stdout


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"MONGODB_URI": "mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=1000"}, "mend MONGODB_URI"),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "mend REDIS_URL"),
        ({"STORAGE_URL": "file:///proc/nowhere"}, "check STORAGE_URL"),
        ({"FAL_KEY": "another:key"}, "set FAL_KEY"),
        ({"PUBLIC_URL": "https://localhost:1"}, "fal must reach https://localhost:1"),
        ({"MAX_MEGAPIXELS": "many"}, "see docs/settings.md"),
        ({"REGISTRY_PATH": "/nowhere"}, "docs/"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(environment: dict[str, str], changed: dict[str, str], words: str) -> None:
    done = run_command(["doctor"], environment | changed)

    assert done.returncode == 1
    assert words in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(("ahead_s", "state"), [(0.4, State.OK), (-20, State.NOTE), (3600, State.BAD), (-3600, State.BAD)])
def test_a_clock_that_is_wrong_is_told(ahead_s: float, state: State) -> None:
    assert _clock_beside("MongoDB's", ahead_s).state is state
