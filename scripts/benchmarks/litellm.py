"""The lightest peer: LiteLLM's proxy, which calls fal and waits. It keeps no job, no picture and no account; it has no database here."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import psutil

from scripts.benchmarks.bench import FLUX_PRO, INPUTS, Bench
from scripts.benchmarks.source import FAREWELL_S, BenchmarkError
from scripts.stack.ports import answers_ok, free_port

ROOT = Path(__file__).resolve().parents[2]
VERSION = "1.108.7"
READY_S, INSTALL_S = 120.0, 600.0
LOOK_S = 0.1
KEY = "sk-bench"
HEADERS = {"Authorization": f"Bearer {KEY}"}


class LiteLLM(contextlib.ExitStack):
    """A running proxy, as a context manager, with the stack's emulator in fal's place."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench, self._port = bench, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        super().__enter__()
        stack = self._bench.stack
        config = stack.data_dir / "litellm.json"  # JSON is YAML.
        config.write_text(json.dumps(self._config()))
        # Its own list of prices, instead of the newest from the network.
        env = {**stack.env, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        options = {"config": config, "host": "127.0.0.1", "port": self._port, "num_workers": 1, "telemetry": False}
        command = [installed(), *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
        log = self.enter_context((stack.data_dir / "logs" / "litellm.log").open("wb"))
        self._process = self.enter_context(subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        self.callback(_end, self._process)
        self._wait_until_ready(Path(log.name))
        return self

    @property
    def generate(self) -> dict[str, Any]:
        """The part of an order for `load.py` that says what is asked: the same picture as of the gateway."""
        body = {"model": FLUX_PRO.model, "size": "1024x1024", **INPUTS}
        return {"method": "POST", "url": f"http://127.0.0.1:{self._port}/v1/images/generations", "body": body, "headers": HEADERS}

    @contextlib.contextmanager
    def cpu_ms(self) -> Iterator[list[float]]:
        """Yield a list that holds, once the block has ended, the CPU milliseconds that the proxy used meanwhile."""
        spent: list[float] = []
        before = self._cpu_ms()
        yield spent
        spent.append(self._cpu_ms() - before)

    def _config(self) -> dict[str, Any]:
        fal = {
            "model": f"fal_ai/{FLUX_PRO.endpoint}",
            "api_key": "emulator:key",
            "api_base": f"{self._bench.stack.emulator_url}/_emulator/run",
        }
        models = [{"model_name": FLUX_PRO.model, "litellm_params": fal}]
        return {"model_list": models, "litellm_settings": {"drop_params": True}, "general_settings": {"master_key": KEY}}

    def _cpu_ms(self) -> float:
        assert self._process  # noqa: S101 - entered
        root = psutil.Process(self._process.pid)
        return 1000.0 * sum(sum(process.cpu_times()[:2]) for process in (root, *root.children(recursive=True)))

    def _wait_until_ready(self, log: Path) -> None:
        deadline = time.monotonic() + READY_S
        while not answers_ok(f"http://127.0.0.1:{self._port}/health/liveliness"):
            if time.monotonic() > deadline or (self._process and self._process.poll() is not None):
                raise BenchmarkError(f"LiteLLM's proxy did not start: {log.read_text()[-2000:]}")
            time.sleep(LOOK_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(FAREWELL_S)
    process.kill()


def installed() -> str:
    """Return the proxy's program, in an environment of its own below `var`, made when it is first asked for."""
    place = ROOT / "var" / "peers" / f"litellm-{VERSION}"
    program = place / "bin" / "litellm"
    if not program.exists():
        own = ROOT / "var/uv/bin/uv"
        uv = str(own) if own.exists() else shutil.which("uv") or "uv"
        made = place.with_name(f"{place.name}.new")
        for command in (
            [uv, "venv", "--quiet", "--clear", "--relocatable", "--python", "3.11", str(made)],
            [uv, "pip", "install", "--quiet", "--python", str(made / "bin" / "python"), f"litellm[proxy]=={VERSION}"],
        ):
            done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=INSTALL_S, check=False)
            if done.returncode:
                raise BenchmarkError(f"LiteLLM cannot be installed: {done.stderr[-2000:]}")
        made.rename(place)
    return str(program)
