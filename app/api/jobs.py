"""Jobs: one, and lists of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

from flask import Response, jsonify, request

from app.api.http import examples, paging, services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.exports import documented, exported
from app.api.http.hooks import hook_of
from app.api.http.limits import submits
from app.api.http.ordering import IDEMPOTENCY_KEY, count_accept, order_key_of, replay_headers
from app.api.http.requests import ApiBlueprint
from app.api.schemas import jobs as schemas
from app.domain import clock
from app.domain.api_key import Scope
from app.domain.job import Job
from app.domain.job_filter import JobFilter
from app.domain.job_search import refused
from app.domain.pricing import micros_of

blueprint = ApiBlueprint("jobs", __name__, url_prefix="/api/jobs", description="Jobs and their history")


@blueprint.get("")
@needs(Scope.READ)
@blueprint.arguments(schemas.JobsQuery, location="query")
@blueprint.response(200, schemas.JobsAnswer)
@blueprint.errors(400, 401, 403)
def list_jobs(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List jobs, newest first, page by page.

    Each filter narrows the list; all must hold. Where no index serves all of them (several at once, `operation`, `metadata.<key>`,
    `prompt`), a page looks at 1,000 jobs at most: it may then hold fewer than `limit`, even none, and still have a `next`.
    """
    return listed(query)


def listed(query: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a page of the jobs that a checked query leaves, with its headers."""
    wanted = filter_of(query)
    page = services().history.page(wanted, cursor=paging.position_of(query["cursor"], wanted), limit=query["limit"])
    cursor = paging.cursors_of(page, wanted)
    body: dict[str, Any] = {"jobs": page.jobs, "cursor": cursor}
    if query["count"]:
        total = services().history.total(wanted)
        body |= {"total": total.number, "total_is_exact": total.is_exact}
    return body, paging.links(cursor)


@blueprint.get("/export")
@needs(Scope.READ)
@blueprint.arguments(schemas.JobsExportQuery, location="query")
@blueprint.doc(responses=documented("The jobs, newest first: flat as CSV, as `GET /api/jobs/{jobId}` shows them as NDJSON."))
@blueprint.errors(400, 401, 403)
def export_jobs(query: dict[str, Any]) -> Response:
    """Export all jobs that the filters leave, however many, as CSV or NDJSON."""
    rows = schemas.job_rows(services().history.all(filter_of(query)), services().links, query["format"])
    return exported("jobs", query["format"], rows, schemas.JobRow.keys())


def filter_of(query: Mapping[str, Any]) -> JobFilter:
    """Return the filter of a checked query, narrowed to what the caller may see. Raises Forbidden, Unauthorized, InvalidRequest."""
    who = caller()
    named = {field.name: query[field.name] for field in fields(JobFilter) if field.name in query}
    typed = services().search.filters(query["q"], knows_people=who.is_administrator) if query["q"] is not None else {}
    if twice := [name for name, value in typed.items() if value and named.get(name)]:
        raise refused(f"It names what a parameter names, too: {', '.join(twice)}.")
    named |= typed
    users = named["user_id"]
    # Several users are those that an administrator's search means.
    whose = users if isinstance(users, tuple) else who.reads(users)
    is_troubled = query["attention"] or None
    return JobFilter(**{**named, "user_id": whose, "min_micros": _micros(query["min_cost"]), "troubled_at": is_troubled and clock.now()})


def _micros(cost: Decimal | None) -> int | None:
    """Return an amount that jobs may be asked to have cost at least; each has cost nothing at least."""
    return micros_of(cost) if cost else None


@blueprint.get("/<job_id>")
@needs(Scope.READ)
@blueprint.response(200, schemas.JobAnswer)
@blueprint.errors(401, 404)
def show_job(job_id: str) -> Response:
    """Show one job: its state, its images, what it cost, why it failed."""
    job = services().job_actions.job(job_id, user_id=caller().sees)
    response = jsonify(schemas.JobAnswer.of(job))
    # Links end: an answer that holds other ones is another answer.
    response.set_etag("-".join(filter(None, (job.id, str(job.rev), services().links.link_period()))), weak=True)
    return response.make_conditional(request)  # type: ignore[return-value]


@blueprint.patch("/<job_id>")
@needs(Scope.GENERATE)
@blueprint.arguments(schemas.NotesBody, examples=examples.NOTES)
@blueprint.response(200, schemas.JobAnswer)
@blueprint.errors(400, 401, 404, 410)
def note_job(body: dict[str, Any], job_id: str) -> Job:
    """Note that a job is a favorite, and its tags, at any time. What is left out stays; `tags` are all its tags from now on."""
    return services().job_actions.note(job_id, user_id=caller().owns, **body)


@blueprint.post("/<job_id>/cancel")
@needs(Scope.GENERATE)
@blueprint.response(200, schemas.JobAnswer)
@blueprint.alt_response(202, schema=schemas.JobAnswer, description="Asked for: fal is working on it, and its answer decides.")
@blueprint.errors(401, 404, 409)
def cancel_job(job_id: str) -> tuple[Job, int]:
    """Cancel a job that has not finished. What fal had not begun is canceled and free: 200.

    Where fal is working on it, fal is asked to stop: 202 with `cancelRequested`. The job then ends as fal ends it: canceled and free,
    or completed and charged for what was delivered. Its price stays held until then. Asking again is harmless.
    """
    job = services().job_actions.cancel(job_id, user_id=caller().owns)
    return job, 200 if job.is_terminal else 202


@blueprint.post("/<job_id>/retry")
@needs(Scope.GENERATE)
@submits
@blueprint.doc(parameters=[IDEMPOTENCY_KEY])
@blueprint.optional_body(schemas.RetryBody, examples.RETRY)
@blueprint.response(202, schemas.JobAnswer)
@blueprint.errors(401, 402, 404, 409)
def retry_job(body: dict[str, Any], job_id: str) -> tuple[Job, int, dict[str, str]]:
    """Order a finished job's images again, as a new job at today's price. Takes an Idempotency-Key."""
    who, key = caller(), order_key_of(body)
    payer: dict[str, Any] = {"caller_key": who.key_id, "limits": who.order_limits}
    accepted = services().job_actions.retry(job_id, user_id=who.owns, key=key, hook=hook_of(body), **payer)
    count_accept(accepted)
    job = replace(accepted.job, message=accepted.message(accepted.job.message))
    return job, 202, {"Location": f"/api/jobs/{job.id}", **replay_headers(replayed=accepted.replayed)}


@blueprint.delete("/<job_id>")
@needs(Scope.GENERATE)
@blueprint.response(204)
@blueprint.errors(401, 404, 409, 410)
def delete_job(job_id: str) -> None:
    """Delete a finished job and its images for good. What it cost stays in the usage; the job answers 410 from then on."""
    services().job_actions.delete(job_id, user_id=caller().owns)
