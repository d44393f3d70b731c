"""fal's direct call: the output in the answer itself."""

from __future__ import annotations

import functools
import math

from flask import Response, request

from app.api.fal import outputs
from app.api.fal.blueprint import blueprint
from app.api.fal.errors import refused
from app.api.fal.orders import ordered
from app.api.http import services
from app.api.http.access import needs
from app.api.http.deferred import Deferred
from app.api.http.limits import counted_wait, submits
from app.api.http.ordering import count_answer, replay_headers
from app.domain.api_key import Scope
from app.domain.job import Job

#: An overdue job is ended by the sweep, a little after its deadline.
GRACE_S = 30.0


@blueprint.post("/<path:app>")
@needs(Scope.GENERATE)
@submits
def run(app: str) -> Response:
    """Take an order and answer with its output, however long it takes."""
    accepted = ordered(app)
    wait = functools.partial(services().waiters.wait, accepted.job.id)
    return Deferred(counted_wait(wait, _wait_s()), functools.partial(_waited, replayed=accepted.replayed))


def _wait_s() -> float:
    """Return how long this request waits: to the job's deadline, or as long as its caller says."""
    longest = services().settings.job_deadline_seconds + GRACE_S
    try:
        asked = float(request.headers.get("X-Fal-Request-Timeout", longest))
    except ValueError:
        return longest
    return min(max(asked, 0.0), longest) if math.isfinite(asked) else longest


def _waited(job: Job, *, replayed: bool) -> Response:
    if not job.is_terminal:
        # Said in the way that no client of fal's retries: the order stands, and another post would be another one.
        response = refused(504, f"The request goes on; its result will be at /requests/{job.id} of the queue", "request_timeout")
        response.headers["X-Fal-Request-Timeout-Type"] = "user"
        return response
    if not replayed:
        count_answer(job)
    response = outputs.answer(job)
    response.headers.extend(replay_headers(replayed=replayed))
    return response
