"""Jobs beside fal's bill, for administrators."""

from __future__ import annotations

from typing import Any

from flask import Response

from app.api.http import examples, services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.exports import documented, exported
from app.api.http.requests import ApiBlueprint
from app.api.schemas import models as schemas
from app.domain.api_key import Scope
from app.domain.audit import Action
from app.domain.run import Run, RunKind

blueprint = ApiBlueprint("admin-costs", __name__, url_prefix="/api/admin/costs", description="Jobs beside fal's bill")


@blueprint.post("/reconcile")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.ReconcileBody, examples=examples.RECONCILE)
@blueprint.response(202, schemas.ReconciliationAnswer)
@blueprint.errors(400, 401, 403, 409)
def reconcile(body: dict[str, Any]) -> Run:
    """Have fal's bill read for the orders of a period, and their costs corrected by it (administrators).

    Workers do it, one at a time (409 `already_running`); `GET` of the same address tells how far it is and what differs. May be repeated:
    fal's events come minutes after a job, and corrections later.
    """
    asked = {name: moment for name, moment in body.items() if moment}
    with services().audit.record(caller().actor, Action.COSTS_RECONCILE, "costs", asked) as result:
        run = services().runs.start(RunKind.COSTS, caller().actor.id, **body)
        result["run"] = run.number
    return run


@blueprint.get("/reconcile")
@needs(Scope.ADMIN)
@blueprint.response(200, schemas.LatestReconciliationAnswer)
@blueprint.errors(401, 403)
def show_reconciliation() -> dict[str, Run | None]:
    """Show how far the latest reconciliation is, and where quote and bill differ (administrators)."""
    return {"run": services().runs.latest(RunKind.COSTS)}


@blueprint.get("/drift/export")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.DriftExportQuery, location="query")
@blueprint.doc(responses=documented("The jobs of the latest reconciliation that differ, those that differ most first."))
@blueprint.errors(400, 401, 403)
def export_drift(query: dict[str, Any]) -> Response:
    """Export where quote and bill differ, by the latest reconciliation, as CSV or NDJSON (administrators)."""
    run = services().runs.latest(RunKind.COSTS)
    rows = map(schemas.DriftRowAnswer.of, run.rows if run else ())
    return exported("drift", query["format"], rows, schemas.DriftRowAnswer.keys())
