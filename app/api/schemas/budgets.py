"""Bodies and answers of budgets."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer, Usd
from app.api.http.paging import CursorAnswer
from app.api.http.requests import BodySchema
from app.api.schemas.fields import no_nul

DEFAULT_LIMIT, MAX_LIMIT = 20, 100


def _name(key: str) -> ma.fields.String:
    return ma.fields.String(data_key=key, load_default=None, validate=[ma.validate.Length(1, 256), no_nul])


class BudgetQuery(BodySchema):
    """Exactly one of `userId` and `keyId`."""

    user_id = _name("userId")
    key_id = _name("keyId")

    @ma.validates_schema
    def _one_of(self, data: dict[str, Any], **_: Any) -> None:
        if (data.get("user_id") is None) == (data.get("key_id") is None):
            raise ma.ValidationError("Give either userId or keyId.", "userId")


class BudgetBody(BudgetQuery):
    monthly = ma.fields.Decimal(
        required=True,
        allow_nan=True,
        metadata={"description": "USD that may be spent in a UTC month; 6 decimals at most.", "example": 25.0},
    )


class BudgetsQuery(BodySchema):
    limit = ma.fields.Integer(load_default=DEFAULT_LIMIT, validate=ma.validate.Range(1, MAX_LIMIT))
    cursor = ma.fields.String(load_default=None, metadata={"description": "`cursor.next` of the page before."})


class BudgetAnswer(Answer):
    """With neither user nor key it is the budget of all together, which the service's settings set."""

    user_id = ma.fields.String(data_key="userId", allow_none=True)
    key_id = ma.fields.String(data_key="keyId", allow_none=True)
    monthly = Usd(attribute="limit_micros", metadata={"description": "USD."})
    spent = Usd(attribute="spent_micros", metadata={"description": "USD that finished jobs were charged in the current UTC month."})
    held = Usd(attribute="held_micros", metadata={"description": "USD that running jobs may yet cost."})


class BudgetsAnswer(Answer):
    budgets = ma.fields.List(ma.fields.Nested(BudgetAnswer))
    cursor = ma.fields.Nested(CursorAnswer)
