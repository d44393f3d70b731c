"""`python -m app costs …`: what fal really charged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from app.bootstrap import Services
from app.domain import alert, clock
from app.domain.audit import Action
from app.domain.clock import rfc3339
from app.operator.running import actor, console, with_services
from app.services.money.reconciliation import Finding

DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])
USUAL_RANGE = timedelta(days=30)


@click.group()
def costs() -> None:
    """What jobs cost you at fal."""


@costs.command("reconcile")
@click.option("--since", type=DAY, help="First day (UTC) on which the jobs were ordered; 30 days ago unless given.")
@click.option("--until", type=DAY, help="The day or moment (UTC) before which they were; now unless given.")
@with_services
def reconcile(services: Services, since: datetime | None, until: datetime | None) -> None:
    """Read fal's billing events, correct the jobs' actual cost, and show where quote, units and invoice disagree.

    May be repeated: fal's events come minutes after a job, and corrections later.
    """
    now = clock.now()
    end = until.replace(tzinfo=UTC) if until else now
    start = since.replace(tzinfo=UTC) if since else end - USUAL_RANGE
    if start >= end:
        raise click.UsageError("--since must be before --until")
    report = Report()
    reconciliation = services.reconciliation
    asked = {"since": start, "until": end}
    try:
        with (
            services.audit.record(actor(), Action.COSTS_RECONCILE, "costs", asked),
            Progress(console=Console(stderr=True), transient=True, disable=not console.is_terminal) as progress,
        ):
            task = progress.add_task("Jobs", total=reconciliation.count(start, end))
            for finding in reconciliation.compare(start, end):
                report.add(finding)
                progress.advance(task)
        report.is_whole = True
    finally:
        report.show(console)
    if drift := report.drift(start, end, now):
        services.alerts.warn(drift)


@dataclass
class Report:
    """Sums of a run, and the findings that are worth a line each."""

    is_whole: bool = False
    sums: Counter[str] = field(default_factory=Counter)
    differing: list[Finding] = field(default_factory=list)
    missing: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        self.sums["jobs"] += 1
        if finding.missing:
            self.missing.append(finding)
        if finding.invoiced is None:
            return
        self.sums["invoiced jobs"] += 1
        self.sums["quoted"] += finding.quoted
        self.sums["invoiced"] += finding.invoiced
        self.sums["units"] += finding.units or 0
        self.sums["without units"] += finding.units is None
        if not finding.agrees:
            self.differing.append(finding)

    def drift(self, since: datetime, until: datetime, now: datetime) -> alert.Alert | None:
        """Return the warning that the bill is another than was quoted, if it is."""
        sums = self.sums
        quoted, invoiced, jobs = sums["quoted"], sums["invoiced"], sums["invoiced jobs"]
        return alert.costs_drift(since=since, until=until, quoted=quoted, invoiced=invoiced, jobs=jobs, now=now)

    def show(self, out: Console) -> None:
        if self.differing:
            out.print(self._differences())
        if self.missing:
            out.print(self._without_events())
        sums = self.sums
        out.print(
            f"{sums['jobs']} ended jobs, {sums['invoiced jobs']} on fal's bill, {len(self.differing)} of those disagree; "
            f"{len(self.missing)} without their billing events",
            soft_wrap=True,
        )
        if not self.is_whole:
            out.print("Stopped before the end. What was corrected stays; run it again for the rest.", soft_wrap=True)

    def _differences(self) -> Table:
        sums = self.sums
        table = Table("job", "model", "ended", title="Where the figures disagree (USD)", show_footer=True)
        units = "" if sums["without units"] else _usd(sums["units"])
        footers = {"quote": _usd(sums["quoted"]), "units": units, "invoice": _usd(sums["invoiced"])}
        for name, footer in footers.items():
            table.add_column(name, justify="right", footer=footer)
        table.add_column("invoice - quote", justify="right", footer=_usd(sums["invoiced"] - sums["quoted"]))
        table.columns[0].footer = f"all {sums['invoiced jobs']} on the bill"
        for found in self.differing:
            billed = found.invoiced or 0
            figures = (found.quoted, found.units, billed, billed - found.quoted)
            ended = rfc3339(found.job.completed_at) if found.job.completed_at else ""
            table.add_row(found.job.id, found.job.model, ended, *map(_usd, figures))
        return table

    def _without_events(self) -> Table:
        table = Table("job", "model", "request at fal", title="Not on fal's bill, or not yet")
        for found in self.missing:
            table.add_row(found.job.id, found.job.model, "\n".join(found.missing))
        return table


def _usd(micros: int | None) -> str:
    return "unknown" if micros is None else f"{(Decimal(micros) / 1_000_000).normalize():f}"
