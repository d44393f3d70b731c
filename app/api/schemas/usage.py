"""What usage is asked for by, and its answer."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer, Usd
from app.api.http.requests import BodySchema
from app.api.schemas.fields import user_id_field
from app.api.schemas.jobs import check_order, format_field, moment_field
from app.domain.usage import GroupBy


class _PeriodQuery(BodySchema):
    user_id = user_id_field(metadata={"description": "A signed-in user sees only its own; for a script, none means all users."})
    created_from = moment_field("from", "The UTC day of this time is the first; without it, 30 days before the end.")
    created_to = moment_field("to", "The days before this time; the one it falls into is included whole, unless it is its start.")

    @ma.validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        check_order(data)


class UsageQuery(_PeriodQuery):
    group_by = ma.fields.Enum(GroupBy, by_value=True, data_key="groupBy", load_default=GroupBy.MODEL)


class UsageExportQuery(_PeriodQuery):
    group_by = ma.fields.Enum(
        GroupBy,
        by_value=True,
        data_key="groupBy",
        load_default=None,
        metadata={"description": "Exports the groups of `/api/usage`; without it, a row for each day, user, model and status."},
    )
    format = format_field()


class TallyAnswer(Answer):
    jobs = ma.fields.Integer(metadata={"description": "Jobs that have ended, however they did."})
    images = ma.fields.Integer(metadata={"description": "Pictures delivered."})
    micros = Usd(data_key="cost", metadata={"description": "USD, what the user is charged."})


class _Named(Answer):
    key = ma.fields.String(metadata={"description": "The model, UTC day, status, user or project; an empty one is without project."})


class GroupAnswer(TallyAnswer, _Named):
    """A tally with its key, which stands first."""


class UsageAnswer(Answer):
    user_id = ma.fields.String(data_key="userId", allow_none=True, metadata={"description": "null where it is of all users."})
    totals = ma.fields.Nested(TallyAnswer)
    groups = ma.fields.List(ma.fields.Nested(GroupAnswer), metadata={"description": "Sorted by key."})


class OwnBudgetsQuery(BodySchema):
    user_id = user_id_field(metadata={"description": "A signed-in user may leave it out."})


class OwnBudgetAnswer(Answer):
    """A budget of the current UTC month."""

    scope = ma.fields.String(metadata={"description": "Whose it is: `user` or `key`."})
    monthly = Usd(attribute="limit_micros", metadata={"description": "USD."})
    spent = Usd(attribute="spent_micros", metadata={"description": "USD that finished jobs were charged."})
    held = Usd(attribute="held_micros", metadata={"description": "USD that running jobs may yet cost."})


class OwnBudgetsAnswer(Answer):
    budgets = ma.fields.List(ma.fields.Nested(OwnBudgetAnswer))


class UsageRowAnswer(Answer):
    """A row of the export."""

    day = ma.fields.Raw()
    user_id = ma.fields.Raw(data_key="userId")
    model = ma.fields.Raw()
    status = ma.fields.Raw()
    jobs = ma.fields.Raw(attribute="tally.jobs")
    images = ma.fields.Raw(attribute="tally.images")
    cost = Usd(attribute="tally.micros")
