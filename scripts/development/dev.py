"""`scripts/dev`: the stack in the foreground, its processes started again when they die."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

from scripts.development.ports import PortTakenError, is_free
from scripts.development.stack import Stack
from scripts.development.supervision import Supervisor
from scripts.development.terminal import paint

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
        print(welcome(stack), flush=True)
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


def welcome(stack: Stack) -> str:
    """Return what a newcomer needs: the address, one line to paste, where things are, what is not the real thing."""
    url = stack.base_url
    body = '{"model": "flux-pro", "inputs": {"prompt": "a red bicycle"}, "userId": "me"}'
    lines = [
        ("Gateway", paint(url, 1)),
        ("API docs", f"{url}/api-docs"),
        ("Try it", f"curl -s {url}/api/images/generate -H 'Content-Type: application/json' -d '{body}'"),
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
