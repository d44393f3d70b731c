"""Counts and durations of all processes together, kept in Redis: workers have no port of their own that Prometheus could ask.

Best effort: a lost count is no reason to fail. Redis coming back empty looks to Prometheus like a restart.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

KEY = "imagegw:metrics"
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)


@dataclass(frozen=True)
class Sample:
    name: str
    labels: Mapping[str, str]
    value: float


class Metrics:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def record(self, *, counts: Sequence[Sample] = (), seconds: Sequence[Sample] = ()) -> None:
        """Add counts and observe durations, all in one round trip."""
        pipe = self._redis.pipeline(transaction=False)
        for sample in counts:
            pipe.hincrbyfloat(KEY, _field(sample.name, sample.labels), sample.value)
        for sample in seconds:
            name, labels, value = sample.name, sample.labels, sample.value
            for bound in BUCKETS_S:
                if value <= bound:
                    pipe.hincrbyfloat(KEY, _field(f"{name}_bucket", {**labels, "le": f"{bound:g}"}), 1)
            pipe.hincrbyfloat(KEY, _field(f"{name}_bucket", {**labels, "le": "+Inf"}), 1)
            pipe.hincrbyfloat(KEY, _field(f"{name}_count", labels), 1)
            pipe.hincrbyfloat(KEY, _field(f"{name}_sum", labels), value)
        try:
            pipe.execute()
        except RedisError:
            log.debug("metrics not counted", exc_info=True)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self.record(counts=[Sample(name, labels, amount)])

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        try:
            self._redis.hset(KEY, _field(name, labels), str(value))
        except RedisError:
            log.debug("metrics not set", exc_info=True)

    def samples(self) -> Iterator[Sample]:
        """Yield everything counted so far; nothing where Redis does not answer."""
        try:
            found = self._redis.hgetall(KEY)
        except RedisError:
            return
        for field, value in sorted(found.items()):
            name, labels = json.loads(field)
            yield Sample(name, labels, float(value))


def _field(name: str, labels: Mapping[str, str]) -> str:
    return json.dumps([name, dict(sorted(labels.items()))])
