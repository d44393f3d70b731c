"""One call to fal that belongs to a job, and the states it goes through. Pure: times come in as arguments.

    new -> submitting -> submitted -> collected | failed
     ^         |  |          `-> ended -> collected | failed     (finished at fal; its result or pictures cannot be fetched or stored yet)
     `---------'  `-> unknown -> submitted | failed             (sent, no answer: never posted again)
    new -> canceled                                             (its user's wish, before it was sent)
    submitted | ended -> canceled                               (its user's wish, and fal stopped it)

`next_at` is when the sweep looks at the request if nothing has happened to it by then; None while the watcher polls it.
`not_before` is the backoff of a refused submit. `bad_tries` counts those that brought something unusable, or broke our own code: they are
few, however often a store or fal was merely away (`collect_attempts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class RequestState(StrEnum):
    NEW = "new"
    SUBMITTING = "submitting"
    UNKNOWN = "unknown"
    SUBMITTED = "submitted"
    ENDED = "ended"
    COLLECTED = "collected"
    FAILED = "failed"
    CANCELED = "canceled"


CLOSED_STATES = frozenset({RequestState.COLLECTED, RequestState.FAILED, RequestState.CANCELED})
#: A request in one of these may exist at fal.
BOUGHT_STATES = frozenset({RequestState.SUBMITTED, RequestState.ENDED})


@dataclass(frozen=True)
class Failure:
    """Why a request or a job failed, as its owner reads it."""

    code: str
    message: str
    details: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What fal answers to a submit: the only handles on something that is paid for."""

    request_id: str
    status_url: str
    response_url: str
    cancel_url: str


@dataclass(frozen=True, kw_only=True)
class FinishedNotice:
    """That fal has ended a request: when we came to know, and when it was last seen at work on it, if it was."""

    noticed_at: datetime
    at_work_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ResultFacts:
    """What a result says beside its pictures. `billable_units` is fal's header as it came; `seed` is text since it may exceed 64 bits."""

    noticed_at: datetime
    billable_units: str | None = None
    seed: str | None = None
    output: str | None = None
    """What else it says, as `said_output` keeps it."""


@dataclass(frozen=True, kw_only=True)
class FalRequest:
    index: int
    num_images: int
    state: RequestState = RequestState.NEW
    attempts: int = 0
    collect_attempts: int = 0
    bad_tries: int = 0
    next_at: datetime | None = None
    not_before: datetime | None = None
    receipt: Receipt | None = None
    submitting_at: datetime | None = None
    submitted_at: datetime | None = None
    ended_at: datetime | None = None
    collected_at: datetime | None = None
    failure: Failure | None = None
    billable_units: str | None = None
    seed: str | None = None
    output: str | None = None
    claimed_by: str | None = None
    """Who last won the right to post it. Whoever lost the answer to its own claim knows by its name that it has won."""
    cancel_heard_at: datetime | None = None
    """When fal confirmed that it had been asked to cancel this request. It may finish it all the same."""

    @property
    def was_sent(self) -> bool:
        """Tell whether fal may have this request although its answer is missing."""
        return self.state in (RequestState.SUBMITTING, RequestState.UNKNOWN) or (
            self.is_closed and self.submitting_at is not None and self.receipt is None
        )

    def seconds_at_fal(self, now: datetime) -> float:
        """Return how long ago fal took this request; 0 where it has not."""
        return (now - (self.submitted_at or now)).total_seconds()

    @property
    def is_closed(self) -> bool:
        return self.state in CLOSED_STATES
