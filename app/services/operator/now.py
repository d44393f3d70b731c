"""How the service is doing at this moment. `/metrics` and the operator's status are both read from here, so they cannot disagree.

What is in Redis is read each time; what is in MongoDB is read once a second, however many ask. Nothing here fails because a store is away:
what cannot be read is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from attrs import define, field
from redis import Redis

from app.clients.fal.breaker import ACCOUNT, Breaker
from app.clients.lease import holder_of
from app.clients.metrics import FAL_REQUESTS, LEDGER_IMBALANCE, WEBHOOKS_OLDEST_S, WEBHOOKS_WAITING, Metrics, Sample
from app.clients.queue import TaskQueue
from app.domain import clock
from app.domain.errors import StoreUnavailable
from app.domain.job import JobStatus
from app.domain.job_filter import JobFilter
from app.domain.spend import Figures
from app.services.reports.spend import Spend
from app.stores.fal import DurationStore
from app.stores.jobs import JobStore

KEPT_S = 1.0
WEEK = timedelta(days=7)
#: Where counting stops.
MAX_COUNTED = 100_000


@dataclass(frozen=True)
class QueueState:
    name: str
    depth: int
    oldest_s: float


@dataclass(frozen=True)
class Pause:
    """Submits are paused: to one endpoint, or (None) to all."""

    endpoint: str | None
    reason: str


@dataclass(frozen=True)
class Live:
    """What Redis knows. `leader` is the watcher at work; without one nobody counts `fal_requests` or the webhooks."""

    queues: list[QueueState]
    pauses: list[Pause]
    leader: str | None
    fal_requests: Mapping[str, int]
    webhooks_waiting: int
    webhooks_oldest_s: float
    ledger_imbalance: int


@dataclass(frozen=True)
class Pace:
    """How long fal takes for a model, of its latest generations, in seconds."""

    model: str
    p50_s: float
    p95_s: float
    samples: int


@dataclass(frozen=True)
class Kept:
    """What MongoDB knows."""

    in_flight: Mapping[JobStatus, int]
    paces: list[Pace]
    failed: Mapping[str, int]
    """Jobs that failed within the last hour, by code."""
    today: Figures
    same_weekday: Figures
    """The whole of the same day a week ago."""
    month: Figures


@define(eq=False, slots=False, kw_only=True)
class Now:
    _queue: TaskQueue
    _breaker: Breaker
    _metrics: Metrics
    _redis: Redis
    _jobs: JobStore
    _durations: DurationStore
    _spend: Spend
    fal_limit: int | None = None
    _clock: Callable[[], datetime] = clock.now
    _kept: tuple[float, Kept | None] = field(default=(float("-inf"), None), init=False)

    def samples(self) -> list[Sample]:
        """Return everything that all processes have counted."""
        return list(self._metrics.samples())

    def live(self, samples: list[Sample] | None = None) -> Live:
        """Return what Redis knows; `samples` where they have been read already."""
        gauges = {(sample.name, sample.labels.get("state")): sample.value for sample in (self.samples() if samples is None else samples)}
        leader = holder_of(self._redis)
        states = [state for name, state in gauges if name == FAL_REQUESTS and state] if leader else []
        return Live(
            queues=[QueueState(name, depth, oldest_s) for name, (depth, oldest_s) in self._queue.depths().items()],
            pauses=[Pause(None if name == ACCOUNT else name, reason) for name, reason in self._breaker.pauses().items()],
            leader=leader,
            fal_requests={state: int(gauges[FAL_REQUESTS, state]) for state in sorted(states)},
            webhooks_waiting=int(gauges.get((WEBHOOKS_WAITING, None), 0)),
            webhooks_oldest_s=gauges.get((WEBHOOKS_OLDEST_S, None), 0.0),
            ledger_imbalance=int(gauges.get((LEDGER_IMBALANCE, None), 0)),
        )

    def kept(self) -> Kept | None:
        """Return what MongoDB knows, at most a second old; None where it does not answer."""
        read_at, found = self._kept
        if found is None or time.monotonic() - read_at > KEPT_S:
            try:
                found = self._read()
            except StoreUnavailable:
                return None
            self._kept = (time.monotonic(), found)
        return found

    def _read(self) -> Kept:
        today = self._clock().date()
        days = self._spend.days(min(today.replace(day=1), today - WEEK), today + timedelta(days=1))
        return Kept(
            in_flight={
                status: self._jobs.count(JobFilter(status=status), limit=MAX_COUNTED)
                for status in (JobStatus.PENDING, JobStatus.PROCESSING)
            },
            paces=[Pace(model, *found) for model, found in sorted(self._durations.quantiles().items())],
            failed=self._spend.failed_lately(),
            today=_of(days, today),
            same_weekday=_of(days, today - WEEK),
            month=sum((found for day, found in days.items() if day >= f"{today:%Y-%m}"), Figures()),
        )


def _of(days: Mapping[str, Figures], day: date) -> Figures:
    return days.get(day.isoformat(), Figures())
