"""A job's events as Server-Sent Events: the same as on Socket.IO, for clients that only speak HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from flask import Response, request

from app.api.http import services
from app.api.http.access import needs
from app.api.http.auth import CHECK_EVERY_S, caller
from app.api.http.limits import hold_stream
from app.api.http.requests import ApiBlueprint
from app.bootstrap import Services
from app.domain.api_key import Scope
from app.domain.job import Job
from app.services.people.sessions import Credential

blueprint = ApiBlueprint("streams", __name__, url_prefix="/api/jobs", description="A job's events while it is made")

PULSE_S = 15.0
RETRY_MS = 3000
STILL_HERE = ": still here\n\n"
MAX_SEQ_DIGITS = 9
CONTENT_TYPE = "text/event-stream"
LAST_EVENT_ID = {
    "in": "header",
    "name": "Last-Event-ID",
    "description": "The last event seen: only later ones are sent. Anything but a number counts as none.",
    "schema": {"type": "string"},
}
ANSWER = {
    "description": "The events from the first one on, until the job has ended: `id` is the event's `seq`, `data` its JSON.",
    "content": {CONTENT_TYPE: {"schema": {"type": "string"}}},
}


@blueprint.get("/<job_id>/events")
@needs(Scope.READ)
@blueprint.doc(responses={"200": ANSWER}, parameters=[LAST_EVENT_ID])
@blueprint.errors(401, 404)
def job_events(job_id: str) -> Response:
    """Stream a job's events until it has ended; `Last-Event-ID` continues after an event seen before.

    The same events as on Socket.IO, in order and once, as Server-Sent Events. A comment every 15 seconds keeps the connection open.
    """
    hold_stream()
    who = caller()
    job = services().job_actions.job(job_id, user_id=who.sees)
    stream = _stream(services(), job, who.credential, _last_seen(request.headers.get("Last-Event-ID", "")))
    return event_stream(stream)


def event_stream(events: Iterator[str]) -> Response:
    """Return an answer that no proxy keeps or holds back."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(events, content_type=f"{CONTENT_TYPE}; charset=utf-8", headers=headers)


def _stream(found: Services, job: Job, credential: Credential | None, seq: int) -> Iterator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    for current in followed(found, job, credential):
        if current is None:
            yield STILL_HERE
            continue
        for number, event in found.announcer.missed(current, seq):
            yield f"id: {number}\nevent: {event.name}\ndata: {json.dumps(dict(event.payload))}\n\n"
            seq = number


def followed(found: Services, job: Job, credential: Credential | None) -> Iterator[Job | None]:
    """Yield the job after each of its changes, None where a sign of life is due, until it or the credential has ended."""
    looked_at = time.monotonic()
    for current in found.waiters.follow(job, pulse_s=PULSE_S):
        if credential is not None and time.monotonic() - looked_at >= CHECK_EVERY_S:
            looked_at = time.monotonic()
            if found.sessions.ended_among([credential]):
                return  # Whoever comes back with it is told that it has ended.
        yield current


def _last_seen(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_SEQ_DIGITS else 0
