"""What spend and failures are asked for by, and what is told of them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer, Usd
from app.api.http.requests import BodySchema
from app.api.schemas.jobs import check_order, format_field, moment_field
from app.api.schemas.status import SumsAnswer

MAX_GROUPS, USUAL_GROUPS = 1000, 100
#: What failures are grouped by, as callers and as the sums name it.
FAILURE_FIELDS = {"code": "code", "model": "model", "message": "shape"}


class _PeriodQuery(BodySchema):
    created_from = moment_field("from", "The UTC day of this time is the first; without it, 30 days before the end.")
    created_to = moment_field("to", "The days before this time; the one it falls into is included whole, unless it is its start.")

    @ma.validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        check_order(data)


def _group_field(pattern: str, usual: str, allowed: str) -> ma.fields.String:
    wanted = ma.validate.Regexp(rf"\A(?:{pattern})\Z", error=f"Must be {allowed}.")
    return ma.fields.String(data_key="groupBy", load_default=usual, validate=wanted, metadata={"description": f"{allowed}.".capitalize()})


class SpendExportQuery(_PeriodQuery):
    group_by = _group_field(
        "day|(?:day,)?(?:model|user|key|project)", "model", "day, model, user, key or project, the latter four also after `day,`"
    )
    format = format_field()


class SpendQuery(_PeriodQuery):
    group_by = _group_field(
        "day|(?:day,)?(?:model|user|key|project)", "model", "day, model, user, key or project, the latter four also after `day,`"
    )
    limit = ma.fields.Integer(
        load_default=USUAL_GROUPS,
        validate=ma.validate.Range(1, MAX_GROUPS),
        metadata={"description": "How many groups at most: those that were charged most."},
    )


_FAILURE_GROUPS = ("(?:code|model|message)(?:,(?:code|model|message)){0,2}", "code,model", "some of code, model and message, with commas")


class FailuresQuery(_PeriodQuery):
    group_by = _group_field(*_FAILURE_GROUPS)
    limit = ma.fields.Integer(load_default=USUAL_GROUPS, validate=ma.validate.Range(1, MAX_GROUPS))


class FailuresExportQuery(_PeriodQuery):
    group_by = _group_field(*_FAILURE_GROUPS)
    format = format_field()


class _PeriodAnswer(Answer):
    first = ma.fields.String(data_key="from", metadata={"description": "The first UTC day."})
    end = ma.fields.String(data_key="to", metadata={"description": "The UTC day after the last."})


class _Group(Answer):
    day = ma.fields.String(allow_none=True, metadata={"description": "The UTC day; null: all of them."})
    key = ma.fields.String(allow_none=True, metadata={"description": "The model, user, key or project; null: without one."})


class _Sums(Answer):
    """The sums of a group, beside what the group is."""

    jobs = ma.fields.Integer(attribute="figures.jobs")
    completed = ma.fields.Integer(attribute="figures.completed")
    failed = ma.fields.Integer(attribute="figures.failed")
    images = ma.fields.Integer(attribute="figures.images")
    charged = Usd(attribute="figures.charged")
    paid = Usd(attribute="figures.paid")
    lost = Usd(attribute="figures.lost")
    billed = Usd(attribute="figures.billed")
    billed_jobs = ma.fields.Integer(data_key="billedJobs", attribute="figures.billed_jobs")
    quoted = Usd(attribute="figures.quoted")
    margin = Usd(attribute="figures.margin")
    drift = Usd(attribute="figures.drift")


class SpendGroupAnswer(_Sums, _Group):
    """The group first, then its sums."""


class SpendAnswer(_PeriodAnswer):
    totals = ma.fields.Nested(SumsAnswer)
    groups = ma.fields.List(
        ma.fields.Nested(SpendGroupAnswer),
        metadata={"description": "By day, then those that were charged most."},
    )
    others = ma.fields.Nested(SumsAnswer, metadata={"description": "What the groups beyond `limit` come to."})
    left_out = ma.fields.Integer(data_key="leftOut", metadata={"description": "How many these are."})


class FailureGroupAnswer(Answer):
    code = ma.fields.String(attribute="kind.code", metadata={"description": "Empty where it is not grouped by; so are the next two."})
    model = ma.fields.String(attribute="kind.model")
    message = ma.fields.String(
        attribute="kind.shape", metadata={"description": "What the messages have in common: without numbers, ids, addresses, quotations."}
    )
    count = ma.fields.Integer()
    lost = Usd(metadata={"description": "USD that fal took for them."})
    first = ma.fields.AwareDateTime()
    last = ma.fields.AwareDateTime()
    job_id = ma.fields.UUID(data_key="jobId", metadata={"description": "The latest of them."})


class FailuresAnswer(_PeriodAnswer):
    count = ma.fields.Integer()
    lost = Usd()
    groups = ma.fields.List(ma.fields.Nested(FailureGroupAnswer), metadata={"description": "Most frequent first."})
    left_out = ma.fields.Integer(data_key="leftOut", metadata={"description": "How many groups are beyond `limit`."})


class OutlookAnswer(Answer):
    """USD."""

    spent = Usd(metadata={"description": "In this UTC month."})
    held = Usd(metadata={"description": "What running jobs may yet cost; of budgets only."})
    per_day = Usd(data_key="perDay", metadata={"description": "The average of the last seven whole days."})
    expected = Usd(metadata={"description": "spent + held + perDay for what is left of the month"})


class BudgetOutlookAnswer(OutlookAnswer):
    budget_id = ma.fields.String(data_key="budget", metadata={"description": "`user:<id>`, `key:<id>` or `global`."})
    limit = Usd()
    full_on = ma.fields.Date(
        data_key="fullOn", allow_none=True, metadata={"description": "The day it will be used up; null: not this month."}
    )


class ForecastAnswer(Answer):
    month = ma.fields.String()
    days_left = ma.fields.Float(data_key="daysLeft", metadata={"description": "Of the month, today's rest included."})
    charged = ma.fields.Nested(OutlookAnswer)
    paid = ma.fields.Nested(OutlookAnswer)
    budgets = ma.fields.List(
        ma.fields.Nested(BudgetOutlookAnswer),
        metadata={
            "description": "Those of the 100 users and keys that spend most, and the one of all; the ones that are used up soonest first."
        },
    )
