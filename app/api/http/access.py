"""What each route needs of its caller, stated at the route and checked here, before anything of the body is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask, current_app, request

from app.api.http.auth import caller
from app.api.http.limits import spend_request_of
from app.domain.api_key import Scope
from app.domain.errors import BeingDeleted

F = TypeVar("F", bound=Callable[..., Any])

#: Routes that libraries bring along: the API's own documents.
OPEN_ENDPOINTS = frozenset({"api-docs.openapi_json", "swagger_ui.show"})
ATTRIBUTE = "needed_access"
#: How `/openapi.json` tells of credentials.
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The token of a user who has logged in, or an API key."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}


@dataclass(frozen=True)
class Access:
    """`scope` None: a route for everybody, without any credential. `user`: only for somebody who has signed in.

    `any_scope`: for every caller; the view itself asks for the scope of what it is told to do. `departing`: also for a user whose data are
    being deleted.
    """

    scope: Scope | None
    user: bool = False
    any_scope: bool = False
    departing: bool = False

    @property
    def is_open(self) -> bool:
        return self.scope is None and not self.any_scope


def needs(scope: Scope) -> Callable[[F], F]:
    """Let callers in who have a scope: users have `generate` and `read`, administrators all, keys those they were made with."""
    return _stating(Access(scope))


def needs_user(scope: Scope) -> Callable[[F], F]:
    """Let signed-in users in, and nobody else."""
    return _stating(Access(scope, user=True))


def needs_caller(view: F) -> F:
    """Let every caller in; the view asks for scopes, each of its tools for another."""
    return _stating(Access(None, any_scope=True))(view)


def needs_caller_even_departing(view: F) -> F:
    """Let every caller in, also one whose data are being deleted."""
    return _stating(Access(None, any_scope=True, departing=True))(view)


def open_to_all(view: F) -> F:
    """Let everybody in; no credential is looked at."""
    return _stating(Access(None))(view)


def access_of(app: Flask, endpoint: str) -> Access | None:
    """Return what a route has stated; None where it has not."""
    if endpoint in OPEN_ENDPOINTS:
        return Access(None)
    found: Access | None = getattr(app.view_functions[endpoint], ATTRIBUTE, None)
    return found


def with_security(doc: dict[str, Any], info: dict[str, Any], *, app: Flask, **_: Any) -> dict[str, Any]:
    """Document which credentials an operation takes, as its view has stated; `{}` is none at all."""
    access: Access | None = info.get("access")
    if access is None or access.is_open:
        return doc
    ways: list[dict[str, list[str]]] = [{"bearer": []}]
    if not access.user:
        ways.append({"apiKey": []})
    if app.extensions["services"].settings.allow_anonymous and not access.user and access.scope is not Scope.ADMIN:
        ways.append({})
    return {**doc, "security": ways}


def init_app(app: Flask) -> None:
    app.before_request(_let_in)


def _let_in() -> None:
    """Raise Unauthorized or Forbidden for whom the route is not. What has stated nothing is for administrators."""
    if request.endpoint is None or request.method == "OPTIONS":
        return
    access = access_of(current_app, request.endpoint) or Access(Scope.ADMIN)
    if access.is_open:
        return
    who = caller()
    if access.user:
        who.require_account()
    if who.account and who.account.departing and not access.departing:
        raise BeingDeleted("This account is being deleted")
    if access.scope is not None:
        who.require_scope(access.scope)
    spend_request_of(who)


def _stating(access: Access) -> Callable[[F], F]:
    def stated(view: F) -> F:
        setattr(view, ATTRIBUTE, access)
        vars(view)["_apidoc"] = {**vars(view).get("_apidoc", {}), "access": access}  # Where flask-smorest reads what it documents.
        return view

    return stated
