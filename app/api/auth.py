"""Who calls."""

from __future__ import annotations

from dataclasses import dataclass

from flask import g, request

from app.api.context import services
from app.errors import FieldError, Forbidden, InvalidRequest, Unauthorized


@dataclass(frozen=True)
class Caller:
    """A script may act for any user it names; a user only for itself."""

    user_id: str | None = None

    @property
    def sees(self) -> str | None:
        """The only user whose things this caller may see; None for all."""
        return self.user_id

    def acts_for(self, user_id: str | None) -> str:
        """Return the user a request is for. Raises InvalidRequest where a script names none, Forbidden where a user names another."""
        if self.user_id is None:
            if user_id is None:
                raise InvalidRequest(
                    "userId: Missing data for required field.",
                    [FieldError("/userId", "Missing data for required field.")],
                )
            return user_id
        if user_id not in (None, self.user_id):
            raise Forbidden("userId must be your own, or left out")
        return self.user_id


def caller() -> Caller:
    """Return who makes this request. Raises Unauthorized."""
    if "caller" not in g:
        g.caller = _identified()
    return g.caller  # type: ignore[no-any-return]


def _identified() -> Caller:
    if request.headers.get("Authorization") or request.headers.get("X-API-Key"):
        raise Unauthorized("This credential is not known")
    if services().settings.allow_anonymous:
        return Caller()
    raise Unauthorized("Send an API key (X-API-Key) or a token (Authorization: Bearer)")
