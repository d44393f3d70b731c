"""fal's queue: submit, status, result, cancel. A request is known by its id alone, whatever app stands before it in the path."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Iterator
from typing import Any

from flask import Response, g, jsonify, request

from app.api.fal import documents, outputs
from app.api.fal.documents import APP, blueprint, undocumented
from app.api.fal.errors import RequestNotFound
from app.api.fal.links import request_links
from app.api.fal.orders import ordered
from app.api.http import services
from app.api.http.access import needs
from app.api.http.auth import Caller, caller
from app.api.http.deferred import Deferred
from app.api.http.limits import counted_wait, hold_stream, submits
from app.api.http.ordering import replay_headers
from app.api.streams import CONTENT_TYPE, STILL_HERE, event_stream, followed
from app.bootstrap import Services
from app.domain.account import Whose
from app.domain.api_key import Scope
from app.domain.clock import rfc3339
from app.domain.errors import Gone, NotFound
from app.domain.fal_answer import failure_of
from app.domain.job import Job, JobStatus
from app.stores.jobs import Glimpse

ORDER_ERRORS = (400, 401, 403, 404, 413, 415, 422, 429, 500, 503)
HELD_S = 0.9
#: A part of it is left to chance: polls that begin together, as those of one script do, would else be answered together for ever.
LEAST_HELD_S = 0.6
REQUESTS = "/queue/<path:app>/requests/<request_id>"


@blueprint.post("/queue/<path:app>", parameters=[APP])
@needs(Scope.GENERATE)
@submits
@blueprint.doc(requestBody=documents.arguments({"prompt": "A red bicycle"}))
@blueprint.response(200, documents.FalSubmitAnswer)
@blueprint.errors(*ORDER_ERRORS)
def submit(app: str) -> Response:
    """Take an order and answer at once; the job is written down before."""
    accepted = ordered(app, passes_timeout=True)
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
@blueprint.errors(401, 403, 404, 429, 503)
def status(app: str, request_id: str) -> Response:
    """Tell how far a request is. `logs=1` adds what happened until now.

    The answer waits for the request's end, 0.9 seconds at most: fal's clients ask again at once, ten times a second.
    """
    found, sees, with_logs = services(), caller().sees, _wants_logs()

    def read() -> Glimpse:
        return _glimpse(found, request_id, sees, with_logs=with_logs)

    def wait(held_s: float) -> Glimpse:
        return found.waiters.glance(request_id, read, is_last=lambda seen: seen.status.is_terminal, held_s=held_s)

    held_s = random.uniform(LEAST_HELD_S, HELD_S)  # noqa: S311 - spreads the polls, guards nothing
    return Deferred(counted_wait(wait, held_s), functools.partial(_status_answer, app, with_logs=with_logs))


def _status_answer(app: str, seen: Glimpse, *, with_logs: bool) -> Response:
    g.fal_request_id = seen.id
    response = jsonify(status_body(seen, request_links(app, seen.id), with_logs=with_logs))
    response.status_code = 200 if seen.status.is_terminal else 202
    return response


@blueprint.get(f"{REQUESTS}/status/stream", parameters=[APP])
@needs(Scope.READ)
@blueprint.doc(responses=documents.answered(CONTENT_TYPE, {"type": "string"}, "The states, one after each change."))
@blueprint.errors(401, 403, 404, 429, 503)
def status_stream(app: str, request_id: str) -> Response:
    """Stream a request's state after each of its changes, until it has ended."""
    hold_stream()
    job, with_logs = job_of(request_id), _wants_logs()
    return event_stream(_states(services(), job, request_links(app, job.id), caller(), with_logs=with_logs))


def _states(found: Services, job: Job, links: dict[str, str], who: Caller, *, with_logs: bool) -> Iterator[str]:
    for current in followed(found, job, who.credential):
        if current is None:
            yield STILL_HERE
            continue
        seen = _glimpse(found, job.id, who.sees, with_logs=with_logs)
        yield f"data: {json.dumps(status_body(seen, links, with_logs=with_logs))}\n\n"
        if seen.status.is_terminal:
            return


def _glimpse(found: Services, request_id: str, sees: Whose, *, with_logs: bool) -> Glimpse:
    try:
        return found.job_actions.glimpse(request_id, user_id=sees, with_history=with_logs)
    except NotFound as exc:
        raise RequestNotFound("Request not found") from exc


@blueprint.get(REQUESTS, parameters=[APP])
@needs(Scope.READ)
@blueprint.doc(responses=documents.answered(documents.JSON, documents.OUTPUT, "The model's output."))
@blueprint.errors(400, 401, 403, 404, 422, 429, 499, 500, 503, 504)
def result(app: str, request_id: str) -> Response:  # noqa: ARG001 - fal's path
    """Answer with a request's output. One that failed answers with fal's own status and words, one that goes on with 400."""
    return outputs.answer(job_of(request_id))


undocumented.add_url_rule(f"{REQUESTS}/response", "response", result)


@blueprint.put(f"{REQUESTS}/cancel", parameters=[APP])
@needs(Scope.GENERATE)
@blueprint.response(202, documents.FalCancelAnswer)
@blueprint.errors(400, 401, 403, 404, 429, 500)
def cancel(app: str, request_id: str) -> Response:  # noqa: ARG001 - fal's path
    """Cancel a request. Of one that fal is working on, fal's answer decides; only what is delivered is charged."""
    job = job_of(request_id)
    services().job_actions.cancel(job.id, user_id=caller().owns)
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


def status_body(seen: Glimpse, links: dict[str, str], *, with_logs: bool) -> dict[str, Any]:
    """Return a state in fal's words: it knows three, and a request that failed is COMPLETED, too."""
    body: dict[str, Any] = {"status": _state(seen), "request_id": seen.id, **links}
    if body["status"] == "IN_QUEUE":
        return body | {"queue_position": seen.queue_position or 0}
    logs = [{"message": e.message, "timestamp": rfc3339(e.at), "level": "INFO", "source": "USER"} for e in seen.history]
    body["logs"] = logs if with_logs else None
    if seen.status.is_terminal:
        body["metrics"] = {"inference_time": seen.seconds_at_fal}
    if seen.status.is_terminal and seen.status is not JobStatus.COMPLETED:
        body["error_type"], body["error"] = failure_of(seen)
    return body


def _state(seen: Glimpse) -> str:
    if seen.status.is_terminal:
        return "COMPLETED"
    return "IN_QUEUE" if seen.status is JobStatus.PENDING or seen.queue_position is not None else "IN_PROGRESS"


def _wants_logs() -> bool:
    return request.args.get("logs", "").lower() in ("1", "true")
