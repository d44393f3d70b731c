"""The operator's commands: `python -m app [COMMAND]`. Without a command it serves.

Exit codes: 0 done; 1 the ledger does not add up, a model is not what fal has, or the doctor or the status has found something; 2 the call
or the settings are wrong, or fal or a store does not answer.
"""

from __future__ import annotations

import sys

import click

from app.bootstrap import Services
from app.config import BadSettings
from app.domain.errors import GatewayError
from app.operator import reports
from app.operator.audit import audit
from app.operator.budgets import budgets
from app.operator.costs import costs
from app.operator.doctor import doctor
from app.operator.keys import keys
from app.operator.registry import registry
from app.operator.running import settings, with_services
from app.operator.users import users
from app.operator.webhooks import webhooks
from registry.loader import RegistryError


def main() -> int:
    if not all(argument.isprintable() for argument in sys.argv):  # Bytes that are no text count as not printable.
        click.echo("The arguments have control characters, or are not UTF-8 text", err=True)
        return 2
    try:
        status = cli(standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        return 2
    except (BadSettings, RegistryError, GatewayError) as exc:
        click.echo(str(exc), err=True)
        return 2
    except click.Abort:
        return 130
    return status if isinstance(status, int) else 0  # click answers a command's Exit with its code, other commands with None.


@click.group(invoke_without_command=True)
@click.pass_context
def cli(context: click.Context) -> None:
    """Serve the gateway, or run one of the operator's commands."""
    if context.invoked_subcommand is None:
        from app.web.serving import serve  # noqa: PLC0415 - commands need no web server

        serve(settings())


cli.add_command(audit)
cli.add_command(budgets)
cli.add_command(costs)
cli.add_command(doctor)
cli.add_command(keys)
cli.add_command(registry)
cli.add_command(reports.status)
cli.add_command(reports.failures)
cli.add_command(reports.spend)
cli.add_command(users)
cli.add_command(webhooks)


@cli.group()
def ledger() -> None:
    """Users' tokens."""


@ledger.command("verify")
@with_services
def verify_ledger(services: Services) -> None:
    """Prove that every account's balance and holds equal the sums of its ledger entries."""
    checked, differences = services.billing.verify()
    for found in differences:
        click.echo(
            f"{found.user_id}: balance {found.balance}, entries say {found.entries_balance} "
            f"(difference {found.balance - found.entries_balance}); "
            f"held {found.held}, entries say {found.entries_held} (difference {found.held - found.entries_held})"
        )
    click.echo(f"{checked} accounts checked, {len(differences)} do not add up")
    if differences:
        raise click.exceptions.Exit(1)
