"""Usage: what was made and charged, for one user or for all."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response

from app.api.http import services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.exports import documented, exported
from app.api.http.requests import ApiBlueprint
from app.api.schemas import usage as schemas
from app.domain.api_key import Scope
from app.domain.budget import GLOBAL
from app.services.reports.usage import Report

blueprint = ApiBlueprint("usage", __name__, url_prefix="/api/usage", description="Usage and what it costs")


@blueprint.get("")
@needs(Scope.READ)
@blueprint.arguments(schemas.UsageQuery, location="query")
@blueprint.response(200, schemas.UsageAnswer)
@blueprint.errors(400, 401, 403)
def show_usage(query: dict[str, Any]) -> dict[str, Any]:
    """Show what a user, or everybody, has used in a period: jobs that ended in it, pictures delivered, USD charged.

    A period is whole UTC days, the last 30 days by default. A job counts for the day it ended on; one on its way does not count yet.
    """
    whose = caller().reads(query["user_id"])
    period = services().usage.period(query["created_from"], query["created_to"])
    report = services().usage.report(whose, period, query["group_by"])
    user_id = whose if isinstance(whose, str) else None
    return {"user_id": user_id, "totals": report.totals, "groups": groups_of(report)}


@blueprint.get("/budgets")
@needs(Scope.READ)
@blueprint.arguments(schemas.OwnBudgetsQuery, location="query")
@blueprint.response(200, schemas.OwnBudgetsAnswer)
@blueprint.errors(400, 401, 403)
def show_budgets(query: dict[str, Any]) -> dict[str, Any]:
    """Show the monthly budgets that limit a user's orders: the user's own and, for a script, its key's. None: nothing limits them."""
    who = caller()
    found = services().budgets.in_force(who.acts_for(query["user_id"]), who.key_id)
    return {"budgets": [each for each in found if each.scope != GLOBAL]}


@blueprint.get("/export")
@needs(Scope.READ)
@blueprint.arguments(schemas.UsageExportQuery, location="query")
@blueprint.doc(responses=documented("The rows, oldest first."))
@blueprint.errors(400, 401, 403)
def export_usage(query: dict[str, Any]) -> Response:
    """Export the usage of a period as CSV or NDJSON: a row for each day, user, model and status, or the groups that `groupBy` names."""
    whose = caller().reads(query["user_id"])
    usage, period = services().usage, services().usage.period(query["created_from"], query["created_to"])
    if query["group_by"] is not None:
        groups = groups_of(usage.report(whose, period, query["group_by"]))
        return exported("usage", query["format"], map(schemas.GroupAnswer.of, groups), schemas.GroupAnswer.keys())
    rows = map(schemas.UsageRowAnswer.of, usage.rows(whose, period))
    return exported("usage", query["format"], rows, schemas.UsageRowAnswer.keys())


def groups_of(report: Report) -> list[dict[str, Any]]:
    return [{"key": key, **asdict(tally)} for key, tally in report.groups]
