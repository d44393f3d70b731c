"""What fal delivered as a picture and nobody can read: kept for the operator, who paid for it, and removed after a month."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import IO

from attrs import define, field

from app.clients.storage import Storage
from app.domain import clock, keys
from app.domain.job import Job

log = logging.getLogger(__name__)

KEPT_DAYS = 30
#: How far back the sweep looks for what is too old: after a longer standstill what is older stays.
SWEPT_DAYS = 30


@define(eq=False, slots=False, kw_only=True)
class Unreadable:
    _storage: Storage
    _now: Callable[[], datetime] = clock.now
    _swept_on: date | None = field(init=False, default=None)

    def keep(self, job: Job, number: int, file: IO[bytes]) -> str | None:
        """Store the bytes under the day of their order, and return the key; None where there are none. Repeating it is harmless."""
        file.seek(0)
        if not file.read(1):
            return None
        file.seek(0)
        key = keys.unreadable_file(job.created_at.date(), job.id, number)
        self._storage.put(key, file, "application/octet-stream")
        log.error("an unreadable picture is kept", extra={"job_id": job.id, "number": number, "key": key})
        return key

    def sweep(self) -> None:
        """Remove what has been kept long enough; looks once a day, since each look costs as many questions as days are looked at."""
        today = self._now().date()
        if self._swept_on == today:
            return
        oldest = today - timedelta(days=KEPT_DAYS + 1)
        for days in range(1, SWEPT_DAYS + 1):
            self._storage.delete_tree(keys.unreadable_folder(oldest - timedelta(days=days)))
        self._swept_on = today
