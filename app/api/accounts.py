"""Accounts: register, log in, who am I."""

from __future__ import annotations

from typing import Any

from app.api.http import services
from app.api.http.access import needs_caller, needs_user, open_to_all
from app.api.http.answers import envelope_of, enveloped
from app.api.http.auth import Caller, caller, own_session, signed_in
from app.api.http.limits import guesses_at, logins
from app.api.http.requests import ApiBlueprint
from app.api.schemas import accounts as schemas
from app.config import Settings
from app.domain.account import Account
from app.domain.api_key import Scope

blueprint = ApiBlueprint("auth", __name__, url_prefix="/api/auth", description="Accounts of the web app's users")


@blueprint.post("/register")
@open_to_all
@logins
@blueprint.arguments(schemas.RegisterBody, example={"email": "ada@example.com", "password": "correct horse battery staple"})
@blueprint.response(201, envelope_of(schemas.SessionAnswer))
@blueprint.errors(400, 403, 409)
def register(body: dict[str, Any]) -> dict[str, Any]:
    """Open an account, with its free tokens, where registration is open. An email can have one account, however it is spelled.

    A password has 8 to 128 characters and is not among those that are guessed first.
    """
    services().readiness.require()  # Without its unique index one email would get two accounts.
    account = services().accounts.register(body["email"], body["password"])
    return enveloped("Account created", _session(account))


@blueprint.post("/login")
@open_to_all
@logins
@blueprint.arguments(schemas.LoginBody, example={"email": "ada@example.com", "password": "correct horse battery staple"})
@blueprint.response(200, envelope_of(schemas.SessionAnswer))
@blueprint.errors(400, 401)
def login(body: dict[str, Any]) -> dict[str, Any]:
    """Return a token for an email (or `username`) and password. Tokens are good for seven days, unless the operator says otherwise."""
    name = body["email"] or body["username"]
    account = services().accounts.login(name, body["password"], guesses_at(name))
    return enveloped("Logged in", _session(account))


@blueprint.get("/options")
@open_to_all
@blueprint.response(200, schemas.OptionsAnswer)
def options() -> Settings:
    """Tell how people come in here: whether they may register, or order without any credential, and what a token is worth."""
    return services().settings


@blueprint.get("/caller")
@needs_caller
@blueprint.response(200, schemas.CallerAnswer)
@blueprint.errors(401, 403)
def who_calls() -> Caller:
    """Tell what the credential that is sent may do, whatever its kind; none is a kind, where the service allows it."""
    return caller()


@blueprint.get("/me")
@needs_user(Scope.READ)
@blueprint.response(200, envelope_of(schemas.MeAnswer))
@blueprint.errors(401)
def me() -> dict[str, Any]:
    """Show the account whose token is sent."""
    return enveloped("OK", {"user": signed_in()})


@blueprint.post("/logout")
@needs_user(Scope.READ)
@blueprint.response(200, envelope_of(schemas.NothingAnswer))
@blueprint.errors(401)
def logout() -> dict[str, Any]:
    """End the session whose token is sent: the token is good for nothing from now on, and its connections end within 30 seconds."""
    _, session = own_session()
    services().sessions.end(session)
    return enveloped("Logged out", {})


@blueprint.post("/logout-all")
@needs_user(Scope.READ)
@blueprint.response(200, envelope_of(schemas.NothingAnswer))
@blueprint.errors(401)
def logout_all() -> dict[str, Any]:
    """End all sessions of the account, this one too."""
    services().sessions.end_all(signed_in())
    return enveloped("Logged out everywhere", {})


@blueprint.post("/password")
@needs_user(Scope.READ)
@logins
@blueprint.arguments(
    schemas.PasswordBody, example={"currentPassword": "correct horse battery staple", "newPassword": "a lighthouse at dawn"}
)
@blueprint.response(200, envelope_of(schemas.NothingAnswer))
@blueprint.errors(400, 401)
def change_password(body: dict[str, Any]) -> dict[str, Any]:
    """Change the account's password. All its other sessions end; the one whose token is sent goes on."""
    account, session = own_session()
    guesses = guesses_at(account.email or account.id)
    services().sessions.change_password(account, session, body["current_password"], body["new_password"], guesses)
    return enveloped("Password changed", {})


def _session(account: Account) -> dict[str, Any]:
    return {"user": account, "token": services().bearer_tokens.issue(account)}
