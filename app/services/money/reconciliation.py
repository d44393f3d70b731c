"""Puts fal's bill beside what jobs were quoted and what their results said, and corrects their cost by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from attrs import define

from app.clients.fal.platform import MAX_IDS, FalPlatform
from app.domain import clock
from app.domain.costs import cost_of_units
from app.domain.fal_request import RequestState
from app.domain.job import TERMINAL, Job
from app.domain.pricing import micros_of
from app.stores.jobs import JobFilter, JobStore
from app.stores.usage import UsageStore

PAGE = 50
#: fal looks at 90 days in one call; jobs so far apart leave it a month for the events that come late.
MAX_SPAN = timedelta(days=60)
WINDOW = timedelta(days=89)
#: Between fal's clock and ours.
SLACK = timedelta(hours=1)

Events = dict[str, list[Decimal]]
"""Request id to the costs of its events, USD."""


@dataclass(frozen=True)
class Finding:
    """What is known of one ended job's cost, in micro-USD. `missing` are collected requests that fal's bill does not have (yet)."""

    job: Job
    quoted: int
    units: int | None
    invoiced: int | None
    missing: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return len({figure for figure in (self.quoted, self.units, self.invoiced) if figure is not None}) == 1


@define(eq=False, slots=False, kw_only=True)
class Reconciliation:
    _jobs: JobStore
    _usage: UsageStore
    _platform: FalPlatform
    _now: Callable[[], datetime] = clock.now

    def count(self, since: datetime, until: datetime) -> int:
        return self._jobs.count(_ended(since, until))

    def compare(self, since: datetime, until: datetime) -> Iterator[Finding]:
        """Correct the ended jobs that were ordered from `since` to before `until`, newest first, and yield what was found for each.

        May be repeated. Where fal does not answer (ProviderError) it stops; jobs up to there are corrected and stay so.
        """
        for findings in self.pages(since, until):
            yield from findings

    def pages(self, since: datetime, until: datetime, *, before_id: str | None = None) -> Iterator[list[Finding]]:
        """Do the same, and yield the findings page by page; `before_id`: only for jobs older than this one."""
        while page := self._jobs.page(_ended(since, until), before_id=before_id, limit=PAGE):
            events = self._events(page)
            findings = [_finding(job, events) for job in page]
            for finding in findings:
                self._correct(finding)
            yield findings
            before_id = page[-1].id

    def _events(self, page: Sequence[Job]) -> Events:
        events: Events = {}
        for ids, start in _batches(page):
            end = min(self._now(), start + WINDOW)
            for event in self._platform.billing_events(ids, start=start, end=end):
                events.setdefault(event.request_id, []).append(event.cost)
        return events

    def _correct(self, finding: Finding) -> None:
        micros = finding.invoiced
        if micros is not None:
            self._jobs.change(finding.job, lambda job: job.invoiced(micros, now=self._now()))
            self._usage.bill(finding.job.id, micros)


def _ended(since: datetime, until: datetime) -> JobFilter:
    return JobFilter(statuses=tuple(sorted(TERMINAL)), created_from=since, created_to=until)


def _batches(page: Sequence[Job]) -> Iterator[tuple[list[str], datetime]]:
    """Yield the ids for each call, with the time from which it must look. `page` is newest first."""
    ids: list[str] = []
    newest = oldest = page[0].created_at
    for job in page:
        for request_id in _request_ids(job):
            if ids and (len(ids) == MAX_IDS or newest - job.created_at > MAX_SPAN):
                yield ids, oldest - SLACK
                ids, newest = [], job.created_at
            ids.append(request_id)
            oldest = job.created_at
    if ids:
        yield ids, oldest - SLACK


def _request_ids(job: Job) -> list[str]:
    return [request.receipt.request_id for request in job.requests if request.receipt]


def _finding(job: Job, events: Events) -> Finding:
    """Compare one job. A request that failed or was canceled need not be billed, one that was collected must be.

    Only a whole bill counts: part of one would make a job look cheap.
    """
    missing = tuple(
        request.receipt.request_id
        for request in job.requests
        if request.receipt and request.state is RequestState.COLLECTED and request.receipt.request_id not in events
    )
    costs = [cost for request_id in _request_ids(job) for cost in events.get(request_id, ())]
    units = cost_of_units(job.quote, job.requests)
    return Finding(
        job=job,
        quoted=job.quote.cost_micros,
        units=units.micros if units else None,
        invoiced=micros_of(sum(costs, Decimal(0))) if costs and not missing else None,
        missing=missing,
    )
