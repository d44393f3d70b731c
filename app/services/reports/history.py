"""Lists of jobs, newest first, in pages that can be turned both ways; and all of them, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TypeVar

from attrs import define

from app.domain.job import Job
from app.domain.job_filter import JobFilter
from app.stores.job_plans import plan
from app.stores.jobs import JobStore, Skimmed

#: How many jobs a page or a count may look at where no index serves the whole filter.
MAX_SCANNED = 1000
#: Where counting stops.
MAX_COUNTED = 100_000
READ_AT_ONCE = 100
#: Of what a filter looks at alone.
SKIMMED_AT_ONCE = 1000

Seen = Job | Skimmed
S = TypeVar("S", Job, Skimmed)


@dataclass(frozen=True)
class PageCursor:
    """A place between two jobs: before `job_id` in time, for either direction. Jobs that arrive later do not move it."""

    job_id: str
    newer: bool = False
    """Whether the page lies on the newer side of the cursor (the job itself included), or on the older."""


@dataclass(frozen=True)
class JobPage:
    """Newest first. `next` leads to older jobs, `previous` to newer ones; None where there are none.

    Where no index serves the whole filter, a page looks at MAX_SCANNED jobs at most: it may then hold fewer than were asked for, even
    none, and still have a next one.
    """

    jobs: list[Job]
    next: PageCursor | None
    previous: PageCursor | None


@dataclass(frozen=True)
class Total:
    """`number` is exact, or at least so many."""

    number: int
    is_exact: bool


@define(eq=False, slots=False, kw_only=True)
class History:
    _jobs: JobStore
    _max_scanned: int = MAX_SCANNED

    def page(self, wanted: JobFilter, *, cursor: PageCursor | None, limit: int) -> JobPage:
        """Return the page on the cursor's side, nearest to the cursor; the newest jobs without one."""
        newer = cursor is not None and cursor.newer
        found, last, beyond = self._looked_through(wanted, cursor, limit)
        if cursor is not None and newer:
            return JobPage(found[::-1], next=PageCursor(cursor.job_id), previous=PageCursor(beyond.id, newer=True) if beyond else None)
        older = PageCursor(last.id) if last and beyond else None
        return JobPage(found, next=older, previous=PageCursor(cursor.job_id, newer=True) if cursor else None)

    def older(self, wanted: JobFilter, *, before_id: str | None, limit: int) -> list[Job]:
        """Return up to `limit` jobs older than one, newest first. Only for filters that an index serves as a whole."""
        return self._jobs.page(wanted, before_id=before_id, limit=limit)

    def all(self, wanted: JobFilter) -> Iterator[Job]:
        """Yield every job there is now, newest first, however many: a bounded number of them is in memory.

        Raises StoreUnavailable on the way where the store goes away.
        """
        return (job for job in self._walk(wanted, None, READ_AT_ONCE) if wanted.accepts(job))

    def total(self, wanted: JobFilter) -> Total:
        """Return how many jobs there are, as far as a bounded look tells."""
        if plan(wanted).is_exact:
            number = self._jobs.count(wanted, limit=MAX_COUNTED + 1)
            return Total(min(number, MAX_COUNTED), is_exact=number <= MAX_COUNTED)
        found, _, beyond = self._looked_through(wanted, None, self._max_scanned)
        return Total(len(found), is_exact=beyond is None)

    def _looked_through(self, wanted: JobFilter, cursor: PageCursor | None, limit: int) -> tuple[list[Job], Seen | None, Seen | None]:
        """Return the jobs found, the last one looked at, and the one after that."""
        budget = limit if plan(wanted).is_exact else self._max_scanned
        found: list[Job] = []
        last: Seen | None = None
        # One more than wanted tells whether there is a further page; where it lies is the cursor that leads there.
        if wanted.searches_prompts or plan(wanted).rest:
            walked = self._skim(wanted, cursor, min(budget, SKIMMED_AT_ONCE) + 1, limit)
        else:
            walked = self._walk(wanted, cursor, min(budget, READ_AT_ONCE) + 1)
        for number, seen in enumerate(islice(walked, budget + 1)):
            if number == budget or len(found) == limit:
                return found, last, seen
            last = seen
            if isinstance(seen, Job) and wanted.accepts(seen):
                found.append(seen)
        return found, last, None

    def _walk(self, wanted: JobFilter, cursor: PageCursor | None, at_once: int) -> Iterator[Job]:
        """Yield jobs away from the cursor, as an index has them; read in pieces."""
        jobs = self._jobs
        pieces = _pieces(
            cursor,
            at_once,
            older=lambda place: jobs.page(wanted, before_id=place, limit=at_once),
            newer=lambda place: jobs.page_up(wanted, from_id=place, limit=at_once),
        )
        return chain.from_iterable(pieces)

    def _skim(self, wanted: JobFilter, cursor: PageCursor | None, at_once: int, ahead: int) -> Iterator[Seen]:
        """Yield the same, looking through them first: those that may pass are read whole, so many at once, and the others not."""
        jobs = self._jobs
        pieces = _pieces(
            cursor,
            at_once,
            older=lambda place: jobs.skim(wanted, before_id=place, limit=at_once),
            newer=lambda place: jobs.skim_up(wanted, from_id=place, limit=at_once),
        )
        for piece in pieces:
            passing = [seen.id for seen in piece if seen.passes and wanted.accepts_prompt(seen.prompt)]
            whole: dict[str, Job] = {}
            for seen in piece:
                if passing and seen.id == passing[0]:
                    whole = {job.id: job for job in jobs.of(passing[:ahead])}
                    del passing[:ahead]
                yield whole.get(seen.id, seen)


def _pieces(
    cursor: PageCursor | None, at_once: int, *, older: Callable[[str | None], Sequence[S]], newer: Callable[[str], Sequence[S]]
) -> Iterator[Sequence[S]]:
    """Yield what lies on the cursor's side, in pieces."""
    place = cursor.job_id if cursor else None
    goes_up = cursor is not None and cursor.newer
    while True:
        piece = newer(place or "") if goes_up else older(place)
        yield piece
        if len(piece) < at_once:
            return
        # All ids are of one length, so what begins with one and goes on lies right after it.
        place = f"{piece[-1].id}+" if goes_up else piece[-1].id
