"""What is bought is written down: a receipt goes into its job, however long the database is away, whoever is killed meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from attrs import define

from app.clients.receipt_box import KeptReceipt, ReceiptBox
from app.domain import clock
from app.domain.errors import StoreNotReady, StoreUnavailable
from app.domain.job import Job
from app.stores.jobs import JobStore

log = logging.getLogger(__name__)

#: How long one call may wait for a silent database: to find a server, and for its answer, each once more.
ONE_TRY_S = 70.0
PAUSE_S = 0.5
_ENDS_AT: ContextVar[float] = ContextVar("ends_at", default=float("inf"))


@define(eq=False, slots=False, kw_only=True)
class RetryingWrites:
    """Repeats writes while the database is away: each says by itself whether it was done before, as an answer may be what was lost.

    All of a task's writes share one clock: it ends before the task's own limit would cut it off in the middle of a step.
    """

    _task_s: float
    _insist_s: float = 60.0

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


@define(eq=False, slots=False, kw_only=True)
class Receipts:
    _jobs: JobStore
    _box: ReceiptBox
    _writes: RetryingWrites
    _now: Callable[[], datetime] = clock.now

    def save(self, job: Job, kept: KeptReceipt) -> Job | None:
        """Write a receipt into its job, and until then into the box. Returns the job, or None where it has another receipt.

        Raises StoreUnavailable where the database stays away: `replay` goes on then, here or in a later process.
        """
        self._box.put(kept)
        secured = False

        def away() -> None:
            nonlocal secured
            if not secured:
                self._box.secure(kept)
                secured = True
                log.error("a paid request cannot be written down yet: its receipt is kept aside, trying on", extra=_named(kept))

        saved = self._writes.write(job, lambda target: self._written(target, kept), on_trouble=away)
        if saved is not None:
            self._box.forget(kept, everywhere=secured)
        else:
            self._not_taken(kept)
        return saved

    def replay(self, taken_in: Callable[[Job, int], None]) -> int:
        """Take in what waits for the database; returns how much. `taken_in` is told of each request that its job did not know of."""
        done = 0
        try:
            for kept in self._box.pending():
                done += self._replayed(kept, taken_in)
        except StoreUnavailable:
            log.warning("receipts wait for the database")
        return done

    def _replayed(self, kept: KeptReceipt, taken_in: Callable[[Job, int], None]) -> bool:
        before = self._jobs.get(kept.job_id)
        saved = self._written(before, kept) if before is not None and kept.index < len(before.requests) else None
        if before is None or saved is None:
            self._not_taken(kept)
            return False
        self._box.forget(kept, everywhere=True)
        if before.requests[kept.index].receipt is None:
            log.warning("a paid request was written down late", extra=_named(kept))
            taken_in(saved, kept.index)
        return True

    def _written(self, target: Job | str, kept: KeptReceipt) -> Job | None:
        """Write the receipt unless the job has it; None where it has another."""
        saved = self._jobs.change(target, lambda j: j.submitted(kept.index, kept.receipt, now=self._now()))
        if saved is not None:
            return saved
        current = self._jobs.get(target if isinstance(target, str) else target.id)
        return current if current and current.requests[kept.index].receipt == kept.receipt else None

    def _not_taken(self, kept: KeptReceipt) -> None:
        """Tell of a purchase that no job takes: it is gone, or says that it has bought something else."""
        log.error("a paid request has no job that takes it: look for it in fal's dashboard; its receipt is set aside", extra=_named(kept))
        self._box.set_aside(kept)


def _named(kept: KeptReceipt) -> dict[str, object]:
    return {"job_id": kept.job_id, "index": kept.index, "fal_request_id": kept.receipt.request_id}
