"""`python -m app status`, `failures` and `spend`: what the operator's page shows, for a terminal or a script."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from app.bootstrap import Services
from app.domain.clock import rfc3339
from app.domain.pricing import usd_text
from app.domain.spend import Figures, SpendBy
from app.domain.usage import Period
from app.operator.costs import DAY
from app.operator.running import console, with_services
from app.services.operator.warnings import warnings_of

SINCE = click.option("--since", type=DAY, help="First day (UTC); 30 days before --until unless given.")
UNTIL = click.option("--until", type=DAY, help="The day or moment (UTC) before which; now unless given.")
LIMIT = click.option("--limit", type=click.IntRange(1, 10_000), default=30, show_default=True, help="How many lines at most.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for scripts.")
#: What failures are grouped by, as callers and as the sums name it.
FAILURE_FIELDS = {"code": "code", "model": "model", "message": "shape"}


@click.command()
@with_services
def status(services: Services) -> None:
    """Say how the service is doing, and what needs you; exit 1 where something does."""
    now = services.status_now
    live, kept = now.live(), now.kept()
    warnings = warnings_of(live, kept, model_files=services.model_files.problem)
    in_flight = ", ".join(f"{count} {found.value}" for found, count in kept.in_flight.items()) if kept else "unknown"
    at_fal = ", ".join(f"{count} {state}" for state, count in live.fal_requests.items()) or "unknown"
    failed = ", ".join(f"{count} {code}" for code, count in kept.failed.items()) if kept else "unknown"
    lines = {
        "watcher": live.leader or "none",
        "jobs": in_flight,
        "at fal": f"{at_fal}{f', of {now.fal_limit} at a time' if now.fal_limit else ''}",
        **{queue.name: f"{queue.depth} tasks, the oldest waits {queue.oldest_s:.0f} s" for queue in live.queues},
        "webhooks": f"{live.webhooks_waiting} waiting, the oldest {live.webhooks_oldest_s:.0f} s",
        "failed, last hour": failed or "none",
        "charged today": f"{usd_text(kept.today.charged)}, {usd_text(kept.same_weekday.charged)} on this weekday a week ago"
        if kept
        else "unknown",
        "charged this month": f"{usd_text(kept.month.charged)}, paid {usd_text(kept.month.paid)}" if kept else "unknown",
    }
    for name, text in lines.items():
        click.echo(f"{name + ':':20} {text}")
    for warning in warnings:
        click.echo(f"\n{warning.what}\n  {warning.advice}\n  {warning.link}")
    if warnings:
        raise click.exceptions.Exit(1)


@click.command()
@click.option("--by", "names", multiple=True, type=click.Choice(list(FAILURE_FIELDS)), default=("code", "model"), show_default=True)
@SINCE
@UNTIL
@LIMIT
@AS_JSON
@with_services
def failures(
    services: Services, *, names: Sequence[str], since: datetime | None, until: datetime | None, limit: int, as_json: bool
) -> None:
    """List what failed, most frequent first, and what it cost you."""
    groups = services.spend.failures(_period(services, since, until), [FAILURE_FIELDS[name] for name in names])
    rows = [
        {
            **{name: getattr(group.kind, FAILURE_FIELDS[name]) for name in names},
            "count": group.count,
            "lost": usd_text(group.lost),
            "first": rfc3339(group.first),
            "last": rfc3339(group.last),
            "job": group.job_id,
        }
        for group in groups
    ]
    _show(rows[:limit], as_json=as_json)
    _left_out(len(rows) - limit, as_json=as_json)


@click.command()
@click.option("--by", type=click.Choice([by.value for by in SpendBy]), default=SpendBy.MODEL.value, show_default=True)
@SINCE
@UNTIL
@LIMIT
@AS_JSON
@with_services
def spend(services: Services, *, by: str, since: datetime | None, until: datetime | None, limit: int, as_json: bool) -> None:
    """List what was charged, what you paid fal and what it billed, by model, user, key, project or day."""
    report = services.spend.report(_period(services, since, until), SpendBy(by), limit=limit)
    rows = [{by: group.key or "(none)", **_figures(group.figures)} for group in report.groups]
    if not as_json:
        rows.append({by: "all", **_figures(report.totals)})
    _show(rows, as_json=as_json)
    _left_out(report.left_out, as_json=as_json)


def _period(services: Services, since: datetime | None, until: datetime | None) -> Period:
    return services.spend.period(*(moment.replace(tzinfo=UTC) if moment else None for moment in (since, until)))


def _figures(found: Figures) -> dict[str, Any]:
    money = {name: usd_text(getattr(found, name)) for name in ("charged", "paid", "margin", "billed", "drift", "lost")}
    return {"jobs": found.jobs, "failed": found.failed, "images": found.images, **money}


def _show(rows: Iterable[dict[str, Any]], *, as_json: bool) -> None:
    found = list(rows)
    if as_json:
        for row in found:
            click.echo(json.dumps(row, ensure_ascii=False))
    elif found:
        table = Table(*found[0])
        for row in found:
            # As Text: brackets in what users have named are no markup.
            table.add_row(*(Text(str(cell)) for cell in row.values()))
        console.print(table)
    else:
        click.echo("Nothing in this period")


def _left_out(count: int, *, as_json: bool) -> None:
    if count > 0:
        click.echo(f"{count} more; --limit shows more of them", err=as_json)
