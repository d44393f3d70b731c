"""`python -m app keys`: API keys of scripts and services, as wide as the service or narrower."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from app.bootstrap import Services
from app.domain import budget
from app.domain.api_key import USUAL_SCOPES, ApiKey, KeyTerms, OrderLimits, Scope
from app.domain.budget import Budget
from app.domain.clock import rfc3339
from app.domain.pricing import usd
from app.operator.running import FILLED, actor, console, with_services

MAX_LISTED = 10_000
WHEN = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])


@click.group()
def keys() -> None:
    """API keys for scripts and services."""


@keys.command("create")
@click.option("--name", required=True, help="What the key is for.")
@click.option(
    "--user",
    "users",
    multiple=True,
    type=FILLED,
    metavar="USER_ID",
    help="Only for this userId; may be repeated. The first is the default.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="May be repeated; generate and read unless given.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    type=FILLED,
    metavar="NAME",
    help="Only this model, or those a glob such as 'flux-*' fits; may be repeated.",
)
@click.option("--expires-at", type=WHEN, metavar="TIME", help="When it ends, in UTC: 2027-01-31, or 2027-01-31T12:00:00Z.")
@click.option("--rate-per-minute", type=click.IntRange(min=1), metavar="N", help="How many requests it may make in a minute.")
@click.option("--monthly-budget", metavar="USD", help="What may be spent with it in a UTC month.")
@click.option("--max-cost-per-order", metavar="USD", help="What one order may cost; a batch counts as one.")
@click.option(
    "--ip-range", "ip_ranges", multiple=True, metavar="NETWORK", help="Only from 203.0.113.0/24, or one address; may be repeated."
)
@with_services
def create_key(services: Services, name: str, monthly_budget: str | None, **limits: Any) -> None:
    """Make a key. Its text is shown this once; only a hash of it is kept. What is not limited is as wide as the service."""
    if not name.strip():
        raise click.UsageError("--name: say what the key is for")
    key, text = services.grants.make_key(actor(), name, _terms(**limits), monthly_budget)
    click.echo(f"Key {key.id} ({name}). Keep it now, it is not shown again:", err=True)
    click.echo(text)


@keys.command("list")
@with_services
def list_keys(services: Services) -> None:
    """List keys with what limits them and what was charged this month, the newest first, revoked ones too."""
    table = Table("id", "name", "created", "last used", "ends", "this month (USD)", "limits")
    for entry in services.directory.keys(limit=MAX_LISTED)[0]:
        key = entry.key
        used = rfc3339(key.last_used_at) if key.last_used_at else ""
        cells = (key.id, key.name, rfc3339(key.created_at), used, _end(key), f"{usd(entry.month.charged):.2f}")
        # As Text: brackets in a name or a glob are no markup.
        table.add_row(*(Text(cell) for cell in (*cells, "\n".join(_limits(key, entry.budget)))))
    console.print(table)


@keys.command("show")
@click.argument("key_id")
@with_services
def show_key(services: Services, key_id: str) -> None:
    """Show a key: its limits, its last use, and what was charged this month."""
    entry = services.directory.key(key_id)
    key, month = entry.key, entry.month
    lines = [
        f"id: {key.id}",
        f"name: {key.name}",
        f"created: {rfc3339(key.created_at)}",
        f"last used: {rfc3339(key.last_used_at) if key.last_used_at else 'never'}",
        f"ends: {_end(key) or 'never'}",
        f"this month: {month.jobs} jobs, {month.images} images, {usd(month.charged):.2f} USD",
        *_limits(key, entry.budget),
    ]
    for line in lines:
        console.print(Text(line), soft_wrap=True)


@keys.command("revoke")
@click.argument("key_id")
@with_services
def revoke_key(services: Services, key_id: str) -> None:
    """Revoke a key at once and for good."""
    services.grants.revoke_key(actor(), key_id)
    click.echo(f"Key {key_id} is revoked")


def _terms(
    *,
    users: tuple[str, ...],
    scopes: tuple[str, ...],
    models: tuple[str, ...],
    expires_at: datetime | None,
    rate_per_minute: int | None,
    max_cost_per_order: str | None,
    ip_ranges: tuple[str, ...],
) -> KeyTerms:
    max_micros = None if max_cost_per_order is None else budget.limit_of(max_cost_per_order, field="max-cost-per-order")
    return KeyTerms(
        users=users,
        scopes=tuple(Scope(scope) for scope in dict.fromkeys(scopes)) or USUAL_SCOPES,
        expires_at=expires_at.replace(tzinfo=UTC) if expires_at else None,
        rate_per_minute=rate_per_minute,
        ip_ranges=ip_ranges,
        orders=OrderLimits(models=models, max_micros=max_micros),
    )


def _end(key: ApiKey) -> str:
    if key.revoked_at:
        return f"revoked {rfc3339(key.revoked_at)}"
    return rfc3339(key.terms.expires_at) if key.terms.expires_at else ""


def _limits(key: ApiKey, monthly: Budget | None) -> list[str]:
    """Return what makes the key narrower, a line each."""
    terms, orders = key.terms, key.terms.orders
    lines = [
        ("users", ", ".join(terms.users)),
        ("scopes", ", ".join(terms.scopes)),
        ("models", ", ".join(orders.models)),
        ("from", ", ".join(terms.ip_ranges)),
        ("requests a minute", str(terms.rate_per_minute or "")),
        ("USD an order", "" if orders.max_micros is None else f"{usd(orders.max_micros):g}"),
        ("USD a month", f"{usd(monthly.limit_micros):g}" if monthly else ""),
    ]
    return [f"{name}: {value}" for name, value in lines if value]
