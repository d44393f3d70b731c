"""What a job is made of: its statuses and their legal transitions, pictures, history, and what the web app adds. Pure records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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


class Operation(StrEnum):
    GENERATE = "generate"
    TEXT_TO_IMAGE = "text_to_image"
    IMAGE_REFERENCE = "image_reference"


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """One picture in the operator's own storage. `number` counts from 0 over the whole job."""

    upload_id: str
    number: int
    key: str
    content_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    flagged: bool = False


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
class Patience:
    """How long the sweep waits before it helps. Seconds."""

    task_s: float = 15.0
    submit_answer_s: float = 60.0
    unknown_s: float = 120.0
    settle_s: float = 10.0
