"""Users and keys as administrators see and change them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer, Usd, shows
from app.api.http.paging import CursorAnswer, cursor_field, limit_field
from app.api.http.requests import BodySchema
from app.api.schemas.accounts import EmailField, EntryAnswer, TopupBody
from app.api.schemas.budgets import BudgetAnswer
from app.api.schemas.fields import no_nul, text_field
from app.api.schemas.jobs import moment_field
from app.domain import clock
from app.domain.account import Role, UserSort
from app.domain.api_key import MAX_ITEMS, MAX_RATE_PER_MINUTE, MAX_TEXT_CHARS, Scope

MAX_Q_CHARS = 320
MAX_NAME_CHARS = 200


class UsersQuery(BodySchema):
    q = ma.fields.String(
        load_default=None,
        validate=[ma.validate.Length(1, MAX_Q_CHARS), no_nul],
        metadata={"description": "A part of the address, or the whole id; of users without an account, a part of the id."},
    )
    role = ma.fields.Enum(Role, by_value=True, load_default=None)
    disabled = ma.fields.Boolean(load_default=None)
    sort = ma.fields.Enum(
        UserSort,
        by_value=True,
        load_default=UserSort.NEWEST,
        metadata={"description": "`spend`: who was charged most this month, users without an account among them."},
    )
    limit = limit_field()
    cursor = cursor_field()


class MonthAnswer(Answer):
    """What was charged in the current UTC month."""

    jobs = ma.fields.Integer()
    images = ma.fields.Integer()
    charged = Usd(metadata={"description": "USD."})


class AdminUserAnswer(Answer):
    id = ma.fields.String()
    registered = shows(
        ma.fields.Boolean(metadata={"description": "false: only scripts have named it; there is no account."}),
        lambda member: member.account is not None,
    )
    email = shows(ma.fields.String(allow_none=True), lambda member: member.account and member.account.email)
    role = shows(ma.fields.Enum(Role, by_value=True, allow_none=True), lambda member: member.account and member.account.role)
    disabled = shows(ma.fields.Boolean(allow_none=True), lambda member: member.account and member.account.disabled)
    balance = ma.fields.Integer(attribute="balance.tokens", metadata={"description": "Tokens that can be spent."})
    held = ma.fields.Integer(attribute="balance.held", metadata={"description": "Tokens of generations on their way."})
    month = ma.fields.Nested(MonthAnswer)
    budget = ma.fields.Nested(BudgetAnswer, allow_none=True)
    created_at = shows(
        ma.fields.AwareDateTime(data_key="createdAt", allow_none=True), lambda member: member.account and member.account.created_at
    )


class AdminUsersAnswer(Answer):
    users = ma.fields.List(ma.fields.Nested(AdminUserAnswer))
    cursor = ma.fields.Nested(CursorAnswer)


class AdminUserFileAnswer(Answer):
    user = ma.fields.Nested(AdminUserAnswer)
    ledger = ma.fields.List(ma.fields.Nested(EntryAnswer), metadata={"description": "The latest entries, newest first."})


class UserChangeBody(BodySchema):
    role = ma.fields.Enum(Role, by_value=True, load_default=None)
    disabled = ma.fields.Boolean(load_default=None, truthy={True}, falsy={False})

    @ma.validates_schema
    def _something(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("role") is None and data.get("disabled") is None:
            raise ma.ValidationError("Give role, disabled, or both.", "role")


class UserCreateBody(BodySchema):
    email = EmailField(required=True, metadata={"format": "email"})
    role = ma.fields.Enum(Role, by_value=True, load_default=Role.USER)


class UserCreatedAnswer(Answer):
    user = ma.fields.Nested(AdminUserAnswer)
    password = ma.fields.String(metadata={"description": "Made here and shown this once; have it changed after the first log-in."})


class UserTopupBody(TopupBody):
    class Meta(BodySchema.Meta):  # noqa: D106 - marshmallow's place for options
        exclude = ("user_id",)


class UserTopupAnswer(Answer):
    entry = ma.fields.Nested(EntryAnswer)
    user_id = ma.fields.String(data_key="userId")
    balance = ma.fields.Integer()


# -- keys -----------------------------------------------------------------------------------------------------------------------------


def _texts(key: str, description: str) -> ma.fields.List[str]:
    inner = ma.fields.String(validate=[ma.validate.Length(1, MAX_TEXT_CHARS), no_nul])
    return ma.fields.List(inner, data_key=key, validate=ma.validate.Length(max=MAX_ITEMS), metadata={"description": description})


class KeyChangeBody(BodySchema):
    """What is left out stays; null, or an empty list, is no limit any more."""

    name = ma.fields.String(validate=[ma.validate.Length(1, MAX_NAME_CHARS), no_nul])
    users = _texts("users", "The only users it may name; the first is the default.")
    scopes = ma.fields.List(ma.fields.Enum(Scope, by_value=True), validate=ma.validate.Length(1, len(Scope)))
    models = _texts("models", "Names, or globs such as `flux-*`.")
    ip_ranges = _texts("ipRanges", "Networks such as 203.0.113.0/24.")
    rate_per_minute = ma.fields.Integer(
        data_key="ratePerMinute", strict=True, allow_none=True, validate=ma.validate.Range(1, MAX_RATE_PER_MINUTE)
    )
    monthly_budget = ma.fields.Decimal(data_key="monthlyBudget", allow_none=True, metadata={"description": "USD in a UTC month."})
    max_cost_per_order = ma.fields.Decimal(
        data_key="maxCostPerOrder", allow_none=True, metadata={"description": "USD; a batch counts as one order."}
    )
    expires_at = moment_field("expiresAt", "When it ends.", load_default=ma.missing, allow_none=True)


class KeyCreateBody(KeyChangeBody):
    name = ma.fields.String(required=True, validate=[ma.validate.Length(1, MAX_NAME_CHARS), no_nul])


class AdminKeyAnswer(Answer):
    id = ma.fields.String(attribute="key.id")
    name = ma.fields.String(attribute="key.name")
    live = shows(ma.fields.Boolean(metadata={"description": "false: revoked, or expired."}), lambda entry: entry.key.is_live(clock.now()))
    users = shows(ma.fields.List(ma.fields.String()), lambda entry: list(entry.key.terms.users))
    scopes = shows(ma.fields.List(ma.fields.String()), lambda entry: list(entry.key.terms.scopes))
    models = shows(ma.fields.List(ma.fields.String()), lambda entry: list(entry.key.terms.orders.models))
    ip_ranges = shows(ma.fields.List(ma.fields.String(), data_key="ipRanges"), lambda entry: list(entry.key.terms.ip_ranges))
    rate_per_minute = ma.fields.Integer(attribute="key.terms.rate_per_minute", data_key="ratePerMinute", allow_none=True)
    max_cost = Usd(attribute="key.terms.orders.max_micros", data_key="maxCostPerOrder", allow_none=True)
    expires_at = ma.fields.AwareDateTime(attribute="key.terms.expires_at", data_key="expiresAt", allow_none=True)
    revoked_at = ma.fields.AwareDateTime(attribute="key.revoked_at", data_key="revokedAt", allow_none=True)
    last_used_at = ma.fields.AwareDateTime(attribute="key.last_used_at", data_key="lastUsedAt", allow_none=True)
    created_at = ma.fields.AwareDateTime(attribute="key.created_at", data_key="createdAt")
    month = ma.fields.Nested(MonthAnswer)
    budget = ma.fields.Nested(BudgetAnswer, allow_none=True)


class AdminKeysAnswer(Answer):
    found = ma.fields.List(ma.fields.Nested(AdminKeyAnswer), data_key="keys")
    cursor = ma.fields.Nested(CursorAnswer)


class KeyCreatedAnswer(Answer):
    key = ma.fields.Nested(AdminKeyAnswer)
    text = ma.fields.String(metadata={"description": "The key itself, shown this once."})


class KeysQuery(BodySchema):
    q = text_field("q", MAX_NAME_CHARS)
    live = ma.fields.Boolean(load_default=None, metadata={"description": "Those that let somebody in, or the others."})
    limit = limit_field()
    cursor = cursor_field()
