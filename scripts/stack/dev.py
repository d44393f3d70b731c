"""`scripts/dev`: the stack in the foreground, its processes started again when they die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import urlsplit

from scripts.stack.child import StackError
from scripts.stack.ports import PortTakenError, is_free
from scripts.stack.stack import ROOT, Stack
from scripts.stack.supervision import Supervisor
from scripts.stack.terminal import paint

_LOOK_EVERY_S = 0.2
_DEFAULTS = {"HOST": "127.0.0.1", "ALLOW_ANONYMOUS": "true", "APP_ENV": "development", "LOG_FORMAT": "text"}


def run_dev(env: Mapping[str, str], data_dir: Path) -> NoReturn:
    """Run until SIGINT (raises KeyboardInterrupt) or SIGTERM (raises SystemExit).

    Raises PortTakenError when PORT is in use, StackError when a process does not start.
    """
    end_on_sigterm()
    settings = {**env, **{name: value for name, value in _DEFAULTS.items() if not env.get(name)}}
    port = int(env.get("PORT") or 5000)
    if not is_free(port, settings["HOST"]):
        raise PortTakenError(f"port {port} is in use. End what listens there, or choose another: PORT=5001 scripts/dev")
    print("Starting ...", flush=True)
    with Stack(data_dir, settings, port=port) as stack:
        print(welcome(stack, own_key(stack)), flush=True)
        supervisor = Supervisor({name: stack.child(name) for name in stack.names}, say=_say_loudly)
        while True:
            time.sleep(_LOOK_EVERY_S)
            supervisor.look(time.monotonic())


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
    if kept and _is_taken(stack.base_url, kept):
        return kept
    command = [sys.executable, "-m", "app", "keys", "create", "--name", "scripts/dev"]
    made = subprocess.run(command, env=stack.env, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if made.returncode:
        raise StackError(f"no API key can be made.\n{made.stderr}")
    path.touch(mode=0o600)
    path.write_text(made.stdout)
    return made.stdout.strip()


def _is_taken(base_url: str, key: str) -> bool:
    parts = urlsplit(base_url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", "/api/images/models", headers={"X-API-Key": key})
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def welcome(stack: Stack, key: str) -> str:
    """Return what a newcomer needs: the address, one line to paste, where things are, what is not the real thing."""
    url = stack.base_url
    body = '{"model": "flux-pro", "inputs": {"prompt": "a red bicycle"}, "userId": "me"}'
    lines = [
        ("Gateway", paint(url, 1)),
        ("API docs", f"{url}/api-docs"),
        ("Try it", f"curl -s {url}/api/images/generate -H 'Content-Type: application/json' -d '{body}'"),
        ("API key", f"{key}  (not needed here; for tools that must send one)"),
        ("Pictures", stack.env["STORAGE_URL"].removeprefix("file://")),
        ("fal.ai", _about_fal(stack)),
        ("MongoDB", _about(stack, "mongo", "MONGODB_URI")),
        ("Redis", _about(stack, "redis", "REDIS_URL")),
        ("Logs", f"{os.path.relpath(stack.data_dir / 'logs')}/"),
    ]
    block = "\n".join(f"  {name:<9} {text}" for name, text in lines)
    return f"\n{block}\n\n  Ctrl-C ends everything.\n"


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


def _say_loudly(text: str) -> None:
    print(paint(f"*** {text}", 31), flush=True)
