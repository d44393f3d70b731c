"""Whose batch goes on next: users take turns, one job each, and only so many batch jobs are in the works at a time.

So 500 orders of one user neither fill fal's queue in front of everybody's single ones, nor hold up another user's batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define

from app.clients.queue import TaskQueue
from app.domain import clock
from app.domain.batch import Batch, BatchState, released
from app.domain.errors import QueueUnavailable
from app.services.events.announcements import Announcer
from app.stores.batches import BatchStore
from app.stores.jobs import BatchJobStore, JobStore

log = logging.getLogger(__name__)

#: Two turns in one millisecond would leave open who is next.
TICK = timedelta(milliseconds=1)


@define(eq=False, slots=False, kw_only=True)
class FairShare:
    _jobs: JobStore
    _batch_jobs: BatchJobStore
    _batches: BatchStore
    _queue: TaskQueue
    _announcer: Announcer
    _slots: int
    _deadline: timedelta
    _now: Callable[[], datetime] = clock.now

    def ask_for_turns(self) -> None:
        """Have a worker give turns; where the queue does not answer, the sweep does it."""
        try:
            self._queue.enqueue_turns()
        except QueueUnavailable:
            log.warning("turns not asked for, the sweep gives them", exc_info=True)

    def give_turns(self) -> int:
        """Release jobs while slots are free; returns how many. May be repeated and may race: a job is released once.

        Two that race may go over the number of slots by a few; none is released then until it is kept again.
        """
        self._queue.turns_begun()
        free, given = self._slots - self._batch_jobs.slots_taken(), 0
        while given < free and (batch := self._batches.next_in_turn()):
            given += self._release_next(batch)
        return given

    def _release_next(self, batch: Batch) -> bool:
        """Release a batch's next job; False where another process did, or the job has ended, or none is left."""
        if not batch.waiting:
            self._batches.move(batch.id, BatchState.OPEN, to=BatchState.CLOSED, attention_at=None)
            return False
        job_id = batch.waiting[0]
        job = self._jobs.change(job_id, lambda j: released(j, deadline=self._deadline, now=self._now()))
        # The job first: cut off here, it stays on the list, is found released, and is taken off by the next turn.
        self._batches.had_turn(batch, [job_id], now=max(self._now(), batch.turn_at + TICK))
        if job is None:
            return False
        self._announcer.announce(job)
        self._queue.enqueue_submit(job.id, in_batch=True)
        return True
