"""Something to be told to whoever listens, once for each receiver, however often it is produced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.endpoint import OrderHook, Subject
from app.domain.job import Job


@dataclass(frozen=True, kw_only=True)
class Event:
    """`key` says what it is about: a job's or a batch's id, or of an alert its rule and period. `owners` are those whose endpoints hear.

    `data` is asked only where somebody listens; None: there is nothing to tell after all. `hook` is the order's own. An owner is
    `user:<id>`, `key:<id>` or `operator`.
    """

    type: str
    key: str
    owners: tuple[str, ...]
    at: datetime
    data: Callable[[], Mapping[str, Any] | None]
    hook: OrderHook | None = None
    job: Job | None = None

    @property
    def subject(self) -> Subject | None:
        job = self.job
        return Subject(model=job.model, project_id=job.project_id, metadata=job.metadata) if job else None
