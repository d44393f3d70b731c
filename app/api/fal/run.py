"""fal's direct calls: the output in the answer itself, alone or as the one event of a stream."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import time

from flask import Response, g, request

from app.api.fal import documents, outputs
from app.api.fal.documents import APP, blueprint
from app.api.fal.errors import refused
from app.api.fal.orders import TIMEOUT, ordered, seconds
from app.api.http import services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.deferred import Deferred
from app.api.http.limits import counted_wait, submits
from app.api.http.ordering import count_answer, replay_headers
from app.api.streams import CONTENT_TYPE, event_stream
from app.domain.api_key import Scope
from app.domain.errors import AlreadyFinished
from app.domain.job import Job

#: An overdue job is ended by the sweep, a little after its deadline.
GRACE_S = 30.0
ERRORS = (400, 401, 403, 404, 413, 415, 422, 429, 499, 500, 503, 504)
EXAMPLE = {"prompt": "A red bicycle"}


@blueprint.post("/<path:app>", parameters=[APP])
@needs(Scope.GENERATE)
@submits
@blueprint.doc(
    requestBody=documents.arguments(EXAMPLE), responses=documents.answered(documents.JSON, documents.OUTPUT, "The model's output.")
)
@blueprint.errors(*ERRORS)
def run(app: str) -> Response:
    """Take an order and answer with its output, however long it takes."""
    return _awaited(app, as_stream=False)


@blueprint.post("/<path:app>/stream", parameters=[APP])
@needs(Scope.GENERATE)
@submits
@blueprint.doc(
    requestBody=documents.arguments(EXAMPLE), responses=documents.answered(CONTENT_TYPE, {"type": "string"}, "One event: the output.")
)
@blueprint.errors(*ERRORS)
def stream(app: str) -> Response:
    """Take an order and answer with a stream of one event, the output. It begins when that is there: what fails has its own status."""
    return _awaited(app, as_stream=True)


def _awaited(app: str, *, as_stream: bool) -> Response:
    accepted = ordered(app)
    asked_s = _asked_s()
    longest_s = services().settings.job_deadline_seconds + GRACE_S
    wait = functools.partial(services().waiters.wait, accepted.job.id)
    answer = functools.partial(_answer, asked_s=asked_s, replayed=accepted.replayed, as_stream=as_stream)
    return Deferred(counted_wait(wait, min(longest_s, asked_s)), answer)


def _asked_s() -> float:
    """Return how long the caller waits at most; what is no time is none."""
    asked = seconds(request.headers.get(TIMEOUT, "inf"))
    return asked if asked > 0 else math.inf


def _answer(job: Job, *, asked_s: float, replayed: bool, as_stream: bool) -> Response:
    if not job.is_terminal:
        return _too_late(job, is_given_up=not replayed and time.time() - g.received_at >= asked_s)
    if not replayed:
        count_answer(job)
    response = outputs.answer(job)
    if as_stream and response.status_code == 200:
        response = event_stream(iter([f"data: {json.dumps(response.get_json())}\n\n"]))
    response.headers.extend(replay_headers(replayed=replayed))
    return response


def _too_late(job: Job, *, is_given_up: bool) -> Response:
    """Answer without the output, in the way that no client of fal's retries: another post would be another order.

    Whoever said how long it waits has given up: what fal has not begun by then is not bought.
    """
    what = "goes on: its result will be"
    if is_given_up:
        what = "was cancelled; should fal finish it all the same, its result will be"
        with contextlib.suppress(AlreadyFinished):
            services().job_actions.cancel(job.id, user_id=caller().owns)
    response = refused(504, f"No output in time. The request {what} at /requests/{job.id} of the queue", "request_timeout")
    response.headers["X-Fal-Request-Timeout-Type"] = "user"
    return response
