"""Requests that a client's library sends again by itself, without a key that would say so. Pure.

The SDKs of other services count their tries. A try after the first belongs to a job that an earlier one has made: the oldest that nobody
was answered with yet, else the latest whose answer may have been lost on its way. Each try claims its job, so that of two equal calls,
both sent again, each gets its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.domain.job import Job

#: How far back a try looks for the job of an earlier one.
REACH = timedelta(minutes=30)
#: How long after an answer it may count as lost.
ANSWER_LOST_WITHIN = timedelta(seconds=60)
#: Longer than a try waits: whoever claimed has been answered, or has died.
CLAIM_LASTS = timedelta(seconds=120)


@dataclass(frozen=True)
class Try:
    """One try of a request: `number` 0 is the first. `fingerprint` tells equal requests of one caller from all others."""

    fingerprint: str
    number: int
    arrived_at: datetime


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """What a job knows of the tries of its request.

    `made_by` is the try that made it, `tries` the highest that has claimed it; `arrived_at` is when the first came.
    """

    fingerprint: str
    made_by: int
    arrived_at: datetime
    tries: int
    claimed_at: datetime
    answered_at: datetime | None = None


def made_by(tried: Try) -> Repeat:
    return Repeat(
        fingerprint=tried.fingerprint,
        made_by=tried.number,
        arrived_at=tried.arrived_at,
        tries=tried.number,
        claimed_at=tried.arrived_at,
    )


def best_first(jobs: Iterable[Job], tried: Try, now: datetime) -> list[Job]:
    """Return the jobs that a try may claim, the likeliest first."""
    open_to = [job for job in jobs if _may_claim(job.repeat, tried, now)]
    waiting = [job for job in open_to if job.repeat and job.repeat.answered_at is None]
    lost = [job for job in open_to if job.repeat and job.repeat.answered_at is not None]
    # What an earlier try of this number claimed and never came back for is the last resort.
    return sorted(waiting, key=lambda job: (_is_taken(job, tried), job.id)) + sorted(lost, key=lambda job: job.id, reverse=True)


def claimed(job: Job, tried: Try, now: datetime) -> Job | None:
    """Let a try have a job; None where another was faster."""
    if job.repeat is None or not _may_claim(job.repeat, tried, now):
        return None
    return replace(job, repeat=replace(job.repeat, tries=max(job.repeat.tries, tried.number), claimed_at=now))


def answered(job: Job, now: datetime) -> Job | None:
    """Note that somebody was answered with the job's end; None where that is known, or does not matter."""
    if job.repeat is None or job.repeat.answered_at is not None or not job.is_terminal:
        return None
    return replace(job, repeat=replace(job.repeat, answered_at=now))


def _may_claim(repeat: Repeat | None, tried: Try, now: datetime) -> bool:
    if repeat is None or repeat.arrived_at >= tried.arrived_at:
        return False  # A try that came later cannot be an earlier one of the same.
    if repeat.answered_at is not None and repeat.answered_at < now - ANSWER_LOST_WITHIN:
        return False
    return repeat.tries < tried.number or repeat.claimed_at < now - CLAIM_LASTS


def _is_taken(job: Job, tried: Try) -> bool:
    return job.repeat is not None and job.repeat.tries >= tried.number
