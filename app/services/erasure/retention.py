"""What has been kept for as long as was agreed goes: jobs with their pictures, prompts and inputs, and uploads that no job uses.

A job's time is counted from its end. Found are those of the settings by the time in their ids, and those of orders by an indexed field;
each is looked at again before it goes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from attrs import define, field

from app.domain import clock
from app.domain.errors import GatewayError
from app.domain.job import Job
from app.domain.tombstone import Reason, is_past, may_be_deleted
from app.services.erasure.jobs import Eraser
from app.services.people.uploads import Uploads
from app.stores.jobs import JobStore
from app.stores.steady_clock import SteadyClock
from app.stores.uploads import UploadStore

log = logging.getLogger(__name__)

LOOKED_AT_ONCE = 100


@define(eq=False, slots=False, kw_only=True)
class Retention:
    """`retention_days` 0: for ever, unless an order says otherwise."""

    _jobs: JobStore
    _upload_store: UploadStore
    _uploads: Uploads
    _eraser: Eraser
    _steady_clock: SteadyClock
    _retention_days: int
    _now: Callable[[], datetime] = clock.now
    _after_id: str = field(init=False, default="")
    _after_order: tuple[datetime, str] | None = field(init=False, default=None)
    _after_upload: tuple[datetime, str] | None = field(init=False, default=None)

    def sweep(self) -> int:
        """Look at the next few whose time may be up, and delete those whose is; returns how many went. May be repeated and may race.

        Nothing goes within an hour of a jump of the clock: what is deleted does not come back when the clock is right again.
        """
        now = self._now()
        if not self._steady_clock.is_steady(now):
            return 0
        gone = self._swept(self._next_of_orders(now), now)
        if self._retention_days:
            cutoff = now - timedelta(days=self._retention_days)
            gone += self._swept(self._next_of_settings(cutoff), now)
            gone += self._uploads_swept(cutoff)
        return gone

    def _next_of_settings(self, cutoff: datetime) -> Sequence[Job]:
        found = self._jobs.ordered_before(cutoff, after_id=self._after_id, limit=LOOKED_AT_ONCE)
        self._after_id = found[-1].id if len(found) == LOOKED_AT_ONCE else ""
        return found

    def _next_of_orders(self, now: datetime) -> Sequence[Job]:
        found = self._jobs.retained_until(now, after=self._after_order, limit=LOOKED_AT_ONCE)
        last = found[-1] if len(found) == LOOKED_AT_ONCE else None
        self._after_order = (last.retain_until, last.id) if last and last.retain_until else None
        return found

    def _swept(self, found: Sequence[Job], now: datetime) -> int:
        gone = 0
        for job in found:
            if may_be_deleted(job) and is_past(job, retention_days=self._retention_days, now=now) and not self._is_needed(job):
                if not self._eraser.erase(job, Reason.RETENTION):
                    return gone  # Storage is away: what is begun is finished first.
                gone += 1
        return gone

    def _is_needed(self, job: Job) -> bool:
        """Tell whether a job that has not ended was ordered with a picture of this one."""
        return self._jobs.names_upload([image.upload_id for image in job.images], only_live=True)

    def _uploads_swept(self, cutoff: datetime) -> int:
        found = self._upload_store.idle(since=cutoff, after=self._after_upload, limit=LOOKED_AT_ONCE)
        self._after_upload = (found[-1][0], found[-1][1].id) if len(found) == LOOKED_AT_ONCE else None
        gone = 0
        for _, upload in found:
            if self._jobs.names_upload([upload.id]) or self._jobs.has_older_references(upload.user_id):
                continue
            try:
                gone += self._uploads.drop_unused(upload.id, idle_since=cutoff)
            except GatewayError:
                log.warning("an upload whose time is up stays for now", extra={"upload_id": upload.id}, exc_info=True)
        return gone
