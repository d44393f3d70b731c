"""A client's own retry buys once: the tries of one request find each other's job, also where they come at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from attrs import define, field

from app.domain import clock, repeat
from app.domain.job import Job
from app.domain.places import Places
from app.domain.repeat import AT_ONCE, REACH, Try
from app.stores.jobs import JobStore

#: How long a try waits for others of its request in this process; then it relies on `rival_of`, as between processes.
TURN_S = 10.0
AT_MOST = 10_000


@define(eq=False, slots=False, kw_only=True)
class Repeats:
    _jobs: JobStore
    _now: Callable[[], datetime] = clock.now
    _turns: Places = field(init=False, factory=lambda: Places(AT_MOST, each=1, waiting=AT_MOST))

    @contextmanager
    def in_turn(self, tried: Try | None) -> Iterator[None]:
        """Let the tries of equal requests be ordered one after the other.

        A process that stood still finds all the tries that were sent meanwhile, and begins them at once: each would look for the others
        before any has written.
        """
        taken = tried is not None and self._turns.take(tried.fingerprint, wait_s=TURN_S)
        try:
            yield
        finally:
            if tried is not None and taken:
                self._turns.give_back(tried.fingerprint)

    def claim(self, tried: Try) -> Job | None:
        """Return the job of an earlier try, claimed for this one; None for a first try, and where there is none."""
        if tried.number == 0:
            return None
        equal = self._jobs.of_equal_requests(tried.fingerprint, since=self._now() - REACH)
        for job in repeat.best_first(equal, tried, self._now()):
            if found := self._jobs.change(job, lambda j: repeat.claimed(j, tried, self._now())):
                return found
        return None

    def rival_of(self, job: Job) -> Job | None:
        """Return the job that another try of its request has made at the same time as this one was, which has just been written.

        A try looks for earlier ones first and writes afterwards: two at once may both find nothing. So each looks again after its write,
        when at least one of them sees the other's, and takes its own back while nobody has claimed it. A first try, for which a later
        one has come already, then belongs to that; a later one looks anew, since the first may have yielded as well.
        """
        tries = job.repeat
        if tries is None:
            return None
        if tries.made_by == 0:
            later = self._jobs.of_equal_requests(tries.fingerprint, since=tries.arrived_at - AT_ONCE, by_retries=True)
            likely = (other for other in later if other.repeat and repeat.came_before(tries, other.repeat))
            # Once it is this one's, the other try does not take it back.
            return next((had for other in likely if (had := self._jobs.change(other, lambda j: repeat.adopted(j, tries)))), None)
        # Its own claim is as old as its request, which a process that stood still has held for long: it is no rival of itself.
        equal = [other for other in self._jobs.of_equal_requests(tries.fingerprint, since=self._now() - REACH) if other.id != job.id]
        mine = Try(tries.fingerprint, tries.made_by, tries.arrived_at)
        return next(iter(repeat.best_first(equal, mine, self._now())), None)

    def answered(self, job_id: str) -> None:
        """Note that a client was sent how the job ended."""
        self._jobs.change(job_id, lambda j: repeat.answered(j, self._now()))
