"""What a list of jobs may be narrowed by. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime

from app.domain.account import Whose, is_among
from app.domain.job import Job, JobStatus, Operation

JOB_TYPE = "image-generation"
"""The one type of job there is."""


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """None means any. Times are of the creation, the start included and the end not."""

    user_id: Whose = None
    type: str | None = None
    status: JobStatus | None = None
    model: str | None = None
    project_id: str | None = None
    batch_id: str | None = None
    operation: Operation | None = None
    statuses: tuple[JobStatus, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    """Key and value as text: `7` finds the number 7 and the text "7"."""
    prompt: str | None = None
    """A part of the prompt; upper and lower case are the same."""
    favorite: bool | None = None
    tag: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None

    @property
    def is_impossible(self) -> bool:
        """Tell whether no job can pass."""
        return self.type not in (None, JOB_TYPE)

    def accepts(self, job: Job) -> bool:
        """Tell whether a job passes everything but the times, which are always a range of ids."""
        equal = (
            (self.status, job.status),
            (self.model, job.model),
            (self.project_id, job.project_id),
            (self.batch_id, job.batch_id),
            (self.operation, job.operation),
            (self.favorite, job.favorite),
        )
        if self.is_impossible or not is_among(job.user_id, self.user_id) or any(wanted not in (None, found) for wanted, found in equal):
            return False
        if self.tag is not None and self.tag not in job.tags:
            return False
        if self.statuses and job.status not in self.statuses:
            return False
        if any(key not in job.metadata or _text(job.metadata[key]) != value for key, value in self.metadata):
            return False
        return self.prompt is None or self.prompt.casefold() in prompt_of(job).casefold()

    @property
    def digest(self) -> str:
        """Return what tells this filter from others: a cursor belongs to one."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True, default=str).encode()).hexdigest()[:16]


def prompt_of(job: Job) -> str:
    """Return the user's own words: what the web app made of them is not searched. Empty where the model takes none."""
    words = job.web.prompt if job.web else job.inputs.get("prompt")
    return words if isinstance(words, str) else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
