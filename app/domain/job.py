"""A job and its legal changes. Pure: every change returns a new Job, or None where it may no longer happen.

    pending -> processing -> completed | failed | canceled,  pending -> failed | canceled.  Nothing leaves a terminal status.

A store applies a change by one compare-and-set on `rev`; whoever loses reads again and asks the job anew. A None is a lost race, a
normal answer: the caller stops and touches no money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from app.domain.asset import StoredPicture
from app.domain.costs import ActualCost, CostSource, cost_of_units
from app.domain.endpoint import OrderHook
from app.domain.fal_request import BOUGHT_STATES, Failure, FalRequest, Receipt, RequestState, ResultFacts
from app.domain.pricing import Quote
from app.domain.repeat import Repeat


class JobStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED})
TRANSITIONS = {
    JobStatus.PENDING: frozenset({JobStatus.PROCESSING, JobStatus.FAILED, JobStatus.CANCELED}),
    JobStatus.PROCESSING: TERMINAL,
    **dict.fromkeys(TERMINAL, frozenset[JobStatus]()),
}

DEADLINE_CODE = "deadline_exceeded"
#: What a job says between its user's wish to cancel it and its end.
CANCELING = "Canceling: fal has been asked to stop"
#: How a request ends that fal has stopped because it was asked to, and one that fal does not know any more.
CANCELED_CODE, GONE_CODE = "client_cancelled", "result_gone"


class Settlement(StrEnum):
    """`due` from the terminal transition until money, usage and the last event are done."""

    NONE = "none"
    DUE = "due"
    DONE = "done"


#: fal's own word for how urgent a request is, `normal` or `low`; heeded here as well.
PRIORITY_HEADER = "X-Fal-Queue-Priority"


class Operation(StrEnum):
    GENERATE = "generate"
    TEXT_TO_IMAGE = "text_to_image"
    IMAGE_REFERENCE = "image_reference"


@dataclass(frozen=True, kw_only=True)
class StoredImage(StoredPicture):
    """One picture of a job. `number` counts from 0 over the whole job."""

    upload_id: str
    number: int
    flagged: bool = False
    c2pa: bool = False
    """Whether the file has a manifest of C2PA's; older pictures were not looked at."""
    digital_source_type: str | None = None
    """IPTC's term for how it came about: what the file says, else what its order tells. None for older pictures."""


@dataclass(frozen=True)
class HistoryEntry:
    seq: int
    at: datetime
    status: JobStatus
    progress: int
    message: str
    queue_position: int | None = None


