"""The gallery: all finished pictures, newest first, in pages of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from attrs import define

from app.domain.job import JobStatus
from app.domain.job_filter import JobFilter
from app.services.pictures.finding import Picture
from app.services.reports.history import History, PageCursor
from app.stores.jobs import JobStore


@dataclass(frozen=True)
class PictureCursor:
    """A place between two pictures: behind picture `number` of a job, or, with None, behind all of its pictures."""

    job_id: str
    number: int | None


@dataclass(frozen=True)
class PicturePage:
    """`next` leads to older pictures. As with jobs, a page may hold fewer than were asked for, even none, and still have a next one."""

    pictures: Sequence[Picture]
    next: PictureCursor | None


@define(eq=False, slots=False, kw_only=True)
class Gallery:
    _jobs: JobStore
    _history: History

    def page(self, wanted: JobFilter, *, cursor: PictureCursor | None, limit: int) -> PicturePage:
        """Return up to `limit` pictures of the completed jobs that pass a filter, those behind the cursor; the newest without one."""
        if wanted.status not in (None, JobStatus.COMPLETED):
            return PicturePage([], None)
        wanted = replace(wanted, status=JobStatus.COMPLETED)
        jobs = self._history.page(wanted, cursor=PageCursor(cursor.job_id) if cursor else None, limit=limit)
        found = [*self._rest(wanted, cursor), *(Picture(job, image) for job in jobs.jobs for image in job.images)]
        if len(found) > limit:
            last = found[limit - 1]
            return PicturePage(found[:limit], PictureCursor(last.job.id, last.image.number))
        return PicturePage(found, PictureCursor(jobs.next.job_id, None) if jobs.next else None)

    def _rest(self, wanted: JobFilter, cursor: PictureCursor | None) -> list[Picture]:
        """Return what the page before had no room for of its last job."""
        if cursor is None or cursor.number is None:
            return []
        job = self._jobs.get(cursor.job_id)
        if job is None or not wanted.accepts(job):
            return []
        return [Picture(job, image) for image in job.images if image.number > cursor.number]
