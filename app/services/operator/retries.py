"""Many failed jobs ordered again at once: first said how many and for how much, then done, each bought once.

Which jobs are meant is settled and written down before the first is ordered. Each is ordered under a key that derives from the job alone
(`retry_key`), and what has a retry already is left out: so two operators at once, a repeated request and one that was cut off in the
middle buy nothing twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from attrs import define

from app.domain import clock
from app.domain.api_key import OrderLimits
from app.domain.audit import Action, Actor
from app.domain.errors import CallerError, ConfirmationNeeded, FieldError, IdempotencyMismatch, InvalidRequest, MaxCostExceeded
from app.domain.job import PRIORITY_HEADER, Job, JobStatus
from app.domain.job_filter import JobFilter
from app.domain.pricing import usd, usd_text
from app.services.operator.audit import Audit
from app.services.operator.jobs import RETRIED, OperatorJobs, again, retry_key, usual_payer
from app.services.orders.order import KEY_LIFETIME, OrderKey
from app.services.orders.submit import Orders
from app.services.reports.history import History, PageCursor
from app.stores.jobs import JobStore
from app.stores.retries import RetryRun, RetryRunStore

#: More jobs than this are not ordered again in one request.
MAX_JOBS = 500
#: Above this whoever asks must say how many they are.
MAX_UNCOUNTED = 50
PAGE, MAX_PAGES = 100, 10
#: A request that has worked for this long answers with what is left; the same request again goes on.
WORK_S = 20.0
#: Nobody waits for these: they go to fal after those that somebody waits for.
LATER = {PRIORITY_HEADER: "low"}


@dataclass(frozen=True)
class Refused:
    """A job that cannot be ordered again, and why."""

    job_id: str
    code: str
    message: str


@dataclass(frozen=True)
class Retried:
    job_id: str
    retry_id: str


@dataclass
class RetryReport:
    """What a request for retries comes to. `skipped` counts jobs by why they are left out: `not_failed`, `already_retried`, `not_found`.

    A dry one has neither `retried` nor `remaining`: nothing was ordered. `unknown_outcome`: so many may have been bought at fal the first
    time, and never heard of.
    """

    is_dry: bool
    count: int = 0
    micros: int = 0
    tokens: int = 0
    unknown_outcome: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)
    retried: list[Retried] = field(default_factory=list)
    remaining: int = 0

    @property
    def needs_count(self) -> bool:
        return self.count > MAX_UNCOUNTED


@define(eq=False, slots=False, kw_only=True)
class Retries:
    _jobs: JobStore
    _history: History
    _orders: Orders
    _operator_jobs: OperatorJobs
    _runs: RetryRunStore
    _audit: Audit
    _now: Callable[[], datetime] = clock.now
    _work_s: float = WORK_S

    def retry(
        self,
        actor: Actor,
        wanted: JobFilter | Sequence[str],
        said: Mapping[str, Any],
        *,
        max_micros: int | None,
        confirm: int | bool | None,
        key: OrderKey | None,
    ) -> RetryReport:
        """Order again what has failed among the wanted jobs; without `confirm` only say what that would come to.

        `said` is what was asked for, for the log. Raises InvalidRequest for too many or none that could fail, MaxCostExceeded, and
        ConfirmationNeeded: nothing is ordered then. What is refused later (no tokens, a full budget) is told job by job. The same `key`
        again goes on where the first request was cut off.
        """
        run = self._runs.get(key.id) if key and confirm else None
        if run is not None and key is not None:
            _require_same(run, key)
            return self._carried_out(actor, run, said, RetryReport(is_dry=False, count=len(run.quotes), micros=sum(run.quotes.values())))
        report, quotes = self._planned(self._found(wanted), named=() if isinstance(wanted, JobFilter) else wanted)
        if not confirm:
            return report
        _require_consent(report, max_micros, confirm)
        now = self._now()
        run = RetryRun(
            id=key.id if key else clock.new_id(),
            fingerprint=key.fingerprint if key else "",
            quotes=quotes,
            created_at=now,
            expires_at=now + KEY_LIFETIME,
        )
        first = self._runs.first(run) if key else run
        if key is not None:
            _require_same(first, key)
        return self._carried_out(actor, first, said, replace(report, is_dry=False))

    # -- which jobs -----------------------------------------------------------------------------------------------------------------

    def _found(self, wanted: JobFilter | Sequence[str]) -> list[Job]:
        """Return the jobs that are meant. Raises InvalidRequest where they are too many, or too far to look for."""
        if not isinstance(wanted, JobFilter):
            return self._jobs.of(wanted)
        wanted = _of_failed(wanted)
        found: list[Job] = []
        cursor: PageCursor | None = None
        for _ in range(MAX_PAGES):
            page = self._history.page(wanted, cursor=cursor, limit=PAGE)
            found += page.jobs
            cursor = page.next
            if len(found) > MAX_JOBS:
                raise _refused(f"These are more than {MAX_JOBS} jobs; choose a shorter time, one model, or one code.")
            if cursor is None:
                return found
        raise _refused("These jobs are too many to look through; name a user, a model, a code, or a time.")

    def _planned(self, jobs: Sequence[Job], *, named: Sequence[str]) -> tuple[RetryReport, dict[str, int]]:
        """Return what ordering the jobs again comes to, and what each may cost."""
        report, quotes = RetryReport(is_dry=True), dict[str, int]()
        report.skipped["not_found"] = len(set(named)) - len(jobs) if named else 0
        retried = self._jobs.retried_among([job.id for job in jobs])
        for job in jobs:
            if job.status not in RETRIED or job.id in retried:
                report.skipped["already_retried" if job.id in retried else "not_failed"] += 1
                continue
            offer = self._operator_jobs.offer(job)
            if offer.refusal is not None:
                report.refused.append(Refused(job.id, "not_orderable", offer.refusal))
                continue
            quotes[job.id] = offer.micros
            report.tokens += offer.tokens
            report.unknown_outcome += any(request.was_sent for request in job.requests)
        report.count, report.micros = len(quotes), sum(quotes.values())
        report.skipped = +report.skipped
        return report, quotes

    # -- ordering them --------------------------------------------------------------------------------------------------------------

    def _carried_out(self, actor: Actor, run: RetryRun, said: Mapping[str, Any], report: RetryReport) -> RetryReport:
        details = {**said, "count": len(run.quotes), "cost": usd(sum(run.quotes.values())), "jobIds": list(run.quotes)}
        with self._audit.record(actor, Action.JOBS_RETRY, f"retry:{run.id}", details) as result:
            stop_at = time.monotonic() + self._work_s
            jobs = self._jobs.of(list(run.quotes))
            for place, job in enumerate(jobs):
                if time.monotonic() > stop_at:
                    report.remaining = len(jobs) - place
                    break
                self._order(job, run.quotes[job.id], report)
            result |= {"retried": len(report.retried), "refused": len(report.refused), "remaining": report.remaining}
        return report

    def _order(self, job: Job, micros: int, report: RetryReport) -> None:
        """Order one job again, unless that was done meanwhile; what refuses it is told and stops no other."""
        if retries := self._jobs.retries_of([job.id]):
            report.retried.append(Retried(job.id, retries[-1].id))
            return
        order = replace(again(job, usual_payer(job)), key=retry_key(job, 0), limits=OrderLimits(max_micros=micros), fal_headers=dict(LATER))
        try:
            accepted = self._orders.submit(order)
        except CallerError as exc:
            report.refused.append(Refused(job.id, exc.code, exc.message))
        else:
            report.retried.append(Retried(job.id, accepted.job.id))


def _of_failed(wanted: JobFilter) -> JobFilter:
    """Narrow a filter to jobs that have failed, or that were canceled where it names those. Raises InvalidRequest."""
    named = (wanted.status,) if wanted.status else wanted.statuses
    statuses = tuple(status for status in named if status in RETRIED) if named else (JobStatus.FAILED,)
    if not statuses:
        raise _refused("Only failed and canceled jobs are ordered again together.")
    return replace(wanted, status=None, statuses=statuses)


def _require_consent(report: RetryReport, max_micros: int | None, confirm: int | bool) -> None:  # noqa: FBT001 - as it was sent
    details = {"count": report.count, "cost": usd(report.micros)}
    if max_micros is not None and report.micros > max_micros:
        raise MaxCostExceeded(
            f"The retries may cost {usd_text(report.micros)} USD, more than maxCost ({usd_text(max_micros)}); nothing was ordered",
            details={**details, "maxCost": usd(max_micros)},
        )
    is_number = not isinstance(confirm, bool)
    if (is_number and confirm != report.count) or (report.needs_count and not is_number):
        raise ConfirmationNeeded(
            f"These are {report.count} jobs for {usd_text(report.micros)} USD; to order them again send confirm: {report.count}",
            details=details,
        )


def _require_same(run: RetryRun, key: OrderKey) -> None:
    if run.fingerprint != key.fingerprint:
        raise IdempotencyMismatch("This Idempotency-Key was used for another request; use a new key")


def _refused(detail: str) -> InvalidRequest:
    return InvalidRequest(f"filter: {detail}", [FieldError("/filter", detail)])
