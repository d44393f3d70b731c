"""Receipts on their way to the database: in a file of this machine before it is tried, in Redis too while it is away.

A receipt is the only handle on something that is paid for; between fal's answer and the database's it must not be in memory only. Each is
signed: what is read back is sent fal's key, so nobody else may write one. What is not whole or not ours is set aside and told, never used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import json
import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from app.config import BadSettings
from app.domain.fal_request import Receipt

log = logging.getLogger(__name__)

REDIS_KEY = "imagegw:receipts"
SUFFIX = ".receipt"
BAD_SUFFIX = ".bad"
MAX_BYTES = 16_384
#: A file that is not whole may still be in the writing; after this it is not.
WRITING_TAKES_S = 60.0


@dataclasses.dataclass(frozen=True)
class KeptReceipt:
    """The receipt of one request of a job."""

    job_id: str
    index: int
    receipt: Receipt

    @property
    def name(self) -> str:
        return f"{self.job_id}.{self.index}.{self.receipt.request_id}"


class ReceiptBox:
    """Safe for threads, and for processes that share a folder: each receipt has a name of its own, and taking one in twice is once."""

    def __init__(self, folder: Path, redis: Redis, secret: str) -> None:
        self._folder = folder
        self._redis = redis
        self._key = hashlib.sha256(b"imagegw receipts\0" + secret.encode()).digest()

    def check(self) -> None:
        """Raise BadSettings where no file can be written, before anything is bought."""
        probe = self._folder / f".probe-{os.getpid()}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe.write_text("")
            probe.unlink()
        except OSError as exc:
            raise BadSettings([f"RECEIPTS_DIR: no file can be written to {self._folder} ({exc.strerror})"]) from exc

    def put(self, kept: KeptReceipt) -> None:
        """Write a receipt to its file: it then outlives this process. Where that fails, it goes to Redis at once."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            with os.fdopen(os.open(self._path(kept.name), flags, 0o600), "wb") as file:
                file.write(self._signed(kept))
        except OSError:
            log.exception("a receipt cannot be written to its file", extra=_named(kept))
            self._put_to_redis(kept)

    def secure(self, kept: KeptReceipt) -> None:
        """Have a receipt outlive this machine's power, in its file, and this machine, in Redis."""
        with contextlib.suppress(OSError):
            for path in (self._path(kept.name), self._folder):
                _sync(path)
        self._put_to_redis(kept)

    def forget(self, kept: KeptReceipt, *, everywhere: bool) -> None:
        """Remove a receipt that the database has; `everywhere` where it may be in Redis."""
        with contextlib.suppress(OSError):
            self._path(kept.name).unlink(missing_ok=True)
        if everywhere:
            with contextlib.suppress(RedisError):
                self._redis.hdel(REDIS_KEY, kept.name)

    def set_aside(self, kept: KeptReceipt) -> None:
        """Keep a receipt that no job takes, for the operator to look at, where it is not read again."""
        self._set_file_aside(self._path(kept.name))
        with contextlib.suppress(RedisError):
            self._set_redis_aside(kept.name, self._signed(kept))

    def pending(self) -> Iterator[KeptReceipt]:
        """Yield what waits for the database, from this machine and from Redis."""
        yield from self._in_files()
        with contextlib.suppress(RedisError):
            for name, content in self._redis.hscan_iter(REDIS_KEY):
                if (kept := self._read(name.decode(errors="replace"), content)) is not None:
                    yield kept
                else:
                    log.error("a receipt in Redis is not ours, or not whole: set aside", extra={"receipt": name.decode(errors="replace")})
                    self._set_redis_aside(name, content)

    def _in_files(self) -> Iterator[KeptReceipt]:
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.suffix == SUFFIX)
        except OSError:
            return  # It is made with the first receipt.
        for path in paths:
            try:
                kept = self._read(path.name.removesuffix(SUFFIX), _content(path))
                written_at = path.lstat().st_mtime
            except FileNotFoundError:
                continue  # Taken in by another process meanwhile.
            except OSError:
                kept, written_at = None, 0.0
            if kept is not None:
                yield kept
            elif abs(time.time() - written_at) > WRITING_TAKES_S:
                log.error("a receipt's file is not ours, or not whole: set aside", extra={"receipt": path.name})
                self._set_file_aside(path)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{SUFFIX}"

    def _signed(self, kept: KeptReceipt) -> bytes:
        body = json.dumps({"job": kept.job_id, "index": kept.index, "receipt": dataclasses.asdict(kept.receipt)}).encode()
        return hmac.new(self._key, body, hashlib.sha256).hexdigest().encode() + b" " + body

    def _read(self, name: str, content: bytes) -> KeptReceipt | None:
        """Return what was written under a name, or None where it was not, or not by us."""
        signature, _, body = content.partition(b" ")
        if not hmac.compare_digest(signature, hmac.new(self._key, body, hashlib.sha256).hexdigest().encode()):
            return None
        fields = json.loads(body)  # Ours, hence whole.
        kept = KeptReceipt(fields["job"], fields["index"], Receipt(**fields["receipt"]))
        return kept if kept.name == name else None

    def _put_to_redis(self, kept: KeptReceipt) -> None:
        try:
            self._redis.hset(REDIS_KEY, kept.name, self._signed(kept))
        except RedisError:
            log.warning("a receipt cannot be put into Redis", extra=_named(kept), exc_info=True)

    def _set_redis_aside(self, name: bytes | str, content: bytes) -> None:
        self._redis.hset(f"{REDIS_KEY}{BAD_SUFFIX}", name, content)
        self._redis.hdel(REDIS_KEY, name)

    def _set_file_aside(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            path.rename(path.with_name(f"{path.name}{BAD_SUFFIX}"))


def _named(kept: KeptReceipt) -> dict[str, object]:
    return {"job_id": kept.job_id, "index": kept.index, "fal_request_id": kept.receipt.request_id}


def _content(path: Path) -> bytes:
    """Read a file, and only a file: no link that leads elsewhere, no pipe that is waited for without end."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        return file.read(MAX_BYTES) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
