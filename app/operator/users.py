"""`python -m app users`: who is an administrator, who is shut out, and whose data are deleted."""

from __future__ import annotations

import contextlib
import time

import click

from app.bootstrap import Services
from app.domain.account import Account, Role
from app.domain.audit import Action
from app.domain.errors import NotFound
from app.operator.running import actor, with_services

LOOK_S = 2.0


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


@users.command("delete-data")
@click.argument("user")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_services
def delete_data(services: Services, user: str, *, yes: bool) -> None:
    """Delete all that is kept of a user, for good. USER is an email, or the id of a user with an account or of a script's."""
    user_id = _id_of(services, user)
    if not yes:
        click.confirm(f"Delete all pictures, jobs and uploads of {user}? They do not come back", abort=True, err=True)
    with services.audit.record(actor(), Action.USER_DATA_DELETE, f"user:{user_id}"):
        while not (progress := services.departures.erase(user_id)).is_done:
            click.echo(f"{progress.jobs_deleted} jobs deleted, {progress.jobs_left} left; what fal works on has to end first", err=True)
            time.sleep(LOOK_S)
    click.echo(f"All that was kept of {user} is deleted")


def _id_of(services: Services, user: str) -> str:
    """Return the user's id; a script may call its users by addresses as well."""
    with contextlib.suppress(NotFound):
        return services.accounts.by_email(user).id if "@" in user else user
    return user


def _account_of(services: Services, email: str) -> Account:
    return services.accounts.by_email(email) if "@" in email else services.accounts.account(email)
