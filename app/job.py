"""A job and its legal changes. Pure: every change returns a new Job, or None where it may no longer happen.

    pending -> processing -> completed | failed | canceled,  pending -> failed | canceled.  Nothing leaves a terminal status.

A store applies a change by one compare-and-set on `rev`; whoever loses reads again and asks the job anew. A None is a lost race, a
normal answer: the caller stops and touches no money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from app.costs import ActualCost, CostSource, cost_of_units
from app.fal_request import BOUGHT_STATES, Failure, FalRequest, Receipt, RequestState, ResultFacts
from app.job_parts import (
    DEADLINE_CODE,
    TERMINAL,
    TRANSITIONS,
    HistoryEntry,
    JobStatus,
    Operation,
    Patience,
    Settlement,
    StoredImage,
    WebDetails,
)
from app.pricing import Quote

__all__ = [
    "DEADLINE_CODE",
    "TERMINAL",
    "TRANSITIONS",
    "HistoryEntry",
    "Job",
    "JobStatus",
    "Operation",
    "Patience",
    "Settlement",
    "StoredImage",
    "WebDetails",
    "new_job",
]


@dataclass(frozen=True, kw_only=True)
class Job:
    id: str
    user_id: str
    operation: Operation
    model: str
    endpoint: str
    inputs: dict[str, Any]
    options: dict[str, Any]
    arguments: dict[str, Any]
    image_pointers: tuple[str, ...] = ()
    takes_num_images: bool = True
    quote: Quote
    requests: tuple[FalRequest, ...]
    created_at: datetime
    updated_at: datetime
    deadline_at: datetime
    expiry_at: datetime | None = None
    patience: Patience = field(default_factory=Patience)
    status: JobStatus = JobStatus.PENDING
    progress: int = 0
    message: str = "Waiting for a worker"
    images: tuple[StoredImage, ...] = ()
    failure: Failure | None = None
    history: tuple[HistoryEntry, ...] = ()
    settlement: Settlement = Settlement.NONE
    settle_at: datetime | None = None
    completed_at: datetime | None = None
    charged_micros: int = 0
    actual: ActualCost | None = None
    project_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    tokens_per_image: int = 0
    web: WebDetails | None = None
    caller_key: str | None = None
    order_key: str | None = None
    fingerprint: str | None = None
    retry_of: str | None = None
    batch_id: str | None = None
    budgets: tuple[str, ...] = ()
    rev: int = 0

    # -- asking -------------------------------------------------------------------------------------------------------------------

    @property
    def is_terminal(self) -> bool:
        return self.status.is_terminal

    @property
    def num_images(self) -> int:
        return sum(request.num_images for request in self.requests)

    @property
    def seq(self) -> int:
        return len(self.history)

    @property
    def tokens_held(self) -> int:
        return self.tokens_per_image * self.num_images

    @property
    def is_paid_for(self) -> bool:
        """Tell whether something must be held for the job before it may go on."""
        return bool(self.tokens_held or self.budgets)

    @property
    def tokens_used(self) -> int:
        """Tokens charged: for what was delivered by a completed job, nothing otherwise."""
        return self.tokens_per_image * len(self.images) if self.status is JobStatus.COMPLETED else 0

    @property
    def waits_on_fal(self) -> bool:
        """Tell whether a request is open that fal has not finished, as far as we know."""
        return any(not r.is_closed and r.state is not RequestState.ENDED for r in self.requests)

    @property
    def attention_at(self) -> datetime | None:
        """When the sweep must look at this job if nothing has happened to it by then; None when nothing is left to do."""
        if self.is_terminal:
            return self.settle_at if self.settlement is Settlement.DUE else None
        # A request that fal has finished is paid for: its pictures are fetched however late, so the deadline does not end it.
        moments = [r.next_at for r in self.requests if r.next_at is not None and not r.is_closed]
        if self.waits_on_fal:
            moments.append(self.expiry_at or self.deadline_at)
        return min(moments, default=self.updated_at + timedelta(seconds=self.patience.task_s))

    def stages_s(self) -> dict[str, float]:
        """Return how long the first collected request spent in each stage, in seconds: queue (ours), provider, store."""
        done = next((r for r in self.requests if r.collected_at), None)
        if done is None:
            return {}
        marks = [self.created_at, done.submitted_at, done.ended_at, done.collected_at]
        pairs = zip(("queue", "provider", "store"), marks, marks[1:], strict=False)
        return {stage: max(0.0, (after - before).total_seconds()) for stage, before, after in pairs if before and after}

    @property
    def cost_source(self) -> CostSource:
        """Where the best figure of what the job costs the operator comes from."""
        return self.actual.source if self.actual else CostSource.ESTIMATE

    @property
    def unanswered(self) -> list[int]:
        """The requests that were posted and have had no answer: fal may be working on them, unknown to anybody."""
        return [r.index for r in self.requests if r.state in (RequestState.SUBMITTING, RequestState.UNKNOWN)]

    @property
    def abandoned_receipts(self) -> list[Receipt]:
        """What fal may still be working on though nobody waits for it any more."""
        return [
            r.receipt
            for r in self.requests
            if r.receipt and (r.state is RequestState.CANCELED or (r.failure is not None and r.failure.code == DEADLINE_CODE))
        ]

    def first_image_number(self, index: int) -> int:
        """Return the job-wide number of the first picture of a request."""
        return sum(request.num_images for request in self.requests[:index])

    # -- the life of a request, in order --------------------------------------------------------------------------------------------

    def submitting(self, index: int, *, now: datetime) -> Job | None:
        """Claim the right to post one request. Only the winner of this change may post, once."""
        request = self.requests[index]
        if self.is_terminal or request.state is not RequestState.NEW:
            return None
        return self._with_request(
            replace(
                request,
                state=RequestState.SUBMITTING,
                attempts=request.attempts + 1,
                submitting_at=now,
                next_at=now + timedelta(seconds=self.patience.submit_answer_s),
            ),
            now,
        )

    def put_back(self, index: int, *, retry_at: datetime, counts: bool, now: datetime) -> Job | None:
        """Return a request that fal surely did not take to `new`. `counts` is False while the provider as a whole is down."""
        request = self.requests[index]
        if self.is_terminal or request.state is not RequestState.SUBMITTING:
            return None
        attempts = request.attempts if counts else request.attempts - 1
        back = replace(request, state=RequestState.NEW, attempts=attempts, next_at=retry_at, not_before=retry_at)
        return self._with_request(back, now)

    def outcome_unknown(self, index: int, *, now: datetime) -> Job | None:
        """Record that a request was sent and nothing came back."""
        request = self.requests[index]
        if self.is_terminal or request.state is not RequestState.SUBMITTING:
            return None
        unknown_until = now + timedelta(seconds=self.patience.unknown_s)
        return self._with_request(replace(request, state=RequestState.UNKNOWN, next_at=unknown_until), now)

    def submitted(self, index: int, receipt: Receipt, *, now: datetime) -> Job | None:
        """Keep the receipt; the job is being worked on from now.

        Also where the job has ended meanwhile (canceled, deadline): what is bought must stay traceable, so the receipt is kept there too.
        """
        request = self.requests[index]
        if request.receipt is not None:
            return None
        kept = replace(request, receipt=receipt, submitted_at=now)
        if self.is_terminal or request.is_closed:
            return replace(self, requests=self._replaced(kept), updated_at=now)
        job = self._with_request(replace(kept, state=RequestState.SUBMITTED, next_at=None), now)
        if job.status is JobStatus.PENDING:
            return job._noted(JobStatus.PROCESSING, 5, "Sent to fal", now)
        return job

    def progressed(self, progress: int, message: str, *, now: datetime, queue_position: int | None = None) -> Job | None:
        """Say something new, or move by 5 points at least; progress never falls, so history stays short."""
        progress = min(max(progress, self.progress), 99)
        if self.is_terminal or (message == self.message and progress < self.progress + 5):
            return None
        return self._noted(self.status, progress, message, now, queue_position)

    def collection_postponed(self, index: int, *, retry_at: datetime, now: datetime) -> Job | None:
        """Record that fal has finished a request whose pictures cannot be had yet; they are tried again at `retry_at`."""
        request = self.requests[index]
        if self.is_terminal or request.state not in BOUGHT_STATES:
            return None
        ended = replace(
            request,
            state=RequestState.ENDED,
            ended_at=request.ended_at or now,
            collect_attempts=request.collect_attempts + 1,
            next_at=retry_at,
        )
        return self._with_request(ended, now)

    def claimed(self, index: int, *, until: datetime, now: datetime) -> Job | None:
        """Put off the sweep's next look at a request: one sweep enqueues its task, not every sweep."""
        if self.is_terminal or self.requests[index].is_closed:
            return None
        return self._with_request(replace(self.requests[index], next_at=until), now)

    def collected(self, index: int, images: Sequence[StoredImage], facts: ResultFacts, *, now: datetime) -> Job | None:
        """Record the stored pictures of a request; the last open request ends the job."""
        request = self.requests[index]
        if self.is_terminal or request.state not in BOUGHT_STATES:
            return None
        closed = replace(
            request,
            state=RequestState.COLLECTED,
            ended_at=request.ended_at or facts.noticed_at,
            collected_at=now,
            next_at=None,
            billable_units=facts.billable_units,
            seed=facts.seed,
        )
        pictures = tuple(sorted((*self.images, *images), key=lambda image: image.number))
        return replace(self._with_request(closed, now), images=pictures)._concluded(now)

    def request_failed(self, index: int, failure: Failure, *, now: datetime) -> Job | None:
        """Close one request as failed; the last open request ends the job."""
        if self.is_terminal or self.requests[index].is_closed:
            return None
        closed = replace(self.requests[index], state=RequestState.FAILED, failure=failure, next_at=None)
        return self._with_request(closed, now)._concluded(now)

    def unknown_expired(self, index: int, failure: Failure, *, now: datetime) -> Job | None:
        """Give up on a request whose fate fal has not told; it is never posted again."""
        return self.request_failed(index, failure, now=now) if self.requests[index].state is RequestState.UNKNOWN else None

    # -- the end ------------------------------------------------------------------------------------------------------------------

    def expiring(self, *, until: datetime, now: datetime) -> Job | None:
        """Put off the sweep's next look at an overdue job: one sweep has it ended, not every sweep."""
        if self.is_terminal or now < (self.expiry_at or self.deadline_at):
            return None
        return replace(self, expiry_at=until, updated_at=now)

    def deadline_passed(self, failure: Failure, *, now: datetime) -> Job | None:
        """Fail every request fal has not finished by the deadline. Finished ones are paid for and still collected."""
        if self.is_terminal or now < self.deadline_at:
            return None
        return self.given_up(failure, now=now)

    def given_up(self, failure: Failure, *, now: datetime) -> Job | None:
        """Fail every request that fal has not finished; with none left open, the job ends."""
        late = [r for r in self.requests if not r.is_closed and r.state is not RequestState.ENDED]
        if self.is_terminal or not late:
            return None
        job = self
        for request in late:
            job = job._with_request(replace(request, state=RequestState.FAILED, failure=failure, next_at=None), now)
        return job._concluded(now)

    def canceled(self, *, now: datetime) -> Job | None:
        """End a live job at its user's wish. What fal still delivers for it is neither charged nor kept."""
        if self.is_terminal:
            return None
        closed = tuple(
            request if request.is_closed else replace(request, state=RequestState.CANCELED, next_at=None) for request in self.requests
        )
        return replace(self, requests=closed)._ended(JobStatus.CANCELED, self.progress, "Canceled", now)

    def settled(self, *, now: datetime) -> Job | None:
        if self.settlement is not Settlement.DUE:
            return None
        images = self.images if self.status is JobStatus.COMPLETED else ()
        return replace(self, images=images, settlement=Settlement.DONE, settle_at=None, updated_at=now)

    def invoiced(self, micros: int, *, now: datetime) -> Job | None:
        """Put what fal has billed for an ended job in the place of what was known before; None where it is known already."""
        actual = ActualCost(micros, CostSource.INVOICE)
        return replace(self, actual=actual, updated_at=now) if self.is_terminal and self.actual != actual else None

    def _concluded(self, now: datetime) -> Job:
        if any(not request.is_closed for request in self.requests):
            return self
        if self.images:
            job = replace(self, charged_micros=self.quote.charge_for(len(self.images)))
            short = self.num_images - len(self.images)
            done = f"{len(self.images)} of {self.num_images} images were delivered" if short else "Completed"
            return job._ended(JobStatus.COMPLETED, 100, done, now)
        failure = next((r.failure for r in self.requests if r.failure), None) or Failure(
            "no_images", "The model answered without a picture"
        )
        return replace(self, failure=failure)._ended(JobStatus.FAILED, self.progress, failure.message, now)

    def _ended(self, status: JobStatus, progress: int, message: str, now: datetime) -> Job:
        settle_at = now + timedelta(seconds=self.patience.settle_s)
        actual = cost_of_units(self.quote, self.requests)
        ended = replace(self, settlement=Settlement.DUE, settle_at=settle_at, completed_at=now, updated_at=now, actual=actual)
        return ended._noted(status, progress, message, now)

    def _noted(self, status: JobStatus, progress: int, message: str, now: datetime, queue_position: int | None = None) -> Job:
        if status is not self.status and status not in TRANSITIONS[self.status]:
            raise ValueError(f"job {self.id}: {self.status} -> {status} is not a legal transition")
        entry = HistoryEntry(self.seq + 1, now, status, progress, message, queue_position)
        return replace(self, status=status, progress=progress, message=message, history=(*self.history, entry), updated_at=now)

    def _with_request(self, request: FalRequest, now: datetime) -> Job:
        return replace(self, requests=self._replaced(request), updated_at=now)

    def _replaced(self, request: FalRequest) -> tuple[FalRequest, ...]:
        return tuple(request if r.index == request.index else r for r in self.requests)


def new_job(*, requests: Mapping[int, int] | Sequence[int], now: datetime, patience: Patience, **fields: Any) -> Job:
    """Return a fresh pending job with one request per given number of images, its first history entry written."""
    lost_at = now + timedelta(seconds=patience.task_s)
    calls = tuple(FalRequest(index=i, num_images=n, next_at=lost_at) for i, n in enumerate(requests))
    job = Job(requests=calls, created_at=now, updated_at=now, patience=patience, **fields)
    return job._noted(JobStatus.PENDING, 0, job.message, now)
