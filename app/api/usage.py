"""Usage: what was made and charged, for one user or for all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import Response, jsonify

from app.api.http import services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.exports import documented, exported
from app.api.http.requests import ApiBlueprint
from app.api.schemas import usage as schemas
from app.api.schemas.images import ErrorAnswer
from app.domain.api_key import Scope
from app.domain.pricing import usd
from app.domain.usage import Tally

blueprint = ApiBlueprint("usage", __name__, url_prefix="/api/usage", description="Usage and what it costs")

GROUP_COLUMNS = ("key", "jobs", "images", "cost")
ROW_COLUMNS = ("day", "userId", "model", "status", "jobs", "images", "cost")


@blueprint.get("")
@needs(Scope.READ)
@blueprint.arguments(schemas.UsageQuery, location="query")
@blueprint.response(200, schemas.UsageAnswer)
@blueprint.alt_response(400, schema=ErrorAnswer)
@blueprint.alt_response(401, schema=ErrorAnswer)
@blueprint.alt_response(403, schema=ErrorAnswer)
def show_usage(query: dict[str, Any]) -> Response:
    """Show what a user, or everybody, has used in a period: jobs that ended in it, pictures delivered, USD charged.

    A period is whole UTC days, the last 30 days by default. A job counts for the day it ended on; one on its way does not count yet.
    """
    whose = caller().reads(query["user_id"])
    period = services().usage.period(query["created_from"], query["created_to"])
    report = services().usage.report(whose, period, query["group_by"])
    user_id = whose if isinstance(whose, str) else None
    return jsonify({"userId": user_id, "totals": _tally_view(report.totals), "groups": list(_group_views(report.groups))})


@blueprint.get("/export")
@needs(Scope.READ)
@blueprint.arguments(schemas.UsageExportQuery, location="query")
@blueprint.doc(responses=documented("The rows, oldest first."))
@blueprint.alt_response(400, schema=ErrorAnswer)
@blueprint.alt_response(401, schema=ErrorAnswer)
@blueprint.alt_response(403, schema=ErrorAnswer)
def export_usage(query: dict[str, Any]) -> Response:
    """Export the usage of a period as CSV or NDJSON: a row for each day, user, model and status, or the groups that `groupBy` names."""
    whose = caller().reads(query["user_id"])
    usage, period = services().usage, services().usage.period(query["created_from"], query["created_to"])
    if query["group_by"] is not None:
        groups = _group_views(usage.report(whose, period, query["group_by"]).groups)
        return exported("usage", query["format"], groups, GROUP_COLUMNS)
    rows = (
        {"day": row.day, "userId": row.user_id, "model": row.model, "status": row.status.value, **_tally_view(row.tally)}
        for row in usage.rows(whose, period)
    )
    return exported("usage", query["format"], rows, ROW_COLUMNS)


def _group_views(groups: Iterable[tuple[str, Tally]]) -> Iterable[dict[str, Any]]:
    return ({"key": key, **_tally_view(tally)} for key, tally in groups)


def _tally_view(tally: Tally) -> dict[str, Any]:
    return {"jobs": tally.jobs, "images": tally.images, "cost": usd(tally.micros)}
