"""Bodies and answers of accounts and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer, shows
from app.api.http.auth import Caller
from app.api.http.paging import CursorAnswer, limit_field
from app.api.http.requests import BodySchema
from app.api.schemas.fields import no_nul
from app.domain.api_key import USUAL_SCOPES, Scope
from app.domain.credentials import MAX_EMAIL_CHARS, MAX_PASSWORD_CHARS, MAX_TYPED_CHARS, MIN_PASSWORD_CHARS, normal_email, normal_password
from app.domain.ledger import EntryType

#: With spaces around it, or spelled in ways that become shorter.
MAX_TYPED_EMAIL_CHARS = 320
MAX_TOPUP = 100_000_000


def _password(shortest: int = 1, **kwargs: Any) -> ma.fields.String:
    """Return the field of a password, whose length is that of its normal form."""

    def length(typed: str) -> None:
        chars = len(normal_password(typed)) if len(typed) <= MAX_TYPED_CHARS else len(typed)
        if not shortest <= chars <= MAX_PASSWORD_CHARS:
            raise ma.ValidationError(f"Length must be between {shortest} and {MAX_PASSWORD_CHARS}.")

    described = {"minLength": shortest, "maxLength": MAX_PASSWORD_CHARS}
    return ma.fields.String(required=True, load_only=True, validate=[no_nul, length], metadata=described, **kwargs)


class EmailField(ma.fields.String):
    """An address as it is kept."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        typed = super()._deserialize(value, attr, data, **kwargs)
        no_nul(typed)
        try:
            return normal_email(typed)
        except ValueError as exc:
            raise ma.ValidationError(f"Not a valid email address. {exc}") from exc


class RegisterBody(BodySchema):
    email = EmailField(required=True, metadata={"format": "email", "maxLength": MAX_EMAIL_CHARS})
    password = _password(MIN_PASSWORD_CHARS)


class LoginBody(BodySchema):
    email = ma.fields.String(load_default=None, validate=[ma.validate.Length(1, MAX_TYPED_EMAIL_CHARS), no_nul])
    username = ma.fields.String(load_default=None, validate=[ma.validate.Length(1, MAX_TYPED_EMAIL_CHARS), no_nul])
    password = _password()

    @ma.validates_schema
    def _one_name(self, data: dict[str, Any], **_: Any) -> None:
        if (data.get("email") is None) == (data.get("username") is None):
            raise ma.ValidationError("Give your email (as email or as username, not both).", "email")


class PasswordBody(BodySchema):
    current_password = _password(data_key="currentPassword")
    new_password = _password(MIN_PASSWORD_CHARS, data_key="newPassword")


class NothingAnswer(Answer):
    """An empty object."""


class UserAnswer(Answer):
    id = ma.fields.String()
    email = ma.fields.String(allow_none=True)
    role = ma.fields.String()
    tokens = ma.fields.Integer()
    created_at = ma.fields.AwareDateTime(data_key="createdAt")


class SessionAnswer(Answer):
    user = ma.fields.Nested(UserAnswer)
    token = ma.fields.String()


class MeAnswer(Answer):
    user = ma.fields.Nested(UserAnswer)


class OptionsAnswer(Answer):
    registration = ma.fields.String(metadata={"description": "`open` or `closed`: whether anybody may register."})
    anonymous = ma.fields.Boolean(attribute="allow_anonymous", metadata={"description": "Whether orders need no credential."})
    signup_tokens = ma.fields.Integer(data_key="signupTokens", metadata={"description": "Tokens of a new account."})
    tokens_per_usd = ma.fields.Integer(data_key="tokensPerUsd")


def _scopes(who: Caller) -> list[str]:
    """Return the scopes in the order in which they are told everywhere."""
    if who.key:
        return [scope.value for scope in who.key.terms.scopes]
    return [scope.value for scope in (*USUAL_SCOPES, *([Scope.ADMIN] if who.is_administrator else []))]


class CallerAnswer(Answer):
    kind = shows(
        ma.fields.String(metadata={"description": "`user`, `key` or `anonymous`."}),
        lambda who: "user" if who.account else "key" if who.key else "anonymous",
    )
    name = shows(
        ma.fields.String(allow_none=True, metadata={"description": "The user's email address, or the key's name."}),
        lambda who: who.account.email if who.account else who.key.name if who.key else None,
    )
    users = shows(
        ma.fields.List(ma.fields.String(), metadata={"description": "The only users it may act for, the usual one first; none: any."}),
        lambda who: [who.account.id] if who.account else list(who.key.terms.users) if who.key else [],
    )
    scopes = shows(ma.fields.List(ma.fields.String()), _scopes)


class BalanceAnswer(Answer):
    user_id = ma.fields.String(data_key="userId")
    balance = ma.fields.Integer(attribute="tokens", metadata={"description": "Tokens that can be spent."})
    held = ma.fields.Integer(metadata={"description": "Tokens of generations that are on their way."})


class HistoryQuery(BodySchema):
    type = ma.fields.Enum(EntryType, by_value=True, load_default=None)
    limit = limit_field()
    cursor = ma.fields.String(load_default=None)


class EntryAnswer(Answer):
    id = ma.fields.String()
    type = ma.fields.Enum(EntryType, by_value=True)
    amount = ma.fields.Integer(attribute="balance", metadata={"description": "What it did to the balance."})
    held = ma.fields.Integer(metadata={"description": "What it did to the held tokens."})
    job_id = ma.fields.String(data_key="jobId", allow_none=True)
    notes = ma.fields.String(allow_none=True)
    at = ma.fields.AwareDateTime(data_key="createdAt")


class HistoryAnswer(Answer):
    entries = ma.fields.List(ma.fields.Nested(EntryAnswer))
    cursor = ma.fields.Nested(CursorAnswer)


class TopupBody(BodySchema):
    user_id = ma.fields.String(data_key="userId", required=True, validate=[ma.validate.Length(1, 256), no_nul])
    amount = ma.fields.Integer(required=True, strict=True, validate=ma.validate.Range(1, MAX_TOPUP))
    notes = ma.fields.String(load_default=None, validate=[ma.validate.Length(max=500), no_nul])
    idempotency_key = ma.fields.String(data_key="idempotencyKey", load_default=None, validate=[ma.validate.Length(1, 255), no_nul])


class TopupAnswer(Answer):
    entry = ma.fields.Nested(EntryAnswer)
    balance = ma.fields.Integer()