@dataclass(frozen=True, kw_only=True)
class WebDetails:
    """What the web app's own endpoints add: the user's words, what was made of them, and the reference image."""

    operation_type_id: str
    prompt: str
    enhanced_prompt: str
    aspect_ratio: str
    template_id: str | None = None
    reference_type: str | None = None
    reference_image_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class SweepTimeouts:
    """How long the sweep waits before it helps. Seconds."""

    task_s: float = 15.0
    submit_answer_s: float = 60.0
    unknown_s: float = 120.0
    settle_s: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is known of a job, what follows from it, and the changes that may happen to it."""

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
    fal_headers: dict[str, str] = field(default_factory=dict)
    """What fal is told beside the arguments: which machine, how urgent, how long to wait for one."""
    quote: Quote
    requests: tuple[FalRequest, ...]
    created_at: datetime
    updated_at: datetime
    deadline_at: datetime
    expiry_at: datetime | None = None
    timeouts: SweepTimeouts = field(default_factory=SweepTimeouts)
    status: JobStatus = JobStatus.PENDING
    progress: int = 0
    message: str = "Waiting for a worker"
    images: tuple[StoredImage, ...] = ()
    failure: Failure | None = None
    history: tuple[HistoryEntry, ...] = ()
    settlement: Settlement = Settlement.NONE
    settle_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    cancel_at: datetime | None = None
    """When the sweep next sees to it that fal is asked to cancel what it has not heard of yet."""
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
    repeat: Repeat | None = None
    hook: OrderHook | None = None
    favorite: bool = False
    tags: tuple[str, ...] = ()
    retain_days: int | None = None
    """How many days it is kept after its end, by its order; the operator's own number may be smaller."""
    rev: int = 0

    # -- what follows from it ---------------------------------------------------------------------------------------------------------

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
    def waits_for_others(self) -> bool:
        """Tell whether it goes to fal after those that somebody waits for."""
        return self.batch_id is not None or self.fal_headers.get(PRIORITY_HEADER) == "low"

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
    def to_cancel(self) -> list[FalRequest]:
        """The requests that fal works on, as far as we know, and has not been asked to cancel although their user wishes it."""
        if self.is_terminal or self.cancel_requested_at is None:
            return []
        return [r for r in self.requests if r.state is RequestState.SUBMITTED and r.cancel_heard_at is None]

    @property
    def attention_at(self) -> datetime | None:
        """When the sweep must look at this job if nothing has happened to it by then; None when nothing is left to do."""
        if self.is_terminal:
            return self.settle_at if self.settlement is Settlement.DUE else None
        # A request that fal has finished is paid for: its pictures are fetched however late, so the deadline does not end it.
        moments = [r.next_at for r in self.requests if r.next_at is not None and not r.is_closed]
        if self.waits_on_fal:
            moments.append(self.expiry_at or self.deadline_at)
        if self.cancel_at is not None and self.to_cancel:
            moments.append(self.cancel_at)
        return min(moments, default=self.updated_at + timedelta(seconds=self.timeouts.task_s))

    @property
    def retain_until(self) -> datetime | None:
        """When the time is up that its order gave it; None while it has not ended, and where its order gave it none."""
        if self.completed_at is None or self.retain_days is None or self.settlement is not Settlement.DONE:
            return None
        return self.completed_at + timedelta(days=self.retain_days)

    @property
    def cost_source(self) -> CostSource:
        """Where the best figure of what the job costs the operator comes from."""
        return self.actual.source if self.actual else CostSource.ESTIMATE

    @property
    def invoiced_micros(self) -> int | None:
        """What fal's bill says the job has cost the operator; None until it has been read."""
        return self.actual.micros if self.actual and self.actual.source is CostSource.INVOICE else None

    @property
    def unanswered(self) -> list[int]:
        """The requests that were posted and have had no answer: fal may be working on them, unknown to anybody."""
        return [r.index for r in self.requests if r.state in (RequestState.SUBMITTING, RequestState.UNKNOWN)]

    @property
    def abandoned_receipts(self) -> list[Receipt]:
        """What fal may still be working on though nobody waits for it any more."""
        return [r.receipt for r in self.requests if r.receipt and r.failure is not None and r.failure.code == DEADLINE_CODE]

    def first_image_number(self, index: int) -> int:
        """Return the job-wide number of the first picture of a request."""
        return sum(request.num_images for request in self.requests[:index])

    # -- what people note about it --------------------------------------------------------------------------------------------------

    def noted(self, *, favorite: bool | None = None, tags: tuple[str, ...] | None = None) -> Job | None:
        """Note what is told, at any time of its life; None leaves it. Says nothing of the work, so it has no place in the history."""
        changed = replace(
            self, favorite=self.favorite if favorite is None else favorite, tags=self.tags if tags is None else tuple(dict.fromkeys(tags))
        )
        return changed if changed != self else None

    # -- the life of a request, in order --------------------------------------------------------------------------------------------

    def submitting(self, index: int, *, now: datetime, by: str | None = None) -> Job | None:
        """Claim the right to post one request. Only the winner of this change may post, once.

        `by` names this one claim. Who lost the answer to it asks again and claims anew what is its own: only a write that was confirmed
        says that the claim will stay.
        """
        request = self.requests[index]
        is_ours = by is not None and request.state is RequestState.SUBMITTING and request.claimed_by == by
        if self.is_terminal or not (request.state is RequestState.NEW or is_ours):
            return None
        return self._with_request(
            replace(
                request,
                state=RequestState.SUBMITTING,
                attempts=request.attempts + (0 if is_ours else 1),
                claimed_by=by,
                submitting_at=now,
                next_at=now + timedelta(seconds=self.timeouts.submit_answer_s),
            ),
            now,
        )

    def put_back(self, index: int, *, retry_at: datetime, counts: bool, now: datetime, by: str | None = None) -> Job | None:
        """Return a request that fal surely did not take to `new`. `counts` is False while the provider as a whole is down.

        Only the claim's own owner `by` may: it asks again where an answer was lost, and another may be posting by then.

        One whose user has wished to cancel it meanwhile is canceled instead: nothing was bought.
        """
        request = self.requests[index]
        if self.is_terminal or request.state is not RequestState.SUBMITTING or request.claimed_by != by:
            return None
        if self.cancel_requested_at is not None:
            return self._with_request(replace(request, state=RequestState.CANCELED, next_at=None), now)._concluded(now)
        attempts = request.attempts if counts else request.attempts - 1
        back = replace(request, state=RequestState.NEW, attempts=attempts, next_at=retry_at, not_before=retry_at)
        return self._with_request(back, now)

    def outcome_unknown(self, index: int, *, now: datetime) -> Job | None:
        """Record that a request was sent and nothing came back."""
        request = self.requests[index]
        if self.is_terminal or request.state is not RequestState.SUBMITTING:
            return None
        unknown_until = now + timedelta(seconds=self.timeouts.unknown_s)
        return self._with_request(replace(request, state=RequestState.UNKNOWN, next_at=unknown_until), now)

    def submitted(self, index: int, receipt: Receipt, *, now: datetime) -> Job | None:
        """Keep the receipt; the job is being worked on from now.

        Also where the job has ended meanwhile (deadline): what is bought must stay traceable, so the receipt is kept there too. Where its
        user has wished to cancel it meanwhile, fal is asked at once.
        """
        request = self.requests[index]
        if request.receipt is not None:
            return None
        kept = replace(request, receipt=receipt, submitted_at=now)
        if self.is_terminal or request.is_closed:
            return replace(self, requests=self._replaced(kept), updated_at=now)
        job = self._with_request(replace(kept, state=RequestState.SUBMITTED, next_at=None), now)
        if job.cancel_requested_at is not None:
            job = replace(job, cancel_at=now)
        if job.status is JobStatus.PENDING:
            return job._noted(JobStatus.PROCESSING, 5, job._message_now("Sent to fal"), now)
        return job

    def progressed(self, progress: int, message: str, *, now: datetime, queue_position: int | None = None) -> Job | None:
        """Say something new, or move by 5 points at least; progress never falls, so history stays short."""
        progress, message = min(max(progress, self.progress), 99), self._message_now(message)
        if self.is_terminal or (message == self.message and progress < self.progress + 5):
            return None
        return self._noted(self.status, progress, message, now, queue_position)

    def broken_off(self, index: int, *, retry_at: datetime, now: datetime) -> Job | None:
        """Count a try at which our own code failed, of a request that is not posted or not collected yet."""
        request = self.requests[index]
        if request.state is RequestState.NEW and not self.is_terminal:
            later = replace(request, bad_tries=request.bad_tries + 1, next_at=retry_at, not_before=retry_at)
            return self._with_request(later, now)
        return self.collection_postponed(index, retry_at=retry_at, now=now, was_bad=True)

    def collection_postponed(self, index: int, *, retry_at: datetime, now: datetime, was_bad: bool = False) -> Job | None:
        """Record that fal has finished a request whose pictures cannot be had yet; they are tried again at `retry_at`."""
        request = self.requests[index]
        if self.is_terminal or request.state not in BOUGHT_STATES:
            return None
        ended = replace(
            request,
            state=RequestState.ENDED,
            ended_at=request.ended_at or now,
            collect_attempts=request.collect_attempts + 1,
            bad_tries=request.bad_tries + was_bad,
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
            output=facts.output,
        )
        pictures = tuple(sorted((*self.images, *images), key=lambda image: image.number))
        return replace(self._with_request(closed, now), images=pictures)._concluded(now)

    def request_failed(self, index: int, failure: Failure, *, now: datetime) -> Job | None:
        """Close one request as failed, or as canceled where fal has stopped it at its user's wish; the last open one ends the job."""
        request = self.requests[index]
        if self.is_terminal or request.is_closed:
            return None
        stopped = self.is_stop(index, failure.code)
        closed = replace(request, state=RequestState.CANCELED if stopped else RequestState.FAILED, failure=failure, next_at=None)
        return self._with_request(closed, now)._concluded(now)

    def is_stop(self, index: int, code: str) -> bool:
        """Tell whether this end of a request is that fal has stopped it at its user's wish."""
        heard = self.requests[index].cancel_heard_at is not None
        return self.cancel_requested_at is not None and (code == CANCELED_CODE or (code == GONE_CODE and heard))

    def unknown_expired(self, index: int, failure: Failure, *, now: datetime) -> Job | None:
        """Give up on a request whose fate fal has not told; it is never posted again."""
        return self.request_failed(index, failure, now=now) if self.requests[index].state is RequestState.UNKNOWN else None

    # -- its user's wish to cancel it -------------------------------------------------------------------------------------------------

    def cancel_requested(self, *, now: datetime) -> Job | None:
        """Record its user's wish to cancel it: what fal has not been sent is canceled at once. None where it was recorded, or has ended.

        What fal has is not ended here: fal's answer decides, and until then what pays for it stays held.
        """
        if self.is_terminal or self.cancel_requested_at is not None:
            return None
        requests = tuple(replace(r, state=RequestState.CANCELED, next_at=None) if r.state is RequestState.NEW else r for r in self.requests)
        ask_at = now + timedelta(seconds=self.timeouts.task_s)
        job = replace(self, requests=requests, cancel_requested_at=now, cancel_at=ask_at, updated_at=now)._concluded(now)
        return job if job.is_terminal else job._noted(job.status, job.progress, CANCELING, now)

    def cancel_claimed(self, *, until: datetime, now: datetime) -> Job | None:
        """Put off the sweep's next look at a wish that fal has not heard of: one sweep has fal asked, not every sweep."""
        if not self.to_cancel or self.cancel_at is None or now < self.cancel_at:
            return None
        return replace(self, cancel_at=until, updated_at=now)

    def cancel_heard(self, index: int, *, now: datetime) -> Job | None:
        """Record that fal knows of the wish. That ends nothing: a request it works on may be finished all the same."""
        if not any(request.index == index for request in self.to_cancel):
            return None
        return self._with_request(replace(self.requests[index], cancel_heard_at=now), now)

    def _message_now(self, message: str) -> str:
        return message if self.cancel_requested_at is None else CANCELING

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
        if any(request.state is RequestState.CANCELED for request in self.requests):
            return self._ended(JobStatus.CANCELED, self.progress, "Canceled", now)
        failure = next((r.failure for r in self.requests if r.failure), None) or Failure(
            "no_images", "The model answered without a picture"
        )
        return replace(self, failure=failure)._ended(JobStatus.FAILED, self.progress, failure.message, now)

    def _ended(self, status: JobStatus, progress: int, message: str, now: datetime) -> Job:
        settle_at = now + timedelta(seconds=self.timeouts.settle_s)
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


def new_job(*, requests: Mapping[int, int] | Sequence[int], now: datetime, timeouts: SweepTimeouts, **fields: Any) -> Job:
    """Return a fresh pending job with one request per given number of images, its first history entry written."""
    lost_at = now + timedelta(seconds=timeouts.task_s)
    calls = tuple(FalRequest(index=i, num_images=n, next_at=lost_at) for i, n in enumerate(requests))
    job = Job(requests=calls, created_at=now, updated_at=now, timeouts=timeouts, **fields)
    return job._noted(JobStatus.PENDING, 0, job.message, now)
