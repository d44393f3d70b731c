"""Pictures people bring along: checked by their bytes, stored once per user and content.

The record is written before the object and outlives it, so there is never an object without a record: what a process leaves half done
when it dies is found by `sweep`, and mended earlier where the same picture is sent, or the same removal asked for, again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import IO, Any

from attrs import define, field

from app.clients.storage import Storage
from app.domain import clock, keys
from app.domain.asset import Purpose, Upload
from app.domain.errors import NotAnImage, NotFound, QuotaExceeded, ServiceError, StorageUnavailable, TooLarge
from app.pictures.inspect import MAX_DECODED_PIXELS
from app.pictures.sanitize import CleanPicture, clean, extension_of
from app.pictures.thumbnail import SIZES
from app.services.people.accounts import run_inline
from app.stores.uploads import UploadStore

log = logging.getLogger(__name__)

MAX_UPLOAD_BYTES = 10 * 1024 * 1024
MAX_FILE_NAME_CHARS = 255
MEGABYTE = 1024 * 1024
#: Longer than storage takes to answer or to fail, retries included: after it a removal's owner is dead.
REMOVAL_TAKES = timedelta(seconds=180)
ABANDONED_AFTER = timedelta(minutes=15)
#: More would only share the processor, and each takes its memory.
CHECKS_AT_ONCE = 2
#: Together two seconds: how long a picture waits for its own removal to end before the caller is asked to try again.
TURNS, TURN_S = 40, 0.05


@dataclass(frozen=True)
class SideLimits:
    """How many pixels a side may have, both ends included, and how many there may be in all."""

    low: int
    high: int
    max_pixels: int = MAX_DECODED_PIXELS

    def check(self, width: int, height: int) -> None:
        """Raise NotAnImage for a picture outside of the limits."""
        if not all(self.low <= side <= self.high for side in (width, height)):
            raise NotAnImage(
                f"The image is {width}x{height} pixels; it must be from {self.low}x{self.low} to {self.high}x{self.high} pixels"
            )
        if width * height > self.max_pixels:
            raise NotAnImage(f"The image has {width} x {height} pixels, more than is allowed")


ANY_SIDE = SideLimits(1, 14142)


@dataclass(frozen=True)
class Kept:
    """A stored picture, and whether this very call made it: then, and only then, the caller may take it back."""

    upload: Upload
    is_new: bool


@define(eq=False, slots=False, kw_only=True)
class Uploads:
    """`offload` runs the check of a picture where it blocks nobody: the web process gives it real threads.

    `quota_bytes` is what is kept for one user; None: as much as comes.
    """

    _store: UploadStore
    _storage: Storage
    _quota_bytes: int | None = None
    _offload: Callable[..., Any] = run_inline
    _now: Callable[[], datetime] = clock.now
    _checks: threading.BoundedSemaphore = field(init=False, factory=lambda: threading.BoundedSemaphore(CHECKS_AT_ONCE))

    def keep(self, user_id: str, file: IO[bytes], *, sides: SideLimits, file_name: str | None = None, for_order: bool = False) -> Kept:
        """Check and store a picture without its metadata; the same file again gives the same upload, under its first name.

        `for_order`: it comes along with an order, and nobody else has asked to keep it.

        Raises NotAnImage, TooLarge or QuotaExceeded, and stores nothing then; StorageUnavailable or StoreUnavailable, and the same file
        may be sent again.
        """
        content = _read(file)
        source_sha256 = hashlib.sha256(content).hexdigest()
        extension = extension_of(content)
        name = keys.uploaded_image(user_id, source_sha256, extension)
        picture: CleanPicture | None = None
        for _ in range(TURNS):
            known = self._store.join(name, for_order=for_order, now=self._now())
            if known and known.is_stored:
                sides.check(known.upload.width, known.upload.height)
                return Kept(known.upload, is_new=False)
            picture = picture or self._checked(content, sides)
            drafted = self._drafted(user_id, keys.upload_object(user_id, extension), picture, file_name)
            upload = known.upload if known else replace(drafted, order_only=for_order)
            if known or self._store.reserve(upload, source_sha256, name=name):
                self._require_room(upload)
                self._put(upload, picture)
                if self._store.confirm(upload.id):
                    return Kept(upload, is_new=known is None)
                if self._store.is_gone(upload.id):
                    self._storage.delete(upload.key)  # It was removed while this call stored it, maybe before: nobody else knows the key.
            elif idle := self._store.claim_idle(name, now=self._now(), idle_since=self._now() - REMOVAL_TAKES):
                self._remove(idle)
            else:
                time.sleep(TURN_S)  # Somebody was faster, or is just removing it.
        raise StorageUnavailable("This image is just being removed; try again")

    def _checked(self, content: bytes, sides: SideLimits) -> CleanPicture:
        with self._checks:
            return self._offload(clean, content, sides.check)  # type: ignore[no-any-return]

    def _drafted(self, user_id: str, key: str, picture: CleanPicture, file_name: str | None) -> Upload:
        return Upload(
            id=clock.new_id(),
            user_id=user_id,
            purpose=Purpose.INPUT,
            key=key,
            content_type=picture.content_type,
            width=picture.width,
            height=picture.height,
            size_bytes=len(picture.content),
            sha256=picture.sha256,
            created_at=self._now(),
            file_name=_clean_name(file_name),
        )

    def _require_room(self, upload: Upload) -> None:
        """Raise QuotaExceeded, and take the upload back, where its user keeps too much with it.

        Its record stands already and counts: however many are sent at once, none of them is overlooked by all the others.
        """
        used = self._store.bytes_of(upload.user_id)
        if self._quota_bytes is None or used <= self._quota_bytes:
            return
        self.discard_new(upload)
        quota, before = self._quota_bytes / MEGABYTE, (used - upload.size_bytes) / MEGABYTE
        raise QuotaExceeded(
            f"Your uploads take {before:.1f} of {quota:g} MB; there is no room for this one. Delete uploads that you do not need any more",
            details={"quotaBytes": self._quota_bytes, "usedBytes": used - upload.size_bytes},
        )

    def _put(self, upload: Upload, picture: CleanPicture) -> None:
        try:
            self._storage.put(upload.key, io.BytesIO(picture.content), upload.content_type)
        except StorageUnavailable:
            self.discard_new(upload)  # It may have arrived all the same.
            raise

    def discard_new(self, upload: Upload) -> None:
        """Take back an upload that `keep` called new, unless the same picture was sent again since.

        Never raises for a store or storage that does not answer: the sweep does what is left.
        """
        try:
            if claimed := self._store.claim_new(upload.id, now=self._now()):
                self._remove(claimed)
        except ServiceError:
            log.warning("upload not taken back, the sweep will", extra={"upload_id": upload.id}, exc_info=True)

    def get(self, upload_id: str, *, user_id: str) -> Upload:
        """Return the user's own upload. Raises NotFound, for somebody else's too."""
        return _found(self._store.get(upload_id.lower(), user_id=user_id) if clock.is_id(upload_id) else None)

    def used(self, upload_id: str, *, user_id: str) -> Upload:
        """Return the user's own upload for an order, which keeps it from going as unused meanwhile. Raises NotFound."""
        return _found(self._store.used(upload_id.lower(), user_id=user_id, now=self._now()) if clock.is_id(upload_id) else None)

    def list(self, user_id: str, *, purpose: Purpose | None, before_id: str | None, limit: int) -> Sequence[Upload]:
        """Return the user's uploads, newest first."""
        return self._store.page(user_id, purpose=purpose, before_id=before_id, limit=limit)

    def delete(self, upload_id: str, *, user_id: str) -> None:
        """Remove the user's own upload: it is gone for readers at once, then its object, last its record.

        Raises NotFound; StorageUnavailable where the object could not be removed: the same call again, or the sweep, goes on with it.
        """
        now = self._now()
        claimed = None
        if clock.is_id(upload_id):
            claimed = self._store.claim(upload_id.lower(), user_id=user_id, now=now, idle_since=now - REMOVAL_TAKES)
        if claimed is None:
            raise NotFound("No such upload")
        self._remove(claimed)

    def drop_unused(self, upload_id: str, *, idle_since: datetime, only_of_orders: bool = False) -> bool:
        """Remove an upload that nobody has sent or ordered with since; False where somebody has, or it is none of these.

        `only_of_orders`: only one that came along with an order. Raises StorageUnavailable, and the sweep goes on with it.
        """
        claimed = self._store.claim_unused(upload_id, now=self._now(), idle_since=idle_since, only_of_orders=only_of_orders)
        if claimed is not None:
            self._remove(claimed)
        return claimed is not None

    def drop_all(self, user_id: str, *, limit: int) -> int:
        """Remove up to `limit` uploads of a user, whoever is just storing them; returns how many. Raises StorageUnavailable."""
        found = self._store.of_user(user_id, limit)
        for upload in found:
            if claimed := self._store.claim_any(upload.id, now=self._now()):
                self._remove(claimed)
        return len(found)

    def sweep(self, *, older_than: timedelta = ABANDONED_AFTER, limit: int = 100) -> int:
        """Remove what dead processes left half stored or half removed; returns how many. Safe to repeat and to race."""
        before, removed = self._now() - older_than, 0
        for upload in self._store.stale(before, limit):
            with contextlib.suppress(StorageUnavailable):
                if claimed := self._store.claim_stale(upload.id, now=self._now(), before=before):
                    self._remove(claimed)
                    removed += 1
        return removed

    def _remove(self, upload: Upload) -> None:
        """Finish a claimed removal. While the record stands no other picture can take the key, so nobody else's object is hit."""
        try:
            self._storage.delete(upload.key)
            # Of a generated picture; after it, since whoever makes one looks whether the picture is still there.
            for size in SIZES if upload.purpose is Purpose.OUTPUT else ():
                self._storage.delete(keys.thumbnail(upload.key, size))
        except StorageUnavailable:
            self._store.release(upload.id)
            raise
        self._store.forget(upload.id)


def _found(upload: Upload | None) -> Upload:
    if upload is None:
        raise NotFound("No such upload")
    return upload


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    content = file.read(MAX_UPLOAD_BYTES + 1)
    if len(content) > MAX_UPLOAD_BYTES:
        raise TooLarge("The image is larger than 10MB")
    return content


def _clean_name(name: str | None) -> str | None:
    """Return the last part of a path without what a store or a terminal would trip over; it is shown, never used as a path."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in last if char.isprintable())[:MAX_FILE_NAME_CHARS].strip() or None
