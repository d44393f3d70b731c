"""The operator's commands: `python -m app [COMMAND]`. Without a command it serves.

Exit codes: 0 done, 1 the ledger does not add up or a model is not what fal has, 2 the call or the settings are wrong, or fal or a store
does not answer.
"""

from __future__ import annotations

import click

from app.bootstrap import Services
from app.config import BadSettings
from app.domain.account import Account, Role
from app.domain.errors import GatewayError
from app.operator.budgets import budgets
from app.operator.costs import costs
from app.operator.keys import keys
from app.operator.registry import registry
from app.operator.running import settings, with_services
from registry.loader import RegistryError


def main() -> int:
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


cli.add_command(budgets)
cli.add_command(costs)
cli.add_command(keys)
cli.add_command(registry)


@cli.group()
def users() -> None:
    """Accounts of the web app's users."""


@users.command("set-role")
@click.argument("email")
@click.argument("role", type=click.Choice([role.value for role in Role]))
@with_services
def set_role(services: Services, email: str, role: str) -> None:
    """Make a user an administrator, or a plain user again. EMAIL may also be a user id."""
    services.accounts.set_role(_account_of(services, email).id, Role(role))
    click.echo(f"{email} is now: {role}")


@users.command("disable")
@click.argument("email")
@with_services
def disable_user(services: Services, email: str) -> None:
    """Shut a user out: no log-in, and its sessions are 401 at once. EMAIL may also be a user id."""
    services.accounts.set_disabled(_account_of(services, email).id, disabled=True)
    click.echo(f"{email} is disabled")


@users.command("enable")
@click.argument("email")
@with_services
def enable_user(services: Services, email: str) -> None:
    """Let a disabled user in again, sessions that have not expired too. EMAIL may also be a user id."""
    services.accounts.set_disabled(_account_of(services, email).id, disabled=False)
    click.echo(f"{email} is enabled")


def _account_of(services: Services, email: str) -> Account:
    return services.accounts.by_email(email) if "@" in email else services.accounts.account(email)


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
