"""Secrets that got into a log: every log of every process that a test run starts is read once its processes have ended."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from scripts.stack.stack import Stack

#: What every secret of a kind looks like: keys, users' tokens, and the prompts that tests order with.
SHAPES = {
    "an API key": re.compile(r"igk_[0-9a-f]{16}_[\w-]{20,}"),
    "a token": re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    "a prompt": re.compile(r"a red bicycle|a lighthouse in a storm|Professional headshot"),
}
#: An address that was asked for. A fuzzer takes words of the documented examples for ids; what it asks for is no prompt that leaked.
ASKED_FOR = re.compile(r'"(event|path)": "([A-Z]+ )?/[^"]*"')
SECRET_SETTINGS = ("FAL_KEY", "FAL_ADMIN_KEY", "JWT_SECRET", "AWS_SECRET_ACCESS_KEY", "MINIO_ROOT_PASSWORD")
ADDRESSES = ("MONGODB_URI", "REDIS_URL")
PASSWORD_FIELDS = ("password", "currentPassword", "newPassword")
#: Shorter ones, such as `password`, are words that a line may well have.
MIN_PASSWORD_CHARS = 12


class LogReader:
    """Remembers the passwords that this process sends, and what it has found in logs."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.logs_read = 0
        self._passwords: set[str] = set()

    def note_request(self, content: bytes) -> None:
        """Remember the passwords of a request's body."""
        try:
            body: Any = json.loads(content)
        except (ValueError, RecursionError):
            return
        for name in PASSWORD_FIELDS:
            value = body.get(name) if isinstance(body, dict) else None
            if isinstance(value, str) and len(value) >= MIN_PASSWORD_CHARS:
                self._passwords.add(value)

    def read(self, stack: Stack) -> None:
        secrets = {*self._passwords, *secrets_of(stack.env)}
        for path in sorted((stack.data_dir / "logs").glob("*.log*")):
            self.logs_read += 1
            self.found += [f"{path.name}: {what} in: {line[:300]}" for what, line in leaks(path, secrets)]


def secrets_of(env: Mapping[str, str]) -> Iterator[str]:
    """Yield what a process' settings say that nobody else may know."""
    yield from (env[name] for name in SECRET_SETTINGS if env.get(name))
    yield from (password for name in ADDRESSES if (password := urlsplit(env.get(name, "")).password))


def leaks(path: Path, secrets: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each line of a log that holds a secret, as it is or as JSON spells it, with what it is."""
    spellings = {spelling for secret in secrets for spelling in (secret, json.dumps(secret)[1:-1])}
    shapes = dict(SHAPES)
    if spellings:
        shapes["a secret of this run"] = re.compile("|".join(map(re.escape, sorted(spellings))))
    for line in path.read_text(errors="replace").splitlines():
        for what, shape in shapes.items():
            if shape.search(ASKED_FOR.sub("", line) if what == "a prompt" else line):
                yield what, line


def listen_to(reader: LogReader) -> None:
    """Have the reader told of every request that httpx sends from here on, and of every stack that has ended."""
    send = httpx.Client.send

    def noted(client: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:
        if request.headers.get("Content-Type", "").startswith("application/json"):
            with contextlib.suppress(httpx.RequestNotRead):  # A body that is made while it is sent.
                reader.note_request(request.content)
        return send(client, request, **more)

    httpx.Client.send = noted  # type: ignore[assignment, method-assign]
    Stack.readers.append(reader.read)
