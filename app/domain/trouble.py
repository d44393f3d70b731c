"""Which jobs somebody ought to look at: those that do not go on by themselves. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.fal_request import RequestState
from app.domain.job import Job, Settlement

#: The sweep looks at what is due every few seconds; by then it has been everywhere.
SWEEP_TAKES = timedelta(minutes=2)
#: fal confirms within seconds, and stops or finishes within minutes.
CANCEL_TAKES = timedelta(minutes=10)
#: A store that was away for a moment takes fewer.
MANY_TRIES = 3


class Trouble(StrEnum):
    """`unknown_outcome`: sent to fal, no answer. `uncollected`: finished at fal, its pictures cannot be had or stored.

    `overdue`: older than its deadline. `cancel_unanswered`: fal was asked to stop long ago. `unattended`: nobody looks after it: no
    watcher is at work, or it breaks each time. `unsettled`: ended, and its money is not settled.
    """

    UNKNOWN_OUTCOME = "unknown_outcome"
    UNCOLLECTED = "uncollected"
    OVERDUE = "overdue"
    CANCEL_UNANSWERED = "cancel_unanswered"
    UNATTENDED = "unattended"
    UNSETTLED = "unsettled"


def trouble_of(job: Job, now: datetime) -> Trouble | None:
    """Return why a job needs somebody's attention, or None where it goes its way, or is over and done."""
    if job.is_terminal:
        is_late = job.settlement is Settlement.DUE and (job.settle_at or now) < now - SWEEP_TAKES
        return Trouble.UNSETTLED if is_late else None
    if any(request.state is RequestState.UNKNOWN for request in job.requests):
        return Trouble.UNKNOWN_OUTCOME
    if any(request.bad_tries or request.collect_attempts >= MANY_TRIES for request in job.requests if not request.is_closed):
        return Trouble.UNCOLLECTED
    if job.deadline_at < now:
        return Trouble.OVERDUE
    if job.cancel_requested_at is not None and job.cancel_requested_at < now - CANCEL_TAKES:
        return Trouble.CANCEL_UNANSWERED
    is_forgotten = job.attention_at is not None and job.attention_at < now - SWEEP_TAKES
    return Trouble.UNATTENDED if is_forgotten else None
