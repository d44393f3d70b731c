"""`python -m app budgets`: how much may be spent in a month for a user, or with an API key."""

from __future__ import annotations

import click
from rich.table import Table

from app.bootstrap import Services
from app.domain import budget
from app.domain.pricing import usd
from app.operator.running import FILLED, actor, console, with_services

whose_user = click.option("--user", "user_id", type=FILLED, metavar="USER_ID", help="The user whose budget it is.")
whose_key = click.option("--key", "key_id", type=FILLED, metavar="KEY_ID", help="The API key whose budget it is.")


@click.group()
def budgets() -> None:
    """Monthly budgets of users and API keys."""


@budgets.command("set")
@whose_user
@whose_key
@click.option("--monthly", required=True, metavar="USD", help="What may be spent in a UTC month, such as 25.00.")
@with_services
def set_budget(services: Services, user_id: str | None, key_id: str | None, monthly: str) -> None:
    """Set a budget, or change it. It counts from now on; below what is spent, it refuses new work until the next month."""
    found = services.grants.set_budget(actor(), _id_of(user_id, key_id), monthly)
    click.echo(f"{found.id} may spend {usd(found.limit_micros):.2f} USD a month; {usd(found.room_micros):.2f} are left")


@budgets.command("list")
@with_services
def list_budgets(services: Services) -> None:
    """List the budgets in force, with what is spent and held in the current month."""
    table = Table("budget", "monthly", "spent", "held", "left")
    for found in services.budgets.all():
        amounts = (found.limit_micros, found.spent_micros, found.held_micros, found.room_micros)
        table.add_row(found.id, *(f"{usd(micros):.2f}" for micros in amounts))
    console.print(table)


@budgets.command("remove")
@whose_user
@whose_key
@with_services
def remove_budget(services: Services, user_id: str | None, key_id: str | None) -> None:
    """Remove a budget: nothing limits its user or key any more."""
    budget_id = _id_of(user_id, key_id)
    services.grants.remove_budget(actor(), budget_id)
    click.echo(f"{budget_id} has no budget any more")


def _id_of(user_id: str | None, key_id: str | None) -> str:
    if bool(user_id) == bool(key_id):
        raise click.UsageError("Name either --user or --key")
    return budget.of_user(user_id) if user_id else budget.of_key(key_id or "")
