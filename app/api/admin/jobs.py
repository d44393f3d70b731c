"""Everybody's jobs, for administrators: found, looked into, canceled, ordered again, deleted."""

from __future__ import annotations

from typing import Any

from flask import Response

from app.api.http import examples, services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.exports import documented, exported
from app.api.http.ordering import HEADER, IDEMPOTENCY_KEY, order_key_of, replay_headers
from app.api.http.requests import ApiBlueprint
from app.api.jobs import filter_of, listed
from app.api.schemas import admin_jobs as schemas
from app.api.schemas.jobs import JobRow, JobsExportQuery, JobsQuery, job_rows
from app.domain.api_key import Scope
from app.domain.errors import FieldError, InvalidRequest
from app.domain.job import Job
from app.domain.pricing import limit_micros
from app.services.operator.jobs import JobFile
from app.services.operator.retries import RetryReport

blueprint = ApiBlueprint("admin-jobs", __name__, url_prefix="/api/admin/jobs", description="Everybody's jobs")


@blueprint.get("")
@needs(Scope.ADMIN)
@blueprint.arguments(JobsQuery, location="query")
@blueprint.response(200, schemas.AdminJobsAnswer)
@blueprint.errors(400, 401, 403)
def list_jobs(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List everybody's jobs, newest first (administrators), with the filters and the search of `GET /api/jobs`.

    Here `user:` also takes an address, and `key:` a key's name.
    """
    return listed(query)


@blueprint.get("/export")
@needs(Scope.ADMIN)
@blueprint.arguments(JobsExportQuery, location="query")
@blueprint.doc(responses=documented("The jobs, newest first."))
@blueprint.errors(400, 401, 403)
def export_jobs(query: dict[str, Any]) -> Response:
    """Export everybody's jobs that the filters leave, as `GET /api/jobs/export` does (administrators)."""
    rows = job_rows(services().history.all(filter_of(query)), services().links, query["format"])
    return exported("jobs", query["format"], rows, JobRow.keys())


@blueprint.post("/retry")
@needs(Scope.ADMIN)
@blueprint.doc(parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(schemas.RetriesBody, examples=examples.RETRIES)
@blueprint.response(200, schemas.RetriesAnswer)
@blueprint.errors(400, 401, 403)
def retry_jobs(body: dict[str, Any]) -> RetryReport:
    """Order failed jobs again, many at once (administrators): the first request says how many and for how much, and does nothing.

    With `confirm` they are ordered; above 50 `confirm` must be their number, at most 500 go together. What has been ordered again is left
    out, and whoever else does the same at the same time buys nothing twice. With an Idempotency-Key the same request again goes on where
    the first was cut off.
    """
    wanted = filter_of(body["filter"]) if body["filter"] is not None else [str(job_id) for job_id in body["ids"]]
    max_cost, confirm = body["max_cost"], body["confirm"]
    said = {name: _said(value) for name, value in (body["filter"] or {}).items() if value not in (None, False, ())}
    key = order_key_of({**body, "confirm": None})
    limit = None if max_cost is None else limit_micros(max_cost)
    return services().retries.retry(caller().actor, wanted, said, max_micros=limit, confirm=confirm, key=key)


def _said(value: Any) -> Any:
    """Return what a filter names as the log keeps it."""
    return value if isinstance(value, str | int | float | bool) else str(value)


@blueprint.get("/<job_id>")
@needs(Scope.ADMIN)
@blueprint.response(200, schemas.JobFileAnswer)
@blueprint.errors(401, 403, 404, 410)
def show_job(job_id: str) -> JobFile:
    """Show all that is known of a job (administrators): its timeline, each call to fal, the money, events, deliveries, retries."""
    return services().operator_jobs.file(job_id)


@blueprint.post("/<job_id>/cancel")
@needs(Scope.ADMIN)
@blueprint.response(200, schemas.AdminJobAnswer)
@blueprint.alt_response(202, schema=schemas.AdminJobAnswer, description="Asked for: fal is working on it, and its answer decides.")
@blueprint.errors(401, 403, 404, 409, 410)
def cancel_job(job_id: str) -> tuple[Job, int]:
    """Cancel anybody's job (administrators), as its user could."""
    job = services().operator_jobs.cancel(caller().actor, job_id)
    return job, 200 if job.is_terminal else 202


@blueprint.post("/<job_id>/retry")
@needs(Scope.ADMIN)
@blueprint.doc(parameters=[IDEMPOTENCY_KEY])
@blueprint.optional_body(schemas.AdminRetryBody, examples.ADMIN_RETRY)
@blueprint.response(202, schemas.AdminJobAnswer)
@blueprint.errors(400, 401, 402, 403, 404, 409, 410)
def retry_job(body: dict[str, Any], job_id: str) -> tuple[Job, int, dict[str, str]]:
    """Order anybody's finished job again (administrators). `GET /api/admin/jobs/{jobId}` says what it costs, and who pays.

    One whose retry is at work or completed answers with that: two who ask at once buy it once. With `again` it is ordered all the same,
    once for each Idempotency-Key.
    """
    key = order_key_of(body) if body["again"] else None
    if body["again"] and key is None:
        detail = "Must be sent where `again` is true."
        raise InvalidRequest(f"{HEADER}: {detail}", [FieldError(f"/{HEADER}", detail)])
    accepted = services().operator_jobs.retry(caller().actor, job_id, payer=body["payer"], key=key)
    return accepted.job, 202, {"Location": f"/api/jobs/{accepted.job.id}", **replay_headers(replayed=accepted.replayed)}


@blueprint.post("/<job_id>/refresh")
@needs(Scope.ADMIN)
@blueprint.response(200, schemas.RefreshAnswer)
@blueprint.errors(401, 403, 404, 410, 503)
def refresh_job(job_id: str) -> dict[str, Any]:
    """Ask fal at once how far a job is (administrators), and have fetched what has ended there."""
    asked = services().operator_jobs.refresh(caller().actor, job_id)
    return {"requests": asked, "job": services().job_actions.job(job_id, user_id=None)}


@blueprint.delete("/<job_id>")
@needs(Scope.ADMIN)
@blueprint.response(204)
@blueprint.errors(401, 403, 404, 409, 410)
def delete_job(job_id: str) -> None:
    """Delete anybody's finished job and its images for good (administrators). What it cost stays in the usage."""
    services().operator_jobs.delete(caller().actor, job_id)
