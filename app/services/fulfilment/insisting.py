"""One clock for all that a task insists on: it ends before the task's own limit would cut it off in the middle of a step."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from app.domain.errors import StoreNotReady, StoreUnavailable
from app.domain.job import Job

log = logging.getLogger(__name__)

#: How long one call may wait for a silent database: to find a server, and for its answer, each once more.
ONE_TRY_S = 70.0
PAUSE_S = 0.5
_ENDS_AT: ContextVar[float] = ContextVar("ends_at", default=float("inf"))


class Insisting:
    """Repeats writes while the database is away: each says by itself whether it was done before, as an answer may be what was lost."""

    def __init__(self, *, task_s: float, insist_s: float = 60.0) -> None:
        self._task_s = task_s
        self._insist_s = insist_s

    @contextmanager
    def task(self) -> Iterator[None]:
        """Begin the clock of a task."""
        token = _ENDS_AT.set(time.monotonic() + self._task_s)
        try:
            yield
        finally:
            _ENDS_AT.reset(token)

    def has_time_for(self, seconds: float) -> bool:
        """Tell whether the task may last that much longer."""
        return time.monotonic() + seconds <= _ENDS_AT.get()

    def write(self, job: Job, write: Callable[[Job | str], Job | None], *, on_trouble: Callable[[], None] = lambda: None) -> Job | None:
        """Write with the job just read, then, as long as the database is away, with its id: that reads it anew. Raises StoreUnavailable."""
        gives_up_at = time.monotonic() + self._insist_s
        target: Job | str = job
        while True:
            try:
                return write(target)
            except StoreNotReady:
                raise
            except StoreUnavailable:
                on_trouble()
                if time.monotonic() > gives_up_at or not self.has_time_for(ONE_TRY_S + PAUSE_S):
                    raise
                log.warning("the database does not confirm, trying again", extra={"job_id": job.id})
                time.sleep(PAUSE_S)
                target = job.id
