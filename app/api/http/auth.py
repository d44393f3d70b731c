"""Who calls: a script with a key, a signed-in user, or, where the operator allows it, anybody as a script."""

from __future__ import annotations

from dataclasses import dataclass

from flask import g, request

from app.api.http import services
from app.domain.account import Account, Session, Whose
from app.domain.api_key import NO_LIMITS, ApiKey, OrderLimits, Scope
from app.domain.audit import Actor
from app.domain.errors import FieldError, Forbidden, InvalidRequest, Unauthorized
from app.services.people.accounts import is_key
from app.services.people.sessions import Credential

NEED_USER = "Log in and send the token: Authorization: Bearer <token>"
NEED_ANY = "Send an API key (X-API-Key) or a token (Authorization: Bearer)"
#: How often the credentials of open connections are looked at, a few queries for each 500: half of what is promised, for a slow store.
CHECK_EVERY_S = 10.0


@dataclass(frozen=True)
class Caller:
    """A script may act for any user it names, or for those of its key; a user only for itself."""

    account: Account | None = None
    session: Session | None = None
    key: ApiKey | None = None

    @property
    def key_id(self) -> str | None:
        return self.key.id if self.key else None

    @property
    def credential(self) -> Credential | None:
        """Return what lets this caller in; None for anybody without a credential."""
        return self.session or self.key_id

    @property
    def is_administrator(self) -> bool:
        return (self.account is not None and self.account.is_administrator) or (
            self.key is not None and Scope.ADMIN in self.key.terms.scopes
        )

    @property
    def owns(self) -> Whose:
        """Whose things this caller may change."""
        if self.account:
            return self.account.id
        return self.key.terms.users or None if self.key else None

    @property
    def sees(self) -> Whose:
        """Whose things this caller may see: administrators see everybody's, and change them by the administrators' own calls."""
        return None if self.account and self.account.is_administrator else self.owns

    @property
    def identity(self) -> str:
        """Return whose idempotency keys and rate limits these are."""
        if self.account:
            return f"user:{self.account.id}"
        return f"key:{self.key_id}" if self.key else "anonymous"

    @property
    def actor(self) -> Actor:
        """Return who this is in the audit log."""
        if self.account:
            return Actor(self.identity, self.account.email)
        return Actor(self.identity, self.key.name if self.key else None)

    @property
    def orders_for(self) -> str:
        """Whose orders these are at the façades, where nobody names a user: the signed-in user's, the key's first user's, or its own."""
        if self.account:
            return self.account.id
        if self.key and self.key.terms.users:
            return self.key.terms.users[0]
        return self.identity

    @property
    def order_limits(self) -> OrderLimits:
        return self.key.terms.orders if self.key else NO_LIMITS

    def reads(self, user_id: str | None) -> Whose:
        """Return whose things a request reads: the named user's, or all that the caller sees. Raises Forbidden for another."""
        if self.sees is None:
            return user_id
        return self.sees if user_id is None else self.acts_for(user_id)

    def acts_for(self, user_id: str | None) -> str:
        """Return the user a request is for. Raises InvalidRequest where nobody tells, Forbidden where the caller may not act for it."""
        if self.account is not None:
            if user_id not in (None, self.account.id):
                raise Forbidden("userId must be your own, or left out")
            return self.account.id
        if user_id is None and self.key and self.key.terms.users:
            return self.key.terms.users[0]
        if user_id is None:
            detail = "Missing data for required field."
            raise InvalidRequest(f"userId: {detail}", [FieldError("/userId", detail)])
        if self.key:
            self.key.terms.require_user(user_id)
        return user_id

    def require_account(self) -> Account:
        """Return the signed-in user. Raises Unauthorized for scripts, too."""
        if self.account is None:
            raise Unauthorized(NEED_USER)
        return self.account

    def require_scope(self, scope: Scope) -> None:
        """Raise Forbidden where the caller lacks a scope; Unauthorized where it only has to say who it is."""
        if self.key:
            self.key.terms.require_scope(scope)
        elif scope is Scope.ADMIN and not self.require_account().is_administrator:
            raise Forbidden("This needs an administrator, or, where a key may call, one with the scope 'admin'")


def caller() -> Caller:
    """Return who makes this request. Raises Unauthorized, or Forbidden for a key that is not for this address."""
    if "caller" not in g:
        g.caller = identified(offered_key(), request.headers.get("Authorization"))
    return g.caller  # type: ignore[no-any-return]


def offered_key() -> str | None:
    """Return the API key that this request sends in a header of its own: ours, or that of Azure's clients."""
    return request.headers.get("X-API-Key") or request.headers.get("api-key")


def own_session() -> tuple[Account, Session]:
    """Return the user who makes this request, with the session it is made in. Raises Unauthorized."""
    who = caller()
    if who.account is None or who.session is None:
        raise Unauthorized(NEED_USER)
    return who.account, who.session


def signed_in() -> Account:
    """Return the user who makes this request. Raises Unauthorized for scripts, too: these routes need a user."""
    return caller().require_account()


def identified(api_key: str | None, authorization: str | None) -> Caller:
    """Return whom the credentials name. A bad credential is refused, never taken for none."""
    if api_key:
        return of_key(api_key.strip())
    if authorization:
        scheme, _, text = authorization.strip().partition(" ")
        if scheme.lower() not in ("bearer", "key") or not text.strip():
            raise Unauthorized(NEED_ANY)
        return of_bearer(text.strip() if scheme.lower() == "bearer" else _key_in(text.strip()))
    if services().settings.allow_anonymous:
        return Caller()
    raise Unauthorized(NEED_ANY)


def _key_in(text: str) -> str:
    """Return our key in what fal's clients send after `Key`: they may have put it together as `<id>:<secret>`."""
    return next((part for part in text.split(":") if is_key(part)), text)


def of_bearer(text: str) -> Caller:
    """Return whom a bearer text names: an API key or a user's token."""
    if is_key(text):
        return of_key(text)
    account, session = services().sessions.of(text)
    return Caller(account=account, session=session)


def of_key(text: str) -> Caller:
    key = services().accounts.key_of(text)
    key.terms.require_address(request.remote_addr)
    return Caller(key=key)
