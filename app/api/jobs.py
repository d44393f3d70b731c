"""Jobs: one, and lists of them."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request

from app.api import paging, schemas
from app.api.auth import caller
from app.api.context import services
from app.api.idempotency import marked, order_key_of
from app.api.limits import submits
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
    job = services().lifecycle.job(job_id, user_id=caller().sees)
    response = jsonify(job_view(job, services().storage))
    response.set_etag(f"{job.id}-{job.rev}", weak=True)
    return response.make_conditional(request)  # type: ignore[return-value]


@blueprint.post("/<job_id>/cancel")
@blueprint.response(200, schemas.JobAnswer)
@blueprint.alt_response(401, schema=schemas.ErrorAnswer)
@blueprint.alt_response(404, schema=schemas.ErrorAnswer)
@blueprint.alt_response(409, schema=schemas.ErrorAnswer)
def cancel_job(job_id: str) -> Response:
    """Cancel a job that has not finished. Nothing is charged for it, and pictures fal still makes for it are not kept."""
    job = services().lifecycle.cancel(job_id, user_id=caller().sees)
    return jsonify(job_view(job, services().storage))


@blueprint.post("/<job_id>/retry")
@submits
@blueprint.response(202, schemas.JobAnswer)
@blueprint.alt_response(401, schema=schemas.ErrorAnswer)
@blueprint.alt_response(404, schema=schemas.ErrorAnswer)
@blueprint.alt_response(409, schema=schemas.ErrorAnswer)
def retry_job(job_id: str) -> Response:
    """Order a finished job's images again, as a new job at today's price. Takes an Idempotency-Key."""
    accepted = services().lifecycle.retry(job_id, user_id=caller().sees, key=order_key_of({}))
    response = jsonify(job_view(accepted.job, services().storage))
    response.status_code = 202
    response.headers["Location"] = f"/api/jobs/{accepted.job.id}"
    return marked(response, replayed=accepted.replayed)


@blueprint.delete("/<job_id>")
@blueprint.response(204)
@blueprint.alt_response(401, schema=schemas.ErrorAnswer)
@blueprint.alt_response(404, schema=schemas.ErrorAnswer)
@blueprint.alt_response(409, schema=schemas.ErrorAnswer)
@blueprint.alt_response(410, schema=schemas.ErrorAnswer)
def delete_job(job_id: str) -> None:
    """Delete a finished job and its images for good. What it cost stays in the usage; the job answers 410 from then on."""
    services().lifecycle.delete(job_id, user_id=caller().sees)
