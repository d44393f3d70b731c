"""The pause in submitting while fal as a whole refuses us, shared by all processes through Redis.

Without Redis there is no pause: each submit is then refused by fal itself, and put back.
"""

from __future__ import annotations

import logging

from redis import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

KEY = "imagegw:fal-paused"


class Breaker:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def open(self, reason: str, pause_s: float) -> None:
        """Stop all submits for a while."""
        log.error("submits to fal are paused", extra={"reason": reason, "pause_s": pause_s})
        try:
            self._redis.set(KEY, reason, px=int(pause_s * 1000))
        except RedisError:
            log.warning("the pause cannot be shared", exc_info=True)

    def pause_left_s(self) -> float:
        """Return how long submits still pause; 0 while they may go on."""
        try:
            left = self._redis.pttl(KEY)
        except RedisError:
            return 0.0
        return max(0, int(left)) / 1000

    def reason(self) -> str | None:
        """Return why submits pause, or None."""
        try:
            value = self._redis.get(KEY)
        except RedisError:
            return None
        return value.decode() if isinstance(value, bytes) else None
