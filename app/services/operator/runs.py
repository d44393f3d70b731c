"""Long work that an operator starts, one of a kind at a time, in pieces that outlive whoever does them."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from attrs import define

from app.clients.fal.platform import FalPlatform
from app.clients.queue import TaskQueue
from app.domain import alert, clock
from app.domain.errors import AlreadyRunning, FieldError, InvalidRequest, ProviderError, QueueUnavailable
from app.domain.run import SILENT_AFTER, Run, RunKind, RunState
from app.services.catalog.registry_drift import find_drift
from app.services.deliveries.alerts import Alerts
from app.services.money.reconciliation import Finding, Reconciliation
from app.services.reports.spend import MAX_PERIOD, USUAL_PERIOD
from app.stores.runs import RunStore
from registry.loader import Registry

log = logging.getLogger(__name__)

#: A worker gives others their turn after so long; it is heard of more often.
PIECE_S, SAVE_EVERY_S = 60.0, 2.0
#: What is kept of a run's findings: those that differ most.
MAX_ROWS = 500
#: A pause in which nobody was heard of, after which the work is asked for anew.
ASK_AGAIN_AFTER = timedelta(seconds=90)


@define(eq=False, slots=False, kw_only=True)
class Runs:
    _runs: RunStore
    _queue: TaskQueue
    _reconciliation: Reconciliation
    _platform: FalPlatform
    _registry: Registry
    _alerts: Alerts
    _now: Callable[[], datetime] = clock.now
    _piece_s: float = PIECE_S
    _save_every_s: float = SAVE_EVERY_S

    def latest(self, kind: RunKind) -> Run | None:
        return self._runs.get(kind)

    def start(self, kind: RunKind, actor: str, *, since: datetime | None = None, until: datetime | None = None) -> Run:
        """Begin a run; workers do it. Raises AlreadyRunning, and InvalidRequest for a period that cannot be looked at."""
        now = self._now()
        if kind is RunKind.COSTS:
            since, until = _period(since, until, now)
        run = Run(id=kind, number=clock.new_id(), actor=actor, started_at=now, updated_at=now, since=since, until=until)
        if not self._runs.begin(run, silent_since=now - SILENT_AFTER):
            raise AlreadyRunning("It is being done already; look how far it is, and start it again when it has ended")
        self._ask_for(kind)
        return run

    def sweep(self) -> None:
        """Ask for runs to be gone on with whose worker died. May be repeated."""
        for kind in RunKind:
            run = self._runs.get(kind)
            if run and run.state is RunState.RUNNING and run.updated_at < self._now() - ASK_AGAIN_AFTER:
                self._ask_for(kind)

    def go_on(self, kind: RunKind) -> None:
        """Do a piece of a run, and ask for the next. Two who do the same piece find the same: one of them stops at its next save."""
        run = self._runs.get(kind)
        if run is None or run.state is not RunState.RUNNING:
            return
        try:
            self._advance(run)
        except ProviderError as exc:
            latest = self._runs.get(kind)
            if latest is not None and latest.number == run.number:
                self._runs.save(latest, replace(latest, state=RunState.FAILED, message=exc.message, updated_at=self._now()))

    def _advance(self, run: Run) -> None:
        steps = self._reconciled(run) if run.id is RunKind.COSTS else self._compared(run)
        began = saved = time.monotonic()
        after = run
        for after in steps:
            if time.monotonic() - saved < self._save_every_s:
                continue
            saved = time.monotonic()
            after = replace(after, updated_at=self._now())  # noqa: PLW2901 - what is saved is what the next save compares with
            if not self._runs.save(run, after):
                return
            run = after
            if saved - began > self._piece_s:
                self._ask_for(run.id)
                return
        self._end(run, after)

    def _end(self, before: Run, after: Run) -> None:
        done = replace(after, state=RunState.DONE, updated_at=self._now())
        if self._runs.save(before, done) and done.id is RunKind.COSTS and done.since and done.until:
            sums = Counter(done.sums)
            drift = alert.costs_drift(
                since=done.since,
                until=done.until,
                quoted=sums["quoted"],
                invoiced=sums["invoiced"],
                jobs=sums["invoicedJobs"],
                now=done.updated_at,
            )
            if drift:
                self._alerts.warn(drift)

    def _reconciled(self, run: Run) -> Iterator[Run]:
        """Yield the run after each page of jobs."""
        since, until = _period(run.since, run.until, self._now())
        total = run.total or self._reconciliation.count(since, until)
        for findings in self._reconciliation.pages(since, until, before_id=run.place):
            run = _counted(replace(run, total=max(total, run.done + len(findings))), findings)
            yield run

    def _compared(self, run: Run) -> Iterator[Run]:
        """Yield the run after each model, from the first on: a worker's death costs some calls that only read."""
        specs = list(self._registry)
        run = replace(run, done=0, total=len(specs), rows=())
        for drifts in find_drift(specs, self._platform, self._now()):
            rows = [{"model": one.model, "where": one.where, "ours": one.ours, "fals": one.fals} for one in drifts]
            run = replace(run, done=run.done + 1, rows=(*run.rows, *rows)[:MAX_ROWS])
            yield run

    def _ask_for(self, kind: RunKind) -> None:
        try:
            self._queue.enqueue_run(kind.value)
        except QueueUnavailable:
            log.warning("a run goes on a little later: the queue is away", extra={"run": kind.value})


def _period(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Return a period of orders; the last 30 days unless told otherwise. Raises InvalidRequest."""
    end = min(until or now, now)
    start = since or end - USUAL_PERIOD
    if start >= end:
        raise InvalidRequest("since: Must be earlier than until, and than now.", [FieldError("/since", "Must be earlier than until.")])
    if end - start > MAX_PERIOD:
        detail = f"A period has {MAX_PERIOD.days} days at most."
        raise InvalidRequest(f"since: {detail}", [FieldError("/since", detail)])
    return start, end


def _counted(run: Run, findings: list[Finding]) -> Run:
    sums = Counter(run.sums)
    rows = list(run.rows)
    for found in findings:
        sums.update(_sums_of(found))
        if found.missing or not found.agrees:
            rows.append(_row(found))
    rows.sort(key=lambda row: -abs(row["drift"] or 0))
    return replace(
        run,
        place=findings[-1].job.id,
        done=run.done + len(findings),
        sums=dict(sums),
        rows=tuple(rows[:MAX_ROWS]),
        left_out=run.left_out + max(0, len(rows) - MAX_ROWS),
    )


def _sums_of(found: Finding) -> dict[str, int]:
    sums = {"jobs": 1, "missing": int(bool(found.missing))}
    if found.invoiced is None:
        return sums
    return {**sums, "invoicedJobs": 1, "quoted": found.quoted, "invoiced": found.invoiced, "disagreeing": int(not found.agrees)}


def _row(found: Finding) -> dict[str, Any]:
    return {
        "jobId": found.job.id,
        "model": found.job.model,
        "endedAt": found.job.completed_at,
        "quoted": found.quoted,
        "units": found.units,
        "invoiced": found.invoiced,
        "drift": None if found.invoiced is None else found.invoiced - found.quoted,
        "missing": list(found.missing),
    }
