"""What is known of a job, and what follows from it. Pure and without changes: those are in `job.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from app.domain.costs import ActualCost, CostSource
from app.domain.fal_request import Failure, FalRequest, Receipt, RequestState
from app.domain.job_parts import (
    DEADLINE_CODE,
    HistoryEntry,
    JobStatus,
    Operation,
    Patience,
    Settlement,
    StoredImage,
    WebDetails,
)
from app.domain.pricing import Quote


@dataclass(frozen=True, kw_only=True)
class JobRecord:
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
    rev: int = 0

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
        return min(moments, default=self.updated_at + timedelta(seconds=self.patience.task_s))

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
        return [r.receipt for r in self.requests if r.receipt and r.failure is not None and r.failure.code == DEADLINE_CODE]

    def first_image_number(self, index: int) -> int:
        """Return the job-wide number of the first picture of a request."""
        return sum(request.num_images for request in self.requests[:index])
