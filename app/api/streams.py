"""A job's events as Server-Sent Events: the same as on Socket.IO, for clients that only speak HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator

from flask import Blueprint, Response, request

from app.api.auth import caller
from app.api.context import services
from app.bootstrap import Services
from app.job import Job

blueprint = Blueprint("streams", __name__)

PULSE_S = 15.0
RETRY_MS = 3000
MAX_SEQ_DIGITS = 9


@blueprint.get("/api/jobs/<job_id>/events")
def job_events(job_id: str) -> Response:
    """Stream a job's events until it has ended; `Last-Event-ID` continues after an event seen before."""
    job = services().lifecycle.job(job_id, user_id=caller().sees)
    stream = _stream(services(), job, _last_seen(request.headers.get("Last-Event-ID", "")))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(stream, content_type="text/event-stream; charset=utf-8", headers=headers)


def _stream(found: Services, job: Job, seq: int) -> Iterator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    for current in found.waiters.follow(job, pulse_s=PULSE_S):
        if current is None:
            yield ": still here\n\n"
            continue
        for number, event in found.announcer.missed(current, seq):
            yield f"id: {number}\nevent: {event.name}\ndata: {json.dumps(dict(event.payload))}\n\n"
            seq = number


def _last_seen(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_SEQ_DIGITS else 0
