"""The operator's own bucket: a local folder or anything that speaks S3. Keys are made by `keys.py`; storing a key twice is harmless."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol
from urllib.parse import quote, unquote, urlsplit

from app.config import Settings
from app.domain.errors import Misconfigured, NotFound, StorageUnavailable

if TYPE_CHECKING:
    from app.clients.bucket import S3Storage

#: What file systems let a name have, and a key S3's limit.
MAX_NAME_BYTES, MAX_KEY_CHARS = 255, 1024
PARTS_FOLDER = ".parts"
ABANDONED_AFTER = timedelta(minutes=15)


class Storage(Protocol):
    """What the services need of a bucket. All methods raise StorageUnavailable when it cannot be reached."""

    def put(self, key: str, body: IO[bytes], content_type: str) -> None:
        """Store the body under the key, whole or not at all; an existing object is replaced."""

    def open(self, key: str) -> IO[bytes]:
        """Open an object for reading. Raises NotFound."""

    def has(self, key: str) -> bool:
        """Tell whether there is an object of this key."""

    def delete(self, key: str) -> None:
        """Remove an object; one that does not exist is no error."""

    def delete_tree(self, folder: str) -> None:
        """Remove every object whose key starts with `folder/`."""

    def url(self, key: str) -> str:
        """Return a link a browser can open."""

    def provider_url(self, key: str) -> str | None:
        """Return a link fal can fetch, or None where it cannot reach this storage: the bytes then travel as a data URI."""

    def link_period(self) -> str:
        """Return what changes well before links of this moment end, empty where they do not: part of what makes an answer a new one."""

    def ping(self) -> None:
        """Raise StorageUnavailable unless objects can be written, read and deleted."""

    def sweep(self) -> int:
        """Remove what killed processes left half written; returns how many."""

    def close(self) -> None:
        """Close its connections."""


def open_storage(settings: Settings) -> LocalStorage | S3Storage:
    """Return the storage `STORAGE_URL` names. Opens nothing yet."""
    parts = urlsplit(settings.storage_url)
    if parts.scheme == "file":
        return LocalStorage(
            Path(unquote(parts.path)),
            settings.asset_base_url,
            reachable=bool(settings.public_asset_url or settings.public_url),
        )
    if parts.scheme == "s3" and parts.netloc:
        from app.clients.bucket import S3Storage  # noqa: PLC0415 - whoever has a folder needs no boto3

        return S3Storage(
            parts.netloc,
            parts.path.strip("/"),
            endpoint_url=settings.s3_endpoint_url,
            public_base=settings.public_asset_url,
            region=settings.aws_region,
            addressing_style=settings.s3_addressing_style,
        )
    raise Misconfigured("STORAGE_URL: use file:///folder or s3://bucket/prefix")


class LocalStorage:
    """A folder, served at `/files/`."""

    def __init__(self, root: Path, base_url: str, *, reachable: bool = False) -> None:
        self.root = root.resolve()
        self._base_url = base_url.rstrip("/")
        self._reachable = reachable

    def put(self, key: str, body: IO[bytes], content_type: str) -> None:  # noqa: ARG002 - the name's ending keeps the type
        path = self._path(key)
        part = self.root / PARTS_FOLDER / uuid.uuid4().hex
        with _translated_os():
            part.parent.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("wb") as out:
                    while chunk := body.read(1 << 20):
                        out.write(chunk)
                    out.flush()
                    os.fsync(out.fileno())
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

    def open(self, key: str) -> IO[bytes]:
        path = self._path(key)
        with _translated_os():
            try:
                return path.open("rb")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
                raise NotFound("No such file") from exc

    def has(self, key: str) -> bool:
        with _translated_os():
            return self._path(key).is_file()

    def delete(self, key: str) -> None:
        with _translated_os():
            self._path(key).unlink(missing_ok=True)

    def delete_tree(self, folder: str) -> None:
        path = self._path(folder)
        with _translated_os():
            for file in path.glob("*") if path.is_dir() else ():
                file.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                path.rmdir()

    def url(self, key: str) -> str:
        return f"{self._base_url}/{quote(key)}"

    def provider_url(self, key: str) -> str | None:
        return self.url(key) if self._reachable and self._base_url.startswith("https://") else None

    def link_period(self) -> str:
        return ""

    def ping(self) -> None:
        """Write a few bytes, read and delete them: a full disk or one that went read-only says nothing before."""
        content, part = uuid.uuid4().bytes, self.root / PARTS_FOLDER / uuid.uuid4().hex
        with _translated_os():
            part.parent.mkdir(parents=True, exist_ok=True)
            try:
                part.write_bytes(content)
                if part.read_bytes() != content:
                    raise StorageUnavailable("The storage folder gives back something else than was stored")
            finally:
                part.unlink(missing_ok=True)

    def sweep(self) -> int:
        return self.sweep_parts(older_than=ABANDONED_AFTER)

    def close(self) -> None:
        """Do nothing: a folder has no connections."""

    def sweep_parts(self, *, older_than: timedelta) -> int:
        """Remove half-written files that a killed process left; returns how many."""
        limit = (datetime.now(UTC) - older_than).timestamp()
        removed = 0
        for part in (self.root / PARTS_FOLDER).glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if part.stat().st_mtime < limit:
                    part.unlink()
                    removed += 1
        return removed

    def _path(self, key: str) -> Path:
        """Return the key's path; a key that would leave the folder, or name its hidden parts, does not exist."""
        if "\0" in key or key.startswith("/"):
            raise NotFound("No such file")
        if any(len(part.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES for part in key.split("/")) or len(key) > MAX_KEY_CHARS:
            raise NotFound("No such file")  # The file system could not have it, and says so in an error of its own.
        path = (self.root / key).resolve()
        if not path.is_relative_to(self.root) or path == self.root or path.relative_to(self.root).parts[0].startswith("."):
            raise NotFound("No such file")
        return path


@contextlib.contextmanager
def _translated_os() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageUnavailable("The storage folder cannot be used right now") from exc
