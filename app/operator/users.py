"""`python -m app users`: who there is and what they spend, who is an administrator or shut out, and whose data are deleted."""

from __future__ import annotations

import secrets
import sys
import time

import click
from rich.table import Table
from rich.text import Text

from app.bootstrap import Services
from app.domain.account import Role, UserFilter, UserSort
from app.domain.audit import Action
from app.domain.clock import rfc3339
from app.domain.credentials import MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS, normal_email, normal_password
from app.domain.pricing import usd
from app.operator.running import actor, console, with_services

PASSWORD_BYTES = 15

LOOK_S = 2.0


@click.group()
def users() -> None:
    """Accounts of the web app's users."""


@users.command("list")
@click.option("--search", "text", metavar="TEXT", help="A part of the address, or the whole id.")
@click.option("--sort", type=click.Choice([sort.value for sort in UserSort]), default=UserSort.NEWEST.value, show_default=True)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@with_services
def list_users(services: Services, text: str | None, sort: str, limit: int) -> None:
    """List users with balance and this month's spend; with --sort spend those, too, whom only scripts have named."""
    found, end = services.directory.users(UserFilter(text=text, sort=UserSort(sort)), after=None, limit=limit)
    table = Table("id", "address", "role", "tokens", "held", "this month (USD)", "created")
    for member in found:
        account = member.account
        role = ("disabled" if account.disabled else account.role.value) if account else "no account"
        cells = (member.id, (account and account.email) or "", role, str(member.balance.tokens), str(member.balance.held))
        created = rfc3339(account.created_at) if account else ""
        table.add_row(*(Text(cell) for cell in (*cells, f"{usd(member.month.charged):.2f}", created)))
    console.print(table)
    if end is not None:
        console.print(f"There are more; --limit shows more than {limit}")


@users.command("show")
@click.argument("name", metavar="EMAIL")
@with_services
def show_user(services: Services, name: str) -> None:
    """Show a user with the latest entries of its ledger. EMAIL may also be a user id."""
    member = services.directory.user(name)
    account, limit = member.account, member.budget
    lines = {
        "id": member.id,
        "address": (account and account.email) or "none",
        "role": (account.role.value + (", disabled" if account.disabled else "")) if account else "none: only scripts have named it",
        "tokens": f"{member.balance.tokens}, {member.balance.held} held",
        "this month": f"{member.month.jobs} jobs, {member.month.images} images, {usd(member.month.charged):.2f} USD",
        "budget": f"{usd(limit.limit_micros):.2f} USD a month, {usd(limit.room_micros):.2f} left" if limit else "none",
    }
    for title, value in lines.items():
        console.print(Text(f"{title}: {value}"), soft_wrap=True)
    table = Table("when", "entry", "balance", "held", "job", "notes")
    for entry in services.directory.entries(member.id):
        cells = (rfc3339(entry.at), entry.type.value, str(entry.balance), str(entry.held), entry.job_id or "", entry.notes or "")
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


@users.command("create")
@click.argument("email")
@click.option("--role", type=click.Choice([role.value for role in Role]), default=Role.USER.value, show_default=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input; without it one is made and printed.")
@with_services
def create_user(services: Services, email: str, role: str, *, password_stdin: bool) -> None:
    """Open an account, also while registration is closed. A password that is made is shown this once."""
    try:
        address = normal_email(email)
    except ValueError as exc:
        raise click.UsageError(f"Not a valid email address. {exc}") from exc
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else secrets.token_urlsafe(PASSWORD_BYTES)
    if not MIN_PASSWORD_CHARS <= len(normal_password(password)) <= MAX_PASSWORD_CHARS:
        raise click.UsageError(f"The password must have {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters")
    account = services.grants.create_user(actor(), address, password, role=Role(role))
    click.echo(f"{address} has the account {account.id}." + ("" if password_stdin else " Its password, not shown again:"), err=True)
    click.echo(account.id if password_stdin else password)


@users.command("topup")
@click.argument("name", metavar="EMAIL")
@click.argument("tokens", type=click.IntRange(1, 100_000_000))
@click.option("--key", required=True, help="Any text of your own: the same key again adds nothing.")
@click.option("--notes", help="What it is for; the user reads it.")
@with_services
def top_up(services: Services, name: str, tokens: int, key: str, notes: str | None) -> None:
    """Add tokens to a user's balance. EMAIL may also be a user id."""
    account = services.directory.account(name)
    _, replayed = services.grants.topup(actor(), account.id, tokens, key=key, notes=notes)
    balance = services.billing.balance(account.id).tokens
    click.echo(f"{name} has {balance} tokens" + ("; this key had been used before, nothing was added" if replayed else ""))


@users.command("set-role")
@click.argument("email")
@click.argument("role", type=click.Choice([role.value for role in Role]))
@with_services
def set_role(services: Services, email: str, role: str) -> None:
    """Make a user an administrator, or a plain user again. EMAIL may also be a user id."""
    services.grants.change_user(actor(), services.directory.account(email), role=Role(role), even_last=True)
    click.echo(f"{email} is now: {role}")


@users.command("disable")
@click.argument("email")
@with_services
def disable_user(services: Services, email: str) -> None:
    """Shut a user out: no log-in, and its sessions are 401 at once. EMAIL may also be a user id."""
    services.grants.change_user(actor(), services.directory.account(email), disabled=True, even_last=True)
    click.echo(f"{email} is disabled")


@users.command("enable")
@click.argument("email")
@with_services
def enable_user(services: Services, email: str) -> None:
    """Let a disabled user in again, sessions that have not expired too. EMAIL may also be a user id."""
    services.grants.change_user(actor(), services.directory.account(email), disabled=False)
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
    account = services.directory.account_of(user)
    return account.id if account else user
