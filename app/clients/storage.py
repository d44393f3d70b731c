"""The operator's own bucket: a local folder or anything that speaks S3. Keys are made by `keys.py`; storing a key twice is harmless."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import quote, unquote, urlsplit

import boto3
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.config import Settings
from app.errors import Misconfigured, NotFound, StorageUnavailable

LINK_LIFETIME_S = 24 * 3600
PARTS_FOLDER = ".parts"
IN_MEMORY_BYTES = 1 << 20
ABANDONED_AFTER = timedelta(minutes=15)


class Storage(Protocol):
    """What the services need of a bucket. All methods raise StorageUnavailable when it cannot be reached."""

    def put(self, key: str, body: IO[bytes], content_type: str) -> None:
        """Store the body under the key, whole or not at all; an existing object is replaced."""

    def open(self, key: str) -> IO[bytes]:
        """Open an object for reading. Raises NotFound."""

    def delete(self, key: str) -> None:
        """Remove an object; one that does not exist is no error."""

    def delete_tree(self, folder: str) -> None:
        """Remove every object whose key starts with `folder/`."""

    def url(self, key: str) -> str:
        """Return a link a browser can open."""

    def provider_url(self, key: str) -> str | None:
        """Return a link fal can fetch, or None where it cannot reach this storage: the bytes then travel as a data URI."""

    def ping(self) -> None:
        """Raise StorageUnavailable unless objects can be written."""

    def sweep(self) -> int:
        """Remove what killed processes left half written; returns how many."""


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
        return S3Storage(
            parts.netloc,
            parts.path.strip("/"),
            endpoint_url=settings.s3_endpoint_url,
            public_base=settings.public_asset_url,
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

    def ping(self) -> None:
        with _translated_os():
            (self.root / PARTS_FOLDER).mkdir(parents=True, exist_ok=True)
            if not os.access(self.root / PARTS_FOLDER, os.W_OK):
                raise StorageUnavailable("The storage folder is not writable")

    def sweep(self) -> int:
        return self.sweep_parts(older_than=ABANDONED_AFTER)

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
        path = (self.root / key).resolve()
        if not path.is_relative_to(self.root) or path == self.root or path.relative_to(self.root).parts[0].startswith("."):
            raise NotFound("No such file")
        return path


class S3Storage:
    """A bucket on S3, R2 or MinIO. Credentials and region come from AWS's own variables."""

    def __init__(self, bucket: str, prefix: str, *, endpoint_url: str | None, public_base: str | None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._public_base = public_base.rstrip("/") if public_base else None
        self._s3 = boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            config=Config(
                signature_version="s3v4",
                connect_timeout=5,
                # Two tries: a half-open connection is noticed within a minute, and the work is repeated by whoever asked for it.
                read_timeout=25,
                max_pool_connections=32,
                retries={"max_attempts": 2, "mode": "standard"},
            ),
        )

    def put(self, key: str, body: IO[bytes], content_type: str) -> None:
        with _translated_s3():
            self._s3.put_object(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Body=body,
                ContentType=content_type,
                CacheControl="private, max-age=31536000, immutable",
            )

    def open(self, key: str) -> IO[bytes]:
        """Fetch the whole object first: a body that breaks off while it is read would raise the vendor's errors."""
        file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - handed to the caller
        try:
            with _translated_s3():
                shutil.copyfileobj(self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"], file)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def delete(self, key: str) -> None:
        with _translated_s3():
            self._s3.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def delete_tree(self, folder: str) -> None:
        with _translated_s3():
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{folder}/")
            for page in pages:
                for entry in page.get("Contents", []):
                    self._s3.delete_object(Bucket=self._bucket, Key=entry["Key"])

    def url(self, key: str) -> str:
        if self._public_base:
            return f"{self._public_base}/{quote(self._prefix + key)}"
        return self._s3.generate_presigned_url(
            "get_object", Params={"Bucket": self._bucket, "Key": self._prefix + key}, ExpiresIn=LINK_LIFETIME_S
        )

    def provider_url(self, key: str) -> str | None:
        url = self.url(key)
        return url if url.startswith("https://") else None

    def sweep(self) -> int:
        """Do nothing: an object is put whole, in one request, or not at all."""
        return 0

    def ping(self) -> None:
        try:
            with _translated_s3():
                self._s3.head_bucket(Bucket=self._bucket)
        except NotFound as exc:
            raise StorageUnavailable("The storage bucket cannot be used right now") from exc


@contextlib.contextmanager
def _translated_os() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageUnavailable("The storage folder cannot be used right now") from exc


@contextlib.contextmanager
def _translated_s3() -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        if exc.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
            raise NotFound("No such file") from exc
        raise StorageUnavailable("The storage bucket cannot be used right now") from exc
    except BotoCoreError as exc:
        raise StorageUnavailable("The storage bucket cannot be reached right now") from exc
