"""What is spent, what fails and where it leads, for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from app.api.http import services
from app.api.http.access import needs
from app.api.http.exports import documented, exported
from app.api.http.requests import ApiBlueprint
from app.api.schemas import spend as schemas
from app.domain.api_key import Scope
from app.domain.spend import SpendBy
from app.domain.usage import Period
from app.services.operator.forecast import Forecast
from app.services.reports.spend import FailureGroup

blueprint = ApiBlueprint("admin-spend", __name__, url_prefix="/api/admin", description="What is spent and what fails")


@blueprint.get("/spend")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.SpendQuery, location="query")
@blueprint.response(200, schemas.SpendAnswer)
@blueprint.errors(400, 401, 403)
def show_spend(query: dict[str, Any]) -> dict[str, Any]:
    """Show what jobs that ended in a period were charged, cost and were billed, by day, model, user, key or project (administrators).

    A period is whole UTC days, the last 30 days by default, 731 at most. A job is counted within seconds of its end; what fal's bill
    corrects later moves the sums of the day on which the job ended.
    """
    by, each_day = _grouping(query)
    period = _period(query)
    report = services().spend.report(period, by, each_day=each_day, limit=query["limit"])
    return {**vars(period), **vars(report)}


@blueprint.get("/spend/export")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.SpendExportQuery, location="query")
@blueprint.doc(responses=documented("All groups, by day."))
@blueprint.errors(400, 401, 403)
def export_spend(query: dict[str, Any]) -> Response:
    """Export the same sums as CSV or NDJSON, every group of them (administrators)."""
    by, each_day = _grouping(query)
    report = services().spend.report(_period(query), by, each_day=each_day, limit=None)
    rows = map(schemas.SpendGroupAnswer.of, report.groups)
    return exported("spend", query["format"], rows, schemas.SpendGroupAnswer.keys())


@blueprint.get("/spend/forecast")
@needs(Scope.ADMIN)
@blueprint.response(200, schemas.ForecastAnswer)
@blueprint.errors(401, 403)
def show_forecast() -> Forecast:
    """Show where the month leads to, and which budgets will be used up before its end (administrators).

    The guess is plain: until the end of the month each day is as the average of the last seven whole days.
    """
    return services().forecasts.forecast()


@blueprint.get("/failures")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.FailuresQuery, location="query")
@blueprint.response(200, schemas.FailuresAnswer)
@blueprint.errors(400, 401, 403)
def show_failures(query: dict[str, Any]) -> dict[str, Any]:
    """Show the jobs that failed in a period by code, model and the shape of their message, and what they cost (administrators)."""
    period, groups = _failures(query)
    return {
        **vars(period),
        "count": sum(group.count for group in groups),
        "lost": sum(group.lost for group in groups),
        "groups": groups[: query["limit"]],
        "left_out": max(0, len(groups) - query["limit"]),
    }


@blueprint.get("/failures/export")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.FailuresExportQuery, location="query")
@blueprint.doc(responses=documented("All groups, most frequent first."))
@blueprint.errors(400, 401, 403)
def export_failures(query: dict[str, Any]) -> Response:
    """Export the same groups as CSV or NDJSON, all of them (administrators)."""
    rows = map(schemas.FailureGroupAnswer.of, _failures(query)[1])
    return exported("failures", query["format"], rows, schemas.FailureGroupAnswer.keys())


def _period(query: Mapping[str, Any]) -> Period:
    return services().spend.period(query["created_from"], query["created_to"])


def _grouping(query: Mapping[str, Any]) -> tuple[SpendBy, bool]:
    """Return by what, and whether for each day apart."""
    *day, by = query["group_by"].split(",")
    return SpendBy(by), bool(day)


def _failures(query: Mapping[str, Any]) -> tuple[Period, list[FailureGroup]]:
    period = _period(query)
    return period, services().spend.failures(period, [schemas.FAILURE_FIELDS[name] for name in query["group_by"].split(",")])
