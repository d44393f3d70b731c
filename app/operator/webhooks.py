"""`python -m app webhooks`: everybody's webhooks, what was sent, and to have it sent again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import click
from rich.table import Table

from app.bootstrap import Services
from app.domain.clock import rfc3339
from app.domain.delivery import DeliveryStatus
from app.domain.endpoint import Endpoint
from app.operator.costs import DAY
from app.operator.running import actor, console, with_services

PAGE = 100
endpoint = click.argument("endpoint_id", metavar="WEBHOOK")


@click.group()
def webhooks() -> None:
    """Webhooks of users, keys and the operator."""


@webhooks.command("list")
@click.option("--owner", metavar="OWNER", help="Only those of user:ID, key:ID or operator.")
@with_services
def list_webhooks(services: Services, owner: str | None) -> None:
    """List webhooks, newest first, and how many deliveries wait."""
    table = Table("webhook", "owner", "status", "url", "events", "failing since", "reason")
    for found in _all(services, owner):
        since = rfc3339(found.failing_since) if found.failing_since else ""
        cells = (found.owner, found.status.value, found.url, " ".join(found.events), since, found.disabled_reason or "")
        table.add_row(found.id, *cells)
    console.print(table)
    waiting, oldest = services.delivery_store.waiting()
    console.print(f"{waiting} deliveries wait" + (f", the oldest since {rfc3339(oldest)}" if oldest else ""))


@webhooks.command("deliveries")
@endpoint
@click.option("--status", type=click.Choice([status.value for status in DeliveryStatus]), help="Only those.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@with_services
def deliveries(services: Services, endpoint_id: str, status: str | None, limit: int) -> None:
    """List what was sent to a webhook, newest first."""
    table = Table("delivery", "event", "job", "status", "attempts", "last answer", "created", "next attempt")
    statuses = (DeliveryStatus(status),) if status else ()
    for found in services.operator_webhooks.deliveries(endpoint_id, statuses=statuses, limit=limit):
        last = found.attempts[-1] if found.attempts else None
        answer = str(last.status_code or last.error) if last else ""
        times = (rfc3339(found.created_at), rfc3339(found.next_at) if found.next_at else "")
        table.add_row(found.id, found.type, found.job_id or "", found.status.value, str(found.attempt_count), answer, *times)
    console.print(table)


@webhooks.command("redeliver")
@click.argument("delivery_id", metavar="DELIVERY")
@with_services
def redeliver(services: Services, delivery_id: str) -> None:
    """Send one delivery again, under the same id, after success too."""
    services.operator_webhooks.redeliver(actor(), delivery_id)
    click.echo(f"{delivery_id} is sent again")


@webhooks.command("recover")
@endpoint
@click.option("--since", type=DAY, required=True, help="The day or moment (UTC) from which on.")
@with_services
def recover(services: Services, endpoint_id: str, since: datetime) -> None:
    """Send again what was given up at a webhook, oldest first, each under the id it has."""
    count = services.operator_webhooks.recover(actor(), endpoint_id, since=since.replace(tzinfo=UTC))
    click.echo(f"{count} deliveries are sent again")


@webhooks.command("disable")
@endpoint
@with_services
def disable(services: Services, endpoint_id: str) -> None:
    """Send nothing more to a webhook until its owner enables it."""
    services.operator_webhooks.disable(actor(), endpoint_id)
    click.echo(f"{endpoint_id} is disabled")


def _all(services: Services, owner: str | None) -> Iterator[Endpoint]:
    last: str | None = None
    while page := services.endpoint_store.page((owner,) if owner else None, before_id=last, limit=PAGE):
        yield from page
        last = page[-1].id
