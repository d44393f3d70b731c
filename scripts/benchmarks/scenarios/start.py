"""How soon a newcomer has a first picture, with uv and with pip, and how soon `scripts/dev` answers."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.source import BenchmarkError
from scripts.benchmarks.tables import Figure, Table
from scripts.stack.ports import answers_ok, free_port

ROOT = Path(__file__).resolve().parents[3]
STEP_TIMEOUT_S, READY_TIMEOUT_S = 600.0, 60.0
RATIO, PICTURE_S, READY_S = 0.5, 20.0, 4.0
LOOK_S = 0.02
#: One interpreter for both, and not that of an environment: its packages are not a newcomer's.
PYTHON = str(Path(sys.base_prefix) / "bin" / "python3")
TEXT = (
    "A fresh clone each time, on a machine without uv: `scripts/demo` brings uv, installs what uv.lock says, starts the service and "
    "generates one picture, of which the emulator takes 2 s. With pip: the same packages by the same hashes into a new environment, then "
    "the same picture. Both find their downloads in a cache, which an unmeasured round of both fills. `scripts/dev` starts in that clone, "
    "where all is installed and ran before; it is ready when `/readyz` answers 200."
)


def run(bench: Bench) -> Sequence[Table]:
    """Measure in folders below `var`, which are removed: where the checkout is, the caches can be linked from."""
    (ROOT / "var").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-start-", dir=ROOT / "var") as folder:
        place = Place(Path(folder))
        place.demo_with_uv("warm-uv")
        place.demo_with_pip("warm-pip")
        with_uv, with_pip, ready = zip(*(place.one_round(number) for number in range(bench.rounds)), strict=True)
    figures = [
        Figure.of("fresh clone to first picture, uv", with_uv, "s", at_most=PICTURE_S),
        Figure.of("fresh clone to first picture, pip", with_pip, "s"),
        Figure.ratio("uv / pip", with_uv, with_pip, at_most=RATIO),
        Figure.of("scripts/dev, warm, until ready", ready, "s", at_most=READY_S),
    ]
    return [Table("Start", TEXT, figures)]


class Place:
    """A folder of clones, with caches of its own, and the environment of somebody who has git and Python but no uv."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "LANG")) or name.endswith("_proxy")}
        self._env = {
            **kept,
            "PATH": os.pathsep.join(place for place in os.get_exec_path() if not (Path(place) / "uv").exists()),
            "HOME": str(folder),
            "UV_PYTHON": PYTHON,
            "PIP_CACHE_DIR": str(folder / "pip-cache"),
            "UV_CACHE_DIR": str(folder / "uv-cache"),
        }

    def one_round(self, number: int) -> tuple[float, float, float]:
        with_uv = self.demo_with_uv(f"uv-{number}")
        ready = self.dev_ready(f"uv-{number}")
        return with_uv, self.demo_with_pip(f"pip-{number}"), ready

    def demo_with_uv(self, name: str) -> float:
        """Return the seconds from before a clone until its demo has ended."""
        began = time.monotonic()
        clone = self._clone(name)
        self._run(clone, "scripts/demo")
        return time.monotonic() - began

    def demo_with_pip(self, name: str) -> float:
        """Return the seconds of the same with pip; what pip is told to install is written before the clock runs."""
        wanted = self._folder / "requirements.txt"
        if not wanted.exists():
            uv = ROOT / "var/uv/bin/uv"
            export = [str(uv) if uv.exists() else "uv", "export", "--frozen", "--quiet", "--no-emit-project", "--group", "embedded"]
            self._run(ROOT, *export, "--output-file", str(wanted), env=os.environ)
        began = time.monotonic()
        clone = self._clone(name)
        self._run(clone, PYTHON, "-m", "venv", ".venv")
        self._run(clone, ".venv/bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(wanted))
        self._run(clone, ".venv/bin/python", "-m", "scripts.stack", "demo")
        return time.monotonic() - began

    def dev_ready(self, name: str) -> float:
        """Return the seconds until `scripts/dev` answers in a clone that ran before."""
        port = free_port()
        began = time.monotonic()
        with self._start(self._folder / name, "scripts/dev", env={**self._env, "PORT": str(port)}) as process:
            while not answers_ok(f"http://127.0.0.1:{port}/readyz"):
                if process.poll() is not None or time.monotonic() - began > READY_TIMEOUT_S:
                    process.kill()
                    raise BenchmarkError(f"scripts/dev was not ready:\n{process.communicate()[0][-2000:]}")
                time.sleep(LOOK_S)
            seconds = time.monotonic() - began
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=STEP_TIMEOUT_S)
        return seconds

    def _clone(self, name: str) -> Path:
        self._run(self._folder, "git", "clone", "--quiet", str(ROOT), name)
        return self._folder / name

    def _run(self, folder: Path, *command: str, env: Mapping[str, str] | None = None) -> None:
        with self._start(folder, *command, env=env or self._env) as process:
            said = process.communicate(timeout=STEP_TIMEOUT_S)[0]
        if process.returncode:
            raise BenchmarkError(f"{' '.join(command)} ended with status {process.returncode}:\n{said[-2000:]}")

    def _start(self, folder: Path, *command: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
