"""fal's queue: submit, status, result, cancel. A request is known by its id alone, whatever app stands before it in the path."""

from __future__ import annotations

from typing import Any

from flask import Response, g, jsonify, request

from app.api.fal import documents, outputs
from app.api.fal.documents import APP, blueprint, undocumented
from app.api.fal.errors import RequestNotFound, failure_of
from app.api.fal.links import request_links
from app.api.fal.orders import ordered
from app.api.http import services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.limits import submits
from app.api.http.ordering import replay_headers
from app.domain.api_key import Scope
from app.domain.clock import rfc3339
from app.domain.errors import Gone, NotFound
from app.domain.job import Job, JobStatus

ORDER_ERRORS = (400, 401, 403, 404, 413, 415, 422, 429, 500, 503)
REQUESTS = "/queue/<path:app>/requests/<request_id>"


@blueprint.post("/queue/<path:app>", parameters=[APP])
@needs(Scope.GENERATE)
@submits
@blueprint.doc(requestBody=documents.arguments({"prompt": "A red bicycle"}))
@blueprint.response(200, documents.FalSubmitAnswer)
@blueprint.errors(*ORDER_ERRORS)
def submit(app: str) -> Response:
    """Take an order and answer at once; the job is written down before."""
    accepted = ordered(app)
    job_id = accepted.job.id
    body: dict[str, Any] = {
        "status": "IN_QUEUE",
        "request_id": job_id,
        "queue_position": 0,
        **request_links(app, job_id),
        "logs": None,
        "metrics": {},
        "gateway_request_id": job_id,
    }
    response = jsonify(body)
    response.headers.extend(replay_headers(replayed=accepted.replayed))
    return response


@blueprint.get(f"{REQUESTS}/status", parameters=[APP])
@needs(Scope.READ)
@blueprint.response(200, documents.FalStatusAnswer)
@blueprint.alt_response(202, schema=documents.FalStatusAnswer, description="It has not ended.")
@blueprint.errors(401, 403, 404)
def status(app: str, request_id: str) -> Response:
    """Tell how far a request is. `logs=1` adds what happened until now."""
    job = job_of(request_id)
    response = jsonify(status_body(app, job, with_logs=_wants_logs()))
    response.status_code = 200 if job.is_terminal else 202
    return response


@blueprint.get(REQUESTS, parameters=[APP])
@needs(Scope.READ)
@blueprint.doc(responses=documents.answered(documents.JSON, documents.OUTPUT, "The model's output."))
@blueprint.errors(400, 401, 403, 404, 422, 499, 500, 504)
def result(app: str, request_id: str) -> Response:  # noqa: ARG001 - fal's path
    """Answer with a request's output. One that failed answers with fal's own status and words, one that goes on with 400."""
    return outputs.answer(job_of(request_id))


undocumented.add_url_rule(f"{REQUESTS}/response", "response", result)


@blueprint.put(f"{REQUESTS}/cancel", parameters=[APP])
@needs(Scope.GENERATE)
@blueprint.response(202, documents.FalCancelAnswer)
@blueprint.errors(400, 401, 403, 404)
def cancel(app: str, request_id: str) -> Response:  # noqa: ARG001 - fal's path
    """Cancel a request. Of one that fal is working on, fal's answer decides; only what is delivered is charged."""
    job = job_of(request_id)
    services().job_actions.cancel(job.id, user_id=caller().sees)
    response = jsonify({"status": "CANCELLATION_REQUESTED"})
    response.status_code = 202
    return response


def job_of(request_id: str) -> Job:
    """Return the caller's own job. Raises RequestNotFound, for a deleted one too."""
    try:
        job = services().job_actions.job(request_id, user_id=caller().sees)
    except (NotFound, Gone) as exc:
        raise RequestNotFound("Request not found") from exc
    g.fal_request_id = job.id
    return job


def status_body(app: str, job: Job, *, with_logs: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"status": _state(job), "request_id": job.id, **request_links(app, job.id)}
    if body["status"] == "IN_QUEUE":
        return body | {"queue_position": job.history[-1].queue_position or 0}
    logs = [{"message": e.message, "timestamp": rfc3339(e.at), "level": "INFO", "source": "USER"} for e in job.history]
    body["logs"] = logs if with_logs else None
    if job.is_terminal:
        body["metrics"] = {"inference_time": _seconds(job)}
    if job.is_terminal and job.status is not JobStatus.COMPLETED:
        body["error_type"], body["error"] = failure_of(job)
    return body


def _state(job: Job) -> str:
    if job.is_terminal:
        return "COMPLETED"
    waits = job.status is JobStatus.PENDING or job.history[-1].queue_position is not None
    return "IN_QUEUE" if waits else "IN_PROGRESS"


def _seconds(job: Job) -> float | None:
    begun = [r.submitted_at for r in job.requests if r.submitted_at]
    ended = [r.ended_at for r in job.requests if r.ended_at]
    return (max(ended) - min(begun)).total_seconds() if begun and ended else None


def _wants_logs() -> bool:
    return request.args.get("logs", "").lower() in ("1", "true")
