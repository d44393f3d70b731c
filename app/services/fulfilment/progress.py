"""What a request's state at fal says about its job's progress. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.clients.fal.status import FalState, FalStatus
from app.domain.fal_request import FalRequest

DEFAULT_SECONDS = 10.0
QUEUED, RUNNING, NEARLY = 10, 20, 90


@dataclass(frozen=True)
class Progress:
    percent: int
    message: str
    queue_position: int | None = None


def progress_of(request: FalRequest, status: FalStatus, *, usual_s: float, now: datetime) -> Progress:
    """Return progress in percent: the queue's share first, then along the model's usual duration, never the end of it."""
    if status.state is FalState.IN_QUEUE:
        return _queued(status.queue_position)
    if status.state is FalState.COMPLETED:
        return Progress(NEARLY + 5, "Storing the images")
    share = request.seconds_at_fal(now) / max(usual_s, 0.1)
    return Progress(min(NEARLY, RUNNING + int((NEARLY - RUNNING) * share)), "Generating")


def _queued(position: int | None) -> Progress:
    if position is None:
        return Progress(QUEUED, "Waiting in fal's queue")
    # Long queues are told roughly: each new text is a write and an event.
    ahead = str(position) if position <= 10 else f"more than {position // 50 * 50 or 10}"
    return Progress(QUEUED, f"Waiting in fal's queue, {ahead} ahead", position)
