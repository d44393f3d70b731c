"""Deletes jobs: readers are told 410 at once, then everything of them goes, from here, from storage, and where it can be from fal.

A tombstone is written first and names what is to go; every step may be repeated. Whoever dies in between, or finds storage away, is
followed by the sweep.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from attrs import define

from app.clients.fal.platform import FalPlatform
from app.clients.storage import Storage
from app.domain import clock, keys
from app.domain.errors import NotFound, ProviderError, ServiceError, StoreUnavailable
from app.domain.job import Job
from app.domain.tombstone import Reason, Tombstone, tombstone_of
from app.services.people.uploads import Uploads
from app.stores.deliveries import DeliveryStore
from app.stores.jobs import JobStore
from app.stores.tombstones import Tombstones
from app.stores.uploads import UploadStore

log = logging.getLogger(__name__)

#: Longer than a deletion takes: after it whoever began it is dead.
LOST_AFTER = timedelta(seconds=60)
#: An upload that somebody has just sent or named may be in an order that is not written yet.
UNUSED_FOR = timedelta(hours=1)
ASKED_AGAIN_AFTER = timedelta(minutes=10)
#: How long fal is asked to forget what it does not confirm.
FAL_ASKED_FOR = timedelta(days=3)
SWEPT_AT_ONCE = 100
MAX_TRIES = 30


@define(eq=False, slots=False, kw_only=True)
class Eraser:
    """`asks_fal`: a key is set with which fal deletes what it keeps of a request."""

    _tombstones: Tombstones
    _jobs: JobStore
    _uploads: Uploads
    _upload_store: UploadStore
    _deliveries: DeliveryStore
    _storage: Storage
    _platform: FalPlatform
    _asks_fal: bool
    _now: Callable[[], datetime] = clock.now

    def erase(self, job: Job, reason: Reason) -> bool:
        """Delete a settled job and all of it that is kept here. False where the sweep has to finish it, since storage does not answer.

        What it cost stays: in its tombstone, in the usage, in the ledger. Raises StoreUnavailable.
        """
        stone = self._buried(job, reason)
        try:
            self._remove(stone)
        except ServiceError:
            log.warning("a job is deleted, what is left of it goes later", extra={"job_id": job.id}, exc_info=True)
            return False
        self._tombstones.attend(stone, self._now() if self._has_more(stone) else None, is_cleared=True)
        return True

    def sweep(self) -> int:
        """Go on with what was cut off, or has to wait for others; returns how many were looked at. May be repeated and may race."""
        due, answers = self._tombstones.due(now=self._now(), limit=SWEPT_AT_ONCE), True
        for stone in due:
            try:
                answers = self._go_on(stone, asks_fal=self._asks_fal and answers) and answers
            except ServiceError:
                log.warning("a deletion could not be finished, later", extra={"job_id": stone.id}, exc_info=True)
        return len(due)

    def _go_on(self, stone: Tombstone, *, asks_fal: bool) -> bool:
        """Do what is left of a deletion; False where fal did not answer: nobody else's has to wait for that."""
        if not self._tombstones.attend(stone, until := self._now() + LOST_AFTER, is_cleared=stone.is_cleared):
            return True
        job = self._jobs.get(stone.id)
        stone = self._buried(job, stone.reason) if job else replace(stone, attention_at=until)
        self._remove(stone)
        for_fal, for_uploads = self._asks_fal_again_in(stone, asks_fal=asks_fal), self._looks_again_in(stone)
        again = min((wait for wait in (for_fal, for_uploads) if wait), default=None)
        self._tombstones.attend(stone, self._now() + again if again else None, is_cleared=True)
        return for_fal is None

    def _buried(self, job: Job, reason: Reason) -> Tombstone:
        """Write a job's tombstone, then remove the job; where it changes in between (its cost, say), both anew."""
        for _ in range(MAX_TRIES):
            now = self._now()
            stone = tombstone_of(job, reason, now=now, attention_at=now + LOST_AFTER)
            self._tombstones.write(stone)
            if self._jobs.remove_settled(job) or (changed := self._jobs.get(job.id)) is None:
                return stone
            job = changed
        raise StoreUnavailable(f"job {job.id} changes too fast to be deleted")

    def _remove(self, stone: Tombstone) -> None:
        self._storage.delete_tree(keys.job_folder(stone.user_id, stone.id))
        for key in stone.kept_files:
            self._storage.delete(key)
        for image_id in stone.image_ids:
            self._upload_store.forget_output(image_id)
        self._deliveries.remove_of_job(stone.id)

    def _has_more(self, stone: Tombstone) -> bool:
        return bool((self._asks_fal and stone.fal_request_ids) or (stone.reason is Reason.RETENTION and stone.upload_ids))

    def _asks_fal_again_in(self, stone: Tombstone, *, asks_fal: bool) -> timedelta | None:
        """Have fal delete what it keeps of the job's requests; returns when to ask again where it does not answer, or is not asked now."""
        if not self._asks_fal or not stone.fal_request_ids:
            return None
        if not asks_fal:
            return ASKED_AGAIN_AFTER
        try:
            for request_id in stone.fal_request_ids:
                self._platform.delete_payloads(request_id)
        except (ProviderError, NotFound) as exc:
            if self._now() - stone.at < FAL_ASKED_FOR:
                return ASKED_AGAIN_AFTER
            log.error("fal was asked for days and did not delete what it keeps of a job: %s", exc.message, extra={"job_id": stone.id})  # noqa: TRY400
        return None

    def _looks_again_in(self, stone: Tombstone) -> timedelta | None:
        """Remove the pictures that came along with the order, unless another job has them; returns when to look again.

        One that nobody has wanted for an hour is in no order that is just being written.
        """
        if stone.reason is not Reason.RETENTION:
            return None
        waits = False
        for upload_id in stone.upload_ids:
            upload = self._upload_store.get(upload_id, user_id=stone.user_id)
            if upload is None or not upload.order_only or self._jobs.names_upload([upload_id]):
                continue
            waits |= not self._uploads.drop_unused(upload_id, idle_since=self._now() - UNUSED_FOR, only_of_orders=True)
        return UNUSED_FOR if waits else None
