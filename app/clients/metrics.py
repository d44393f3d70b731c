"""Counts and durations of all processes together, kept in Redis: workers have no port of their own that Prometheus could ask.

They are gathered in the process and written once a second, by a thread that lives only while there is something to write. Best effort: a
lost count is no reason to fail, and a killed process takes up to a second of counts with it; money and usage are counted in MongoDB.
Redis coming back empty looks to Prometheus like a restart.
"""

from __future__ import annotations

import bisect
import json
import logging
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

KEY = "imagegw:figures"
#: Gauges that watchers set, and people are shown.
FAL_REQUESTS = "imagegw_fal_requests"
WEBHOOKS_WAITING, WEBHOOKS_OLDEST_S = "imagegw_webhook_pending", "imagegw_webhook_oldest_seconds"
LEDGER_IMBALANCE = "imagegw_ledger_imbalance"
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
BOUNDS = (*(f"{bound:g}" for bound in BUCKETS_S), "+Inf")
FLUSH_S = 1.0


@dataclass(frozen=True)
class Sample:
    name: str
    labels: Mapping[str, str]
    value: float


class Metrics:
    def __init__(self, redis: Redis, *, flush_s: float = FLUSH_S) -> None:
        self._redis = redis
        self._flush_s = flush_s
        self._lock = threading.Lock()
        self._gathered: dict[str, float] = defaultdict(float)

    def record(self, *, counts: Sequence[Sample] = (), seconds: Sequence[Sample] = ()) -> None:
        """Add counts and observe durations; they are in Redis a second later."""
        amounts = [(_field(sample.name, sample.labels), sample.value) for sample in counts]
        for sample in seconds:
            # One bucket and not all above it: the reader sums them up.
            bound = BOUNDS[bisect.bisect_left(BUCKETS_S, sample.value)]
            amounts.append((_field(f"{sample.name}_bucket", {**sample.labels, "le": bound}), 1))
            amounts.append((_field(f"{sample.name}_sum", sample.labels), sample.value))
        with self._lock:
            is_first = not self._gathered
            for field, amount in amounts:
                self._gathered[field] += amount
        if is_first and amounts:
            timer = threading.Timer(self._flush_s, self.flush)
            timer.daemon = True
            timer.start()

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self.record(counts=[Sample(name, labels, amount)])

    def flush(self) -> None:
        """Write what was gathered, in one round trip. Called by itself; by hand before a process ends."""
        with self._lock:
            gathered, self._gathered = self._gathered, defaultdict(float)
        if not gathered:
            return
        pipe = self._redis.pipeline(transaction=False)
        for field, amount in gathered.items():
            pipe.hincrbyfloat(KEY, field, amount)
        try:
            pipe.execute()
        except RedisError:
            # Not tried again: without an answer nobody knows what was counted.
            log.debug("metrics not counted", exc_info=True)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        try:
            self._redis.hset(KEY, _field(name, labels), str(value))
        except RedisError:
            log.debug("metrics not set", exc_info=True)

    def samples(self) -> Iterator[Sample]:
        """Yield everything counted so far; nothing where Redis does not answer. A bucket holds what fell between it and the one below."""
        self.flush()
        try:
            found = self._redis.hgetall(KEY)
        except RedisError:
            return
        for field, value in sorted(found.items()):
            name, labels = json.loads(field)
            yield Sample(name, labels, float(value))


def _field(name: str, labels: Mapping[str, str]) -> str:
    return json.dumps([name, dict(sorted(labels.items()))])
