"""Who calls: a script with a key, a signed-in user, or, where the operator allows it, anybody as a script."""

from __future__ import annotations

from dataclasses import dataclass

from flask import g, request

from app.account import Account, Role
from app.api.context import services
from app.errors import FieldError, Forbidden, InvalidRequest, Unauthorized
from app.services.accounts import is_key

NEED_USER = "Log in and send the token: Authorization: Bearer <token>"
NEED_ANY = "Send an API key (X-API-Key) or a token (Authorization: Bearer)"


@dataclass(frozen=True)
class Caller:
    """A script may act for any user it names; a user only for itself."""

    account: Account | None = None
    key_id: str | None = None

    @property
    def sees(self) -> str | None:
        """The only user whose things this caller may see; None for all."""
        return self.account.id if self.account else None

    @property
    def scope(self) -> str:
        """Return whose idempotency keys and rate limits these are."""
        if self.account:
            return f"user:{self.account.id}"
        return f"key:{self.key_id}" if self.key_id else "anonymous"

    def reads(self, user_id: str | None) -> str | None:
        """Return whose things a request reads; None for everybody's. Raises Forbidden where a user names another."""
        return user_id if self.account is None else self.acts_for(user_id)

    def acts_for(self, user_id: str | None) -> str:
        """Return the user a request is for. Raises InvalidRequest where a script names none, Forbidden where a user names another."""
        if self.account is None:
            if user_id is None:
                detail = "Missing data for required field."
                raise InvalidRequest(f"userId: {detail}", [FieldError("/userId", detail)])
            return user_id
        if user_id not in (None, self.account.id):
            raise Forbidden("userId must be your own, or left out")
        return self.account.id


def caller() -> Caller:
    """Return who makes this request. Raises Unauthorized."""
    if "caller" not in g:
        g.caller = identified(request.headers.get("X-API-Key"), request.headers.get("Authorization"))
    return g.caller  # type: ignore[no-any-return]


def signed_in() -> Account:
    """Return the user who makes this request. Raises Unauthorized for scripts, too: these routes need a user."""
    account = caller().account
    if account is None:
        raise Unauthorized(NEED_USER)
    return account


def admin() -> Account:
    """Return the administrator who makes this request. Raises Unauthorized or Forbidden."""
    account = signed_in()
    if account.role is not Role.ADMIN:
        raise Forbidden("This needs an administrator")
    return account


def identified(api_key: str | None, authorization: str | None) -> Caller:
    """Return whom the credentials name. A bad credential is refused, never taken for none."""
    if api_key:
        return Caller(key_id=services().accounts.key_of(api_key.strip()).id)
    if authorization:
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized(NEED_ANY)
        return of_token(token.strip())
    if services().settings.allow_anonymous:
        return Caller()
    raise Unauthorized(NEED_ANY)


def of_token(token: str) -> Caller:
    """Return whom a bearer text names: an API key or a user's token."""
    if is_key(token):
        return Caller(key_id=services().accounts.key_of(token).id)
    return Caller(account=services().tokens.account_of(token))
