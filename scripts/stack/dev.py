"""`scripts/dev`: the stack in the foreground, its processes started again when they die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from scripts.stack.files import lock_folder, write_settings
from scripts.stack.ports import answers_ok, is_free
from scripts.stack.processes import Child, StackError
from scripts.stack.stack import ROOT, Stack
from scripts.stack.terminal import paint

_LOOK_EVERY_S = 0.2
_FIRST_DELAY_S = 1.0
_LONGEST_DELAY_S = 30.0
_STEADY_AFTER_S = 60.0
_DEFAULTS = {"HOST": "127.0.0.1", "ALLOW_ANONYMOUS": "true", "APP_ENV": "development", "LOG_FORMAT": "text"}


def run_dev(env: Mapping[str, str], data_dir: Path) -> NoReturn:
    """Run until SIGINT (raises KeyboardInterrupt) or SIGTERM (raises SystemExit).

    Raises StackError when PORT is in use or a process does not start.
    """
    end_on_sigterm()
    settings = {**env, **{name: value for name, value in _DEFAULTS.items() if not env.get(name)}}
    port = int(env.get("PORT") or 5000)
    data_dir.mkdir(parents=True, exist_ok=True)
    lock_folder(data_dir).close()  # Before all else: whoever forgot the first one would be told of its port.
    if not is_free(port, settings["HOST"]):
        raise StackError(f"port {port} is in use. End what listens there, or choose another: PORT=5001 scripts/dev")
    print("Starting ...", flush=True)
    with Stack(data_dir, settings, port=port) as stack, _settings_for_operators(stack):
        print(welcome(stack, own_key(stack)), flush=True)
        supervisor = Supervisor({name: stack.child(name) for name in stack.names}, say=_say)
        while True:
            time.sleep(_LOOK_EVERY_S)
            supervisor.look(time.monotonic())


@contextmanager
def _settings_for_operators(stack: Stack) -> Iterator[None]:
    """Keep the settings of the running service where `scripts/operator` finds them."""
    path = stack.data_dir / "settings.env"
    write_settings(path, {name: value for name, value in stack.env.items() if os.environ.get(name) != value and name != "PYTHONPATH"})
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def end_on_sigterm() -> None:
    """Turn SIGTERM and SIGHUP into SystemExit, so that leaving the block ends what it started."""

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


def own_key(stack: Stack) -> str:
    """Return an API key for tools that must send one, made at the first start and kept beside the data."""
    path = stack.data_dir / "api_key"
    kept = path.read_text().strip() if path.exists() else ""
    if kept and answers_ok(f"{stack.base_url}/api/images/models", {"X-API-Key": kept}, timeout_s=10):
        return kept
    command = [sys.executable, "-m", "app", "keys", "create", "--name", "scripts/dev"]
    made = subprocess.run(command, env=stack.env, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if made.returncode:
        raise StackError(f"no API key can be made.\n{made.stderr}")
    path.touch(mode=0o600)
    path.write_text(made.stdout)
    return made.stdout.strip()


def welcome(stack: Stack, key: str) -> str:
    """Return what a newcomer needs: the address, one line to paste, where things are, what is not the real thing."""
    url = stack.base_url
    is_open = stack.env.get("ALLOW_ANONYMOUS") == "true"
    studio = [("Studio", f"{url}/studio")] if stack.env.get("STUDIO", "on") == "on" else []
    lines = [
        ("Gateway", paint(url, 1)),
        *studio,
        ("API docs", f"{url}/api-docs"),
        ("Try it", _order(url, None if is_open else key)),
        ("API key", f"{key}  ({'not needed here; for tools that must send one' if is_open else 'needed: ALLOW_ANONYMOUS is not true'})"),
        ("Pictures", stack.env["STORAGE_URL"].removeprefix("file://")),
        ("fal.ai", _about_fal(stack)),
        ("MongoDB", _about(stack, "mongo", "MONGODB_URI")),
        ("Redis", _about(stack, "redis", "REDIS_URL")),
        ("Logs", f"{os.path.relpath(stack.data_dir / 'logs')}/"),
    ]
    block = "\n".join(f"  {name:<9} {text}" for name, text in lines)
    return f"\n{block}\n\n  Ctrl-C ends everything.\n"


def _order(url: str, key: str | None) -> str:
    """Return a command that orders a picture here; the command line knows port 5000 by itself."""
    server = "" if url == "http://127.0.0.1:5000" else f" --server {url}"
    return f"scripts/imagegen{server}{f' --key {key}' if key else ''} generate flux-pro 'a red bicycle' -o bicycle.jpg"


def _about_fal(stack: Stack) -> str:
    if stack.emulator_url:
        return "pictures are painted by an emulator; set FAL_KEY to use fal.ai"
    return "real: every picture is paid from the account of FAL_KEY"


def _about(stack: Stack, name: str, setting: str) -> str:
    if name not in stack.names:
        return f"from {setting}"
    if name in stack.embedded:
        return f"embedded, for trying out, kept in {os.path.relpath(stack.data_dir)}/; set {setting} to use your own"
    return f"started from the PATH, kept in {os.path.relpath(stack.data_dir)}/"


def _say(text: str) -> None:
    print(paint(f"*** {text}", 31), flush=True)


def delay_before(attempt: int) -> float:
    """Return the seconds to wait before the restart with this number (from 0): 1, 2, 4 ... at most 30."""
    return min(_FIRST_DELAY_S * 2.0**attempt, _LONGEST_DELAY_S)


@dataclass
class _Record:
    attempts: int = 0
    started_at: float = 0.0
    due_at: float | None = None


class Supervisor:
    """Look after children; `say` is told of every end and every restart.

    A child that ran for a minute counts as steady: its next end is treated as a first one.
    """

    def __init__(self, children: Mapping[str, Child], *, say: Callable[[str], None]) -> None:
        self._children = children
        self._records = {name: _Record() for name in children}
        self._say = say

    def look(self, now: float) -> None:
        """Note which children ended, and start those whose time has come. `now` is a monotonic clock in seconds."""
        for name, child in self._children.items():
            record = self._records[name]
            if child.is_running:
                continue
            if record.due_at is None:
                self._note_end(name, record, now)
            elif now >= record.due_at:
                record.started_at, record.due_at = now, None
                self._say(f"starting {name} again")
                child.start()

    def _note_end(self, name: str, record: _Record, now: float) -> None:
        if now - record.started_at > _STEADY_AFTER_S:
            record.attempts = 0
        delay_s = delay_before(record.attempts)
        record.attempts += 1
        record.due_at = now + delay_s
        status = self._children[name].process.returncode
        why = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        self._say(f"{name} {why}; it starts again in {delay_s:.0f} s. Its log: {self._children[name].log_path}")
