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
#: Tries that come nearer to each other than this come in no order: what a process found waiting when it went on, or when it was begun.
AT_ONCE = timedelta(milliseconds=50)


@dataclass(frozen=True)
class Try:
    """One try of a request: `number` 0 is the first. `fingerprint` tells equal requests of one caller from all others."""

    fingerprint: str
    number: int
    arrived_at: datetime


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """What a job knows of the tries of its request.

    `made_by` is the try that made it, or the first one where that came after it; `tries` is the highest that has claimed it, `claims` are
    all that have; `arrived_at` is when it was made.
    """

    fingerprint: str
    made_by: int
    arrived_at: datetime
    tries: int
    claimed_at: datetime
    answered_at: datetime | None = None
    claims: tuple[int, ...] = ()


def made_by(tried: Try) -> Repeat:
    return Repeat(
        fingerprint=tried.fingerprint,
        made_by=tried.number,
        arrived_at=tried.arrived_at,
        tries=tried.number,
        claimed_at=tried.arrived_at,
        claims=(tried.number,),
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
    tries, claims = max(job.repeat.tries, tried.number), (*job.repeat.claims, tried.number)
    return replace(job, repeat=replace(job.repeat, tries=tries, claims=claims, claimed_at=now))


def came_before(repeat: Repeat, maker: Repeat) -> bool:
    """Tell whether a first try, of `repeat`, may have come before the later one that has made a job, of `maker`."""
    return maker.made_by > 0 and maker.arrived_at > repeat.arrived_at - AT_ONCE


def adopted(job: Job, first: Repeat) -> Job | None:
    """Let a first try have the job of a later one, once; None where another had it."""
    if job.repeat is None or not came_before(first, job.repeat):
        return None
    return replace(job, repeat=replace(job.repeat, made_by=0, claims=(*job.repeat.claims, 0)))


def answered(job: Job, now: datetime) -> Job | None:
    """Note that somebody was answered with the job's end; None where that is known, or does not matter."""
    if job.repeat is None or job.repeat.answered_at is not None or not job.is_terminal:
        return None
    return replace(job, repeat=replace(job.repeat, answered_at=now))


def _may_claim(repeat: Repeat | None, tried: Try, now: datetime) -> bool:
    if repeat is None or repeat.arrived_at > tried.arrived_at + AT_ONCE:
        return False  # A try that came later cannot be an earlier one of the same.
    if repeat.answered_at is not None and repeat.answered_at < now - ANSWER_LOST_WITHIN:
        return False
    overtaken = tried.number not in repeat.claims and repeat.arrived_at > tried.arrived_at - AT_ONCE
    return overtaken or repeat.tries < tried.number or repeat.claimed_at < now - CLAIM_LASTS


def _is_taken(job: Job, tried: Try) -> bool:
    return job.repeat is not None and job.repeat.tries >= tried.number
