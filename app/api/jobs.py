"""Jobs: one, and lists of them."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from app.api import paging, schemas
from app.api.auth import caller
from app.api.context import services
from app.api.requests import ApiBlueprint
from app.api.views import job_view
from app.stores.jobs import JobFilter

blueprint = ApiBlueprint("jobs", __name__, url_prefix="/api/jobs", description="Jobs and their history")


@blueprint.get("")
@blueprint.arguments(schemas.JobsQuery, location="query")
@blueprint.response(200, schemas.JobsAnswer)
@blueprint.alt_response(400, schema=schemas.ErrorAnswer)
@blueprint.alt_response(401, schema=schemas.ErrorAnswer)
def list_jobs(query: dict[str, Any]) -> Response:
    """List jobs, newest first, page by page."""
    limit, before_id, count = query.pop("limit"), paging.id_of(query.pop("cursor")), query.pop("count")
    seen = caller().sees
    wanted = JobFilter(**{**query, "user_id": caller().acts_for(query["user_id"]) if seen else query["user_id"]})
    page, cursor = paging.cut(services().generation.jobs(wanted, before_id=before_id, limit=limit + 1), limit)
    body: dict[str, Any] = {"jobs": [job_view(job, services().storage) for job in page], "cursor": cursor}
    if count:
        body["total"] = services().generation.count(wanted)
    return paging.with_link(jsonify(body), cursor)


@blueprint.get("/<job_id>")
@blueprint.response(200, schemas.JobAnswer)
@blueprint.alt_response(401, schema=schemas.ErrorAnswer)
@blueprint.alt_response(404, schema=schemas.ErrorAnswer)
def show_job(job_id: str) -> Response:
    """Show one job: its state, its images, what it cost, why it failed."""
    job = services().generation.job(job_id, user_id=caller().sees)
    return jsonify(job_view(job, services().storage))
