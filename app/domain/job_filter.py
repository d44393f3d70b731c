"""What a list of jobs may be narrowed by. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime

from app.domain.account import Whose, is_among
from app.domain.clock import is_id
from app.domain.job import Job, JobStatus, Operation
from app.domain.trouble import trouble_of

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
    job_id: str | None = None
    """One job; what is no id finds none."""
    code: str | None = None
    """Why it failed."""
    key_ids: tuple[str, ...] = ()
    """Any of these API keys ordered it."""
    min_micros: int | None = None
    """What its user is charged, at least."""
    words: tuple[str, ...] = ()
    """Each is somewhere in the prompt; upper and lower case are the same."""
    troubled_at: datetime | None = None
    """Only jobs that need somebody's attention, as seen at this time."""
    created_from: datetime | None = None
    created_to: datetime | None = None

    @property
    def is_impossible(self) -> bool:
        """Tell whether no job can pass."""
        return self.type not in (None, JOB_TYPE) or (self.job_id is not None and not is_id(self.job_id))

    def accepts(self, job: Job) -> bool:
        """Tell whether a job passes everything but the times, which are always a range of ids."""
        equal = (
            (self.status, job.status),
            (self.model, job.model),
            (self.project_id, job.project_id),
            (self.batch_id, job.batch_id),
            (self.operation, job.operation),
            (self.favorite, job.favorite),
            (self.job_id, job.id),
            (self.code, job.failure and job.failure.code),
        )
        if self.is_impossible or not is_among(job.user_id, self.user_id) or any(wanted not in (None, found) for wanted, found in equal):
            return False
        if (self.statuses and job.status not in self.statuses) or (self.key_ids and job.caller_key not in self.key_ids):
            return False
        if (self.tag is not None and self.tag not in job.tags) or job.charged_micros < (self.min_micros or 0):
            return False
        if any(key not in job.metadata or _text(job.metadata[key]) != value for key, value in self.metadata):
            return False
        if self.searches_prompts and not self.accepts_prompt(prompt_of(job)):
            return False
        return self.troubled_at is None or trouble_of(job, self.troubled_at) is not None

    @property
    def searches_prompts(self) -> bool:
        return bool(self.words) or self.prompt is not None

    def accepts_prompt(self, prompt: str) -> bool:
        """Tell whether a prompt has all that is looked for in prompts."""
        folded = prompt.casefold()
        return all(part.casefold() in folded for part in (*self.words, *([self.prompt] if self.prompt is not None else [])))

    @property
    def digest(self) -> str:
        """Return what tells this filter from others: a cursor belongs to one."""
        said = asdict(self) | {"troubled_at": self.troubled_at is not None}  # Each page is judged at its own time.
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


def prompt_of(job: Job) -> str:
    """Return the user's own words: what the web app made of them is not searched. Empty where the model takes none."""
    return words_of(job.web.prompt if job.web else job.inputs.get("prompt"))


def words_of(prompt: object) -> str:
    return prompt if isinstance(prompt, str) else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
