"""The package as `pip install .` makes it, without this checkout and without the lock: the newest dependencies its bounds allow, and the
oldest. One generation each, by the processes and the command that were installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image

from scripts.stack.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
#: What setuptools reads. A copy, as it builds in the very folder it is given.
PACKAGE = ("pyproject.toml", "README.md", "app", "registry", "workers")
INSTALL_TIMEOUT_S = 100
#: Another machine's settings of uv must not change what the metadata allows.
UV_ENV = {"UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never"}
#: fal's own client, led to the service by what was installed with it.
FALS_CLIENT = """
import sys, fal_client, imagegen.fal
imagegen.fal.use(*sys.argv[1:])
print(fal_client.subscribe("fal-ai/flux-pro/v1.1", {"prompt": "a red bicycle"})["images"][0]["url"])
"""

Uv = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def uv() -> Uv:
    program = next((found for name in (ROOT / "var/uv/bin/uv", "uv") if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no uv: scripts/venv brings it where it installs something")

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [program, *arguments]
        return subprocess.run(
            command, env={**os.environ, **UV_ENV}, cwd="/", capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in PACKAGE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (tmp_path / "source").mkdir(exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / "source" / name)
    return tmp_path / "source"


def installed(uv: Uv, source: Path, resolution: str) -> Path:
    """Return the environment that holds the package and what its metadata asks for."""
    environment = source.parent / "environment"
    made = uv("venv", "--python", ROOT / ".venv/bin/python", environment)
    assert made.returncode == 0, made.stderr
    done = uv("pip", "install", "--compile-bytecode", "--python", environment / "bin/python", "--resolution", resolution, source)
    if done.returncode and "error sending request" in done.stderr:
        pytest.skip("the package index cannot be asked")
    assert done.returncode == 0, done.stderr
    return environment


def procfile_for(environment: Path) -> Path:
    """Return a Procfile whose processes see nothing but what is installed: neither this checkout nor PYTHONPATH."""
    processes = (ROOT / "Procfile").read_text().replace(": python ", f": {environment}/bin/python -I ")
    (environment / "Procfile").write_text(processes)
    return environment / "Procfile"


def run(command: Sequence[str | Path], folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("resolution", ["highest", "lowest-direct"])
def test_what_the_metadata_allows_generates_a_picture(resolution: str, uv: Uv, source: Path, tmp_path: Path) -> None:
    environment = installed(uv, source, resolution)
    settings = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ALLOW_ANONYMOUS": "true", "APP_ENV": "development"}

    with Stack(env=settings, procfile=procfile_for(environment), quiet=True, emulator_seconds=0.1) as stack:
        command = [environment / "bin/imagegen", "generate", "flux-pro", "a red bicycle", "-o", "bicycle.jpg"]
        ordering = {**settings, "IMAGEGEN_SERVER": stack.base_url, "IMAGEGEN_USER": "user123"}
        ordered = run(command, tmp_path, ordering)
        made = run(
            [environment / "bin/python", "-m", "app", "keys", "create", "--name", "a script"], tmp_path, {**stack.env, "PYTHONPATH": ""}
        )
        script = [environment / "bin/python", "-c", FALS_CLIENT, stack.base_url, made.stdout.strip()]
        led = run(script, tmp_path, {"PATH": os.environ["PATH"]})
        logs = "".join(stack.log(name) for name in ("web", "worker", "watcher"))

    assert ordered.returncode == 0, ordered.stderr + logs
    assert led.stdout.startswith("http"), made.stderr + led.stderr + logs
    with Image.open(tmp_path / "bicycle.jpg") as image:
        image.load()
        assert min(image.size) >= 512
    assert "Traceback" not in logs
    assert "Warning" not in logs
