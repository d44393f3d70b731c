"""`python -m app users`: who is an administrator, and who is shut out."""

from __future__ import annotations

import click

from app.bootstrap import Services
from app.domain.account import Account, Role
from app.operator.running import actor, with_services


@click.group()
def users() -> None:
    """Accounts of the web app's users."""


@users.command("set-role")
@click.argument("email")
@click.argument("role", type=click.Choice([role.value for role in Role]))
@with_services
def set_role(services: Services, email: str, role: str) -> None:
    """Make a user an administrator, or a plain user again. EMAIL may also be a user id."""
    services.grants.change_user(actor(), _account_of(services, email), role=Role(role), even_last=True)
    click.echo(f"{email} is now: {role}")


@users.command("disable")
@click.argument("email")
@with_services
def disable_user(services: Services, email: str) -> None:
    """Shut a user out: no log-in, and its sessions are 401 at once. EMAIL may also be a user id."""
    services.grants.change_user(actor(), _account_of(services, email), disabled=True, even_last=True)
    click.echo(f"{email} is disabled")


@users.command("enable")
@click.argument("email")
@with_services
def enable_user(services: Services, email: str) -> None:
    """Let a disabled user in again, sessions that have not expired too. EMAIL may also be a user id."""
    services.grants.change_user(actor(), _account_of(services, email), disabled=False)
    click.echo(f"{email} is enabled")


def _account_of(services: Services, email: str) -> Account:
    return services.accounts.by_email(email) if "@" in email else services.accounts.account(email)
