"""The operator's commands: `python -m app [COMMAND]`. Without a command it serves.

Exit codes: 0 done, 1 the ledger does not add up, 2 the call or the settings are wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from app.account import Role
from app.bootstrap import Services, build_services
from app.clock import rfc3339
from app.config import BadSettings, Settings, load_settings
from app.errors import GatewayError
from app.stores.database import ensure_indexes
from registry.loader import RegistryError

console = Console()


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


def _settings() -> Settings:
    return load_settings(os.environ)


def with_services(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the services as its first argument."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        services = build_services(_settings())
        ensure_indexes(services.database)
        return command(services, *args, **kwargs)

    return wrapper


@click.group(invoke_without_command=True)
@click.pass_context
def cli(context: click.Context) -> None:
    """Serve the gateway, or run one of the operator's commands."""
    if context.invoked_subcommand is None:
        from app.serving import serve  # noqa: PLC0415 - commands need no web server

        serve(_settings())


@cli.group()
def keys() -> None:
    """API keys for scripts and services."""


@keys.command("create")
@click.option("--name", required=True, help="What the key is for.")
@with_services
def create_key(services: Services, name: str) -> None:
    """Make a key. Its text is shown this once; only a hash of it is kept."""
    key, text = services.accounts.make_key(name)
    click.echo(f"Key {key.id} ({name}). Keep it now, it is not shown again:", err=True)
    click.echo(text)


@keys.command("list")
@with_services
def list_keys(services: Services) -> None:
    """List keys, revoked ones too."""
    table = Table("id", "name", "created", "revoked")
    for key in services.accounts.all_keys():
        table.add_row(key.id, key.name, rfc3339(key.created_at), rfc3339(key.revoked_at) if key.revoked_at else "")
    console.print(table)


@keys.command("revoke")
@click.argument("key_id")
@with_services
def revoke_key(services: Services, key_id: str) -> None:
    """Revoke a key at once and for good."""
    services.accounts.revoke_key(key_id)
    click.echo(f"Key {key_id} is revoked")


@cli.group()
def users() -> None:
    """Accounts of the web app's users."""


@users.command("set-role")
@click.argument("email")
@click.argument("role", type=click.Choice([role.value for role in Role]))
@with_services
def set_role(services: Services, email: str, role: str) -> None:
    """Make a user an administrator, or a plain user again. EMAIL may also be a user id."""
    account = services.accounts.by_email(email) if "@" in email else services.accounts.account(email)
    services.accounts.set_role(account.id, Role(role))
    click.echo(f"{email} is now: {role}")


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
