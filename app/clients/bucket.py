"""Pictures in a bucket: anything that speaks S3. What differs between Amazon, R2, MinIO and the others is known here and nowhere else."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import IO
from urllib.parse import quote

import boto3
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.config import BadSettings
from app.domain.errors import NotFound, StorageUnavailable
from app.pictures.spooled import spooled

log = logging.getLogger(__name__)

LINK_LIFETIME_S = 24 * 3600
CHUNK_BYTES = 1 << 20
#: Together within a minute: so long may a half-open connection go unnoticed. What fails is repeated by whoever asked for it.
CONNECT_S, READ_S, TRIES = 4, 25, 2
#: How long it counts as proved that objects can be written, read and deleted; and how soon a failed proof is tried again.
PROVED_FOR_S, DISPROVED_FOR_S = 300.0, 5.0
PROOF_FOLDER = ".ready"
#: Answers that mean "you may not" or "I have no such thing", which no repetition changes.
REFUSALS = (400, 403, 405, 501)


class S3Storage:
    """A bucket on S3, R2, MinIO or the like. Credentials come from AWS's own variables, profiles and roles.

    Raises BadSettings for what boto3 itself refuses.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        endpoint_url: str | None,
        public_base: str | None,
        region: str | None = None,
        addressing_style: str = "auto",
        read_timeout_s: float = READ_S,
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._public_base = public_base.rstrip("/") if public_base else None
        self._is_amazon = endpoint_url is None
        try:
            session = boto3.Session(region_name=region)
            self._credentials = session.get_credentials()
            self._s3 = session.client("s3", endpoint_url=endpoint_url, config=_config(addressing_style, endpoint_url, read_timeout_s))
        except (BotoCoreError, ValueError) as exc:  # A region that is none, a profile that is not there: the text names it.
            raise BadSettings([f"STORAGE_URL: boto3 does not take its settings: {exc}"]) from exc
        self._proof_key = f"{PROOF_FOLDER}/{uuid.uuid4().hex}"
        self._proof_due = float("-inf")
        self._disproof: str | None = None
        self._proving = threading.Lock()
        self._warned: set[str] = set()

    def put(self, key: str, body: IO[bytes], content_type: str) -> None:
        # A link of the bucket's own is one caller's secret; behind a public address caches in between may keep what they see.
        audience = "public" if self._public_base else "private"
        with _translated_s3():
            self._s3.put_object(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Body=body,
                ContentType=content_type,
                ContentMD5=_md5_of(body),
                CacheControl=f"{audience}, max-age=31536000, immutable",
            )

    def open(self, key: str) -> IO[bytes]:
        """Fetch the whole object first: a body that breaks off while it is read would raise the vendor's errors."""
        with _translated_s3():
            body = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"]
            return spooled(lambda file: shutil.copyfileobj(body, file))

    def has(self, key: str) -> bool:
        try:
            with _translated_s3():
                self._s3.head_object(Bucket=self._bucket, Key=self._prefix + key)
        except NotFound:
            return False
        return True

    # -- deleting, for good ---------------------------------------------------------------------------------------------------------

    def delete(self, key: str) -> None:
        with _translated_s3():
            if self._delete_current(self._prefix + key):
                self._delete_versions(self._prefix + key, only=self._prefix + key, versioned=True)

    def delete_tree(self, folder: str) -> None:
        tree = f"{self._prefix}{folder}/"
        versioned = False
        with _translated_s3():
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=tree):
                for entry in page.get("Contents", []):
                    versioned |= self._delete_current(entry["Key"])
            # Also where nothing was listed: an earlier call may have been cut off here.
            self._delete_versions(tree, only=None, versioned=versioned)

    def _delete_current(self, full_key: str) -> bool:
        """Delete an object as readers see it; tells whether the bucket keeps what it was."""
        answer: Mapping[str, object] = self._s3.delete_object(Bucket=self._bucket, Key=full_key)
        return "VersionId" in answer or bool(answer.get("DeleteMarker"))

    def _delete_versions(self, prefix: str, *, only: str | None, versioned: bool) -> None:
        """Delete what a bucket with versioning still has. Where that is not allowed the log says so: the bucket's owner must do it."""
        try:
            for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix):
                for entry in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                    if only in (None, entry["Key"]):
                        self._s3.delete_object(Bucket=self._bucket, Key=entry["Key"], VersionId=entry["VersionId"])
        except ClientError as exc:
            if _status_of(exc) not in REFUSALS:
                raise
            if versioned:
                self._warn_once("deleted pictures stay in the bucket as versions: allow s3:ListBucketVersions and s3:DeleteObjectVersion")

    # -- links ----------------------------------------------------------------------------------------------------------------------

    def url(self, key: str) -> str:
        if self._public_base:
            return f"{self._public_base}/{quote(self._prefix + key)}"
        with _translated_s3():
            return self._s3.generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": self._prefix + key}, ExpiresIn=self._link_lifetime_s()
            )

    def provider_url(self, key: str) -> str | None:
        url = self.url(key)
        return url if url.startswith("https://") else None

    def link_period(self) -> str:
        if self._public_base:
            return ""
        with _translated_s3():
            ends = self._credentials_end()
        half_lives = int(time.time() // (LINK_LIFETIME_S / 2))
        return f"{half_lives}.{int(ends.timestamp())}" if ends else str(half_lives)

    def _link_lifetime_s(self) -> int:
        """Return how long a link lives: a day, and no longer than the credentials that sign it, whatever it says itself."""
        ends = self._credentials_end()
        if ends is None:
            if self._credentials is not None and self._credentials.token:
                self._warn_once("links end with the session token that signs them: set AWS_CREDENTIAL_EXPIRATION, so that they say when")
            return LINK_LIFETIME_S
        self._warn_once("links end with the temporary credentials that sign them; with an access key of the service's own they live a day")
        return max(1, min(LINK_LIFETIME_S, int((ends - datetime.now(UTC)).total_seconds())))

    def _credentials_end(self) -> datetime | None:
        """Return when the credentials end, renewed first where they are about to; None for those that do not, or do not say."""
        if self._credentials is None:
            return None
        self._credentials.get_frozen_credentials()
        ends: datetime | None = getattr(self._credentials, "_expiry_time", None)  # botocore tells it nowhere else.
        return ends

    # -- health ---------------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        self._s3.close()

    def sweep(self) -> int:
        """Do nothing: an object is put whole, in one request, or not at all."""
        return 0

    def ping(self) -> None:
        """Raise StorageUnavailable unless objects can be written, read and deleted.

        That is proved by doing it at the first call and every five minutes; in between, the bucket has to answer.
        """
        with self._proving:
            if time.monotonic() >= self._proof_due:
                self._disproof = self._prove()
                self._proof_due = time.monotonic() + (DISPROVED_FOR_S if self._disproof else PROVED_FOR_S)
        if self._disproof:
            raise StorageUnavailable(self._disproof)
        self._region()

    def _prove(self) -> str | None:
        """Write, read and delete an object; returns what could not be done."""
        content = uuid.uuid4().bytes
        steps: dict[str, Callable[[], None]] = {
            "written": lambda: self.put(self._proof_key, io.BytesIO(content), "application/octet-stream"),
            "read": lambda: self._read_back(content),
            "deleted": lambda: self.delete(self._proof_key),
        }
        for done, step in steps.items():
            try:
                step()
            except (StorageUnavailable, NotFound):
                log.exception("objects cannot be %s in the storage bucket", done)
                return f"Objects cannot be {done} in the storage bucket"
        return self._region_problem()

    def _read_back(self, content: bytes) -> None:
        with self.open(self._proof_key) as file:
            if file.read() != content:
                raise StorageUnavailable("The storage bucket gives back something else than was stored")

    def _region_problem(self) -> str | None:
        """Return why links would fail: boto3 finds a bucket in another region by itself, a browser does not."""
        region, ours = self._region(), self._s3.meta.region_name
        if not self._is_amazon or self._public_base or region in (None, ours) or (region, ours) == ("us-east-1", "aws-global"):
            return None
        log.error("AWS_REGION is not the bucket's region, its links do not open", extra={"bucket_region": region})
        return "AWS_REGION is not the region of the storage bucket"

    def _region(self) -> str | None:
        """Return the bucket's region where it is told. Raises StorageUnavailable where the bucket is gone or does not answer."""
        try:
            with _translated_s3():
                return self._s3.head_bucket(Bucket=self._bucket).get("BucketRegion")
        except NotFound as exc:
            raise StorageUnavailable("The storage bucket cannot be used right now") from exc
        except StorageUnavailable as exc:
            # Who may write, read and delete objects need not be allowed to list them, and this asks for that.
            if isinstance(exc.__cause__, ClientError) and _status_of(exc.__cause__) == 403:
                return None
            raise

    def _warn_once(self, what: str) -> None:
        """Log once in this process's life what the operator should know of the bucket."""
        if what not in self._warned:
            self._warned.add(what)
            log.warning(what)


def _config(addressing_style: str, endpoint_url: str | None, read_timeout_s: float) -> Config:
    """Return botocore's settings. Its own defaults suit Amazon only.

    A checksum goes out as `Content-MD5`, which all stores take, and not as botocore's own, over https a trailer of an `aws-chunked` body:
    R2 and older stores refuse that. `virtual` also makes a presigned link's host the region's own: the global one refuses buckets of
    other regions than us-east-1.
    """
    style = ("path" if endpoint_url else "virtual") if addressing_style == "auto" else addressing_style
    return Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": style, "us_east_1_regional_endpoint": "regional"},  # type: ignore[arg-type]
        connect_timeout=CONNECT_S,
        read_timeout=read_timeout_s,
        max_pool_connections=32,
        retries={"max_attempts": TRIES, "mode": "standard"},
    )


def _md5_of(body: IO[bytes]) -> str:
    """Return the MD5 of a body as S3 wants it, and leave the body where it was."""
    start, digest = body.tell(), hashlib.md5(usedforsecurity=False)
    while chunk := body.read(CHUNK_BYTES):
        digest.update(chunk)
    body.seek(start)
    return base64.b64encode(digest.digest()).decode()


def _status_of(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


@contextlib.contextmanager
def _translated_s3() -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        if exc.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
            raise NotFound("No such file") from exc
        raise StorageUnavailable("The storage bucket cannot be used right now") from exc
    except (BotoCoreError, RuntimeError) as exc:  # RuntimeError: botocore's word for credentials that ended and were not renewed.
        raise StorageUnavailable("The storage bucket cannot be reached right now") from exc
