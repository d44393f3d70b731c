"""`python -m app audit`: who changed what, and what came of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from app.bootstrap import Services
from app.domain.audit import Action, AuditFilter
from app.domain.clock import rfc3339
from app.operator.costs import DAY
from app.operator.running import console, with_services


@click.command()
@click.option("--actor", metavar="ACTOR", help="Only changes of user:ID, key:ID or cli:NAME.")
@click.option("--action", type=click.Choice([action.value for action in Action]), help="Only those.")
@click.option("--subject", metavar="SUBJECT", help="Only changes to user:ID, key:ID, job:ID and the like.")
@click.option("--since", type=DAY, help="The day or moment (UTC) from which on.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@with_services
def audit(services: Services, *, actor: str | None, action: str | None, subject: str | None, since: datetime | None, limit: int) -> None:
    """List what operators have changed, newest first, by the API, the pages or these commands."""
    wanted = AuditFilter(
        actor=actor,
        action=Action(action) if action else None,
        subject=subject,
        created_from=since.replace(tzinfo=UTC) if since else None,
    )
    table = Table("when", "who", "what", "whom", "asked for", "outcome")
    for entry in islice(services.audit.all(wanted), limit):
        who = f"{entry.actor_id}\n{entry.actor_name}" if entry.actor_name else entry.actor_id
        outcome = f"{entry.outcome.value if entry.outcome else 'not known'} {_json(entry.result)}"
        # As Text: brackets in a name are no markup.
        cells = (rfc3339(entry.at), who, entry.action.value, entry.subject, _json(entry.details), outcome.rstrip())
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


def _json(said: dict[str, Any]) -> str:
    return json.dumps(said, default=str, ensure_ascii=False) if said else ""
