"""Orders on this machine: what is needed to finish one after a crash, in one small file for each.

A file is written before its order is sent and removed when every picture is here. It holds the idempotency key, which makes a repeated
request the same order, and no credential: only a mark by which another caller's credential is told apart. What has ended with failures is
kept in a second folder for a while, for `imagegen retry`.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import re
import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from imagegen.outcomes import WrongCall

#: The server forgets a key after 24 hours; a request with a forgotten key would be a new order. The hour is for clocks that differ.
KEY_LIFE = timedelta(hours=23)
ORDER_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
BATCH_PATH = "/api/images/batch"
GENERATE_PATH = "/api/images/generate"
#: Jobs that are ordered again one by one, and jobs that somebody else has ordered.
RETRY_PATH, FETCH_PATH = "/api/jobs/{}/retry", "/api/jobs"
#: How long the failures of an order are kept.
FAILURES_LIFE_S = 30 * 24 * 3600


def now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class Order:
    """`job_ids` are known once the server has accepted; `saved` maps `<jobId>/<index>` to the file a picture is in.

    `rows` are the numbers of its rows in the sheet, `names` what their own columns add to file names, both by job; where they are empty: 1,
    2, 3 ..., and nothing. `failed` are the jobs that came to nothing.
    """

    id: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    caller: str
    server: str
    path: str
    body: dict[str, Any]
    output: str
    force: bool
    created_at: str = field(default_factory=now_text)
    batch_id: str | None = None
    job_ids: list[str] = field(default_factory=list)
    saved: dict[str, str] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    names: list[dict[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def is_batch(self) -> bool:
        """Whether its pictures are told apart by rows."""
        return self.path == BATCH_PATH or bool(self.rows)

    @property
    def is_accepted(self) -> bool:
        return len(self.job_ids) >= (len(self.body["jobs"]) if self.path == RETRY_PATH else 1)

    @property
    def summary(self) -> str:
        if "jobs" in self.body:
            return f"{len(self.body['jobs'])} jobs {'again' if self.path == RETRY_PATH else ''}".rstrip()
        items = self.body["items"] if self.is_batch else [self.body]
        prompt = str(items[0]["inputs"].get("prompt", ""))
        return f"{len(items)} rows: {prompt}" if self.is_batch else prompt

    def row(self, job_id: str) -> int:
        place = self.job_ids.index(job_id)
        return self.rows[place] if self.rows else place + 1

    def names_of(self, job_id: str) -> dict[str, str]:
        return self.names[self.job_ids.index(job_id)] if self.names else {}

    def is_stale(self, now: datetime) -> bool:
        """Tell whether sending it again could buy its pictures twice."""
        return not self.is_accepted and now - datetime.fromisoformat(self.created_at) > KEY_LIFE


def caller_mark(key: str | None, token: str | None) -> str:
    """Return what tells one caller from another. The server keeps idempotency keys per caller: under another one an order is a new order.

    A login token is marked by its user, since it is renewed every few days.
    """
    if key:
        return "key:" + hashlib.sha256(key.strip().encode()).hexdigest()[:16]
    if not token:
        return "anonymous"
    return f"user:{subject}" if (subject := _subject(token.strip())) else "key:" + hashlib.sha256(token.strip().encode()).hexdigest()[:16]


def _subject(token: str) -> str | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return str(claims["sub"]) if isinstance(claims, dict) and "sub" in claims else None


class OrderFiles:
    """The folder of the order files. Only their owner may read them: they hold prompts and pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, order: Order) -> None:
        """Write an order so that a crash leaves either the old file or the new one. Raises WrongCall where the folder cannot be written."""
        partial = self.folder / f".{order.id}.{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump(asdict(order), file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path(order.id))
        except OSError as exc:
            raise WrongCall(f"The order cannot be written to {self.folder}, so it is not sent: {exc.strerror}") from exc

    def load(self, order_id: str) -> Order:
        """Return an order. Raises WrongCall for one that is not here."""
        if not ORDER_ID.fullmatch(order_id):
            raise WrongCall(f"{order_id!r} is not the id of an order; see imagegen resume --list")
        try:
            return Order(**json.loads(self._path(order_id).read_text(encoding="utf-8")))
        except FileNotFoundError as exc:
            raise WrongCall(f"There is no open order {order_id}; see imagegen resume --list") from exc
        except (OSError, ValueError, TypeError) as exc:
            raise WrongCall(f"{self._path(order_id)} cannot be read: {exc}") from exc

    def has(self, order_id: str) -> bool:
        return self._path(order_id).exists()

    def all(self) -> Iterator[Order]:
        """Yield the open orders, oldest first."""
        for path in sorted(self.folder.glob("*.json")):
            if ORDER_ID.fullmatch(path.stem):
                yield self.load(path.stem)

    def remove(self, order_id: str) -> None:
        for path in (self._path(order_id), self._lock_path(order_id)):
            path.unlink(missing_ok=True)

    def keep_failures(self, order: Order) -> None:
        """Keep an order whose pictures are here, and forget those that were kept long ago."""
        self.failures.save(order)
        for path in self.failures.folder.glob("*.json"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > FAILURES_LIFE_S:
                    path.unlink()

    @property
    def failures(self) -> OrderFiles:
        return OrderFiles(self.folder.with_name("failed"))

    @contextmanager
    def held(self, order_id: str) -> Iterator[None]:
        """Keep other processes from working on the same order. A killed process lets go of it. Raises WrongCall where one is at it."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(self._lock_path(order_id), os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise WrongCall(f"Another imagegen is working on the order {order_id}") from exc
            try:
                yield
            finally:
                if not self._path(order_id).exists():
                    with suppress(OSError):
                        self._lock_path(order_id).unlink(missing_ok=True)

    def _path(self, order_id: str) -> Path:
        return self.folder / f"{order_id}.json"

    def _lock_path(self, order_id: str) -> Path:
        return self.folder / f"{order_id}.lock"


def accepted(order: Order, answer: dict[str, Any]) -> Order:
    """Return the order with the ids the server gave it."""
    if order.path == BATCH_PATH:
        return replace(order, batch_id=answer["batchId"], job_ids=list(answer["jobIds"]))
    return replace(order, job_ids=[answer["jobId"]])
