"""The small files the stack reads and writes: Procfile, `.env`, the generated secret, and the lock on its folder."""

import fcntl
import os
import re
import secrets
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from scripts.stack.ports import answers_ok
from scripts.stack.processes import StackError

_PROCFILE_LINE = re.compile(r"(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>\S.*)")
_ENV_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>.*)")


def read_procfile(text: str) -> dict[str, list[str]]:
    """Return each process type's command, split as a shell would. `python` becomes the interpreter that runs this.

    Raises ValueError naming the line that is not `name: command`, or that repeats a name.
    """
    commands: dict[str, list[str]] = {}
    for number, line in _lines(text):
        match = _PROCFILE_LINE.fullmatch(line)
        if not match or match["name"] in commands:
            raise ValueError(f"Procfile line {number}: not a new 'name: command': {line!r}")
        command = shlex.split(match["command"])
        commands[match["name"]] = [sys.executable, *command[1:]] if command[0] == "python" else command
    return commands


def read_env_file(text: str) -> dict[str, str]:
    """Return the settings of a `.env` file, as docker compose reads them. One without a value is left out.

    Raises ValueError naming the line that is not `NAME=value`.
    """
    settings: dict[str, str] = {}
    for number, line in _lines(text):
        match = _ENV_LINE.fullmatch(line)
        if not match:
            raise ValueError(f".env line {number}: not NAME=value")  # Without the line: it may be a secret.
        if value := _unquote(match["value"]):
            settings[match["name"]] = value
    return settings


def kept_secret(path: Path) -> str:
    """Return the secret in a file, made on first use and readable by its owner only."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        # An empty file is what a crash between creating and writing leaves; it must not become an empty secret.
        if kept := path.read_text().strip():
            return kept
        path.unlink()
        return kept_secret(path)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(48))
    return path.read_text()


def lock_folder(folder: Path, *, timeout_s: float = 10.0) -> IO[str]:
    """Take the folder's lock; it is held until the file returned, and every copy of it in a child, is closed.

    Raises StackError at once where another stack works there and says at which address. Else it may have been killed and its guardian be
    still at work: waits `timeout_s`, then raises StackError.
    """
    lock = (folder / "stack.lock").open("a+")
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            url = lock.read().strip()
            is_alive = bool(url) and answers_ok(f"{url}/healthz")
            if is_alive or time.monotonic() > deadline:
                lock.close()
                where = f" at {url}" if is_alive else ""
                raise StackError(f"another one is running with {folder}{where}; use it, end it, or set DATA_DIR") from None
            time.sleep(0.1)
        else:
            lock.truncate(0)
            return lock


def write_settings(path: Path, settings: Mapping[str, str]) -> None:
    """Write settings for a shell to read, for their owner only."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{name}={shlex.quote(value)}\n" for name, value in sorted(settings.items()))


def _lines(text: str) -> list[tuple[int, str]]:
    numbered = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, line) for number, line in numbered if line and not line.startswith("#")]


def _unquote(value: str) -> str:
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return re.split(r"\s+#", value, maxsplit=1)[0].strip()
