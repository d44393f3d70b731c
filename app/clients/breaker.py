"""Whether fal as a whole is well: the pause in submitting while it is not, shared by all processes through Redis.

Without Redis there is no pause: each submit is then refused by fal itself, and put back.
"""

from __future__ import annotations

import logging

from redis import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

PAUSED, FAILURES, OPENINGS, WEBHOOK = (f"imagegw:fal-{name}" for name in ("paused", "failures", "openings", "webhook-seen"))
#: So many refused submits in a row, within a minute of each other, are fal's trouble and not a request's.
THRESHOLD = 5
WINDOW_S = 60
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0
WEBHOOK_TRUST_S = 60


class Breaker:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._seen_failing = False

    def open(self, reason: str, pause_s: float) -> None:
        """Stop all submits for a while; they go on by themselves."""
        log.error("submits to fal are paused", extra={"reason": reason, "pause_s": pause_s})
        try:
            self._redis.set(PAUSED, reason, px=int(pause_s * 1000))
        except RedisError:
            log.warning("the pause cannot be shared", exc_info=True)

    def failed(self, reason: str) -> None:
        """Count a refused submit; too many in a row open the breaker, each time for longer."""
        self._seen_failing = True
        try:
            failures = int(self._redis.incr(FAILURES))
            self._redis.expire(FAILURES, WINDOW_S)
            if failures < THRESHOLD:
                return
            openings = int(self._redis.incr(OPENINGS))
            self._redis.expire(OPENINGS, int(10 * LONGEST_PAUSE_S))
            self._redis.delete(FAILURES)
        except RedisError:
            return
        self.open(reason, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (openings - 1)))

    def succeeded(self) -> None:
        """Forget the failures before; asks Redis only where this process has seen any."""
        if not self._seen_failing:
            return
        self._seen_failing = False
        try:
            self._redis.delete(FAILURES, OPENINGS)
        except RedisError:
            self._seen_failing = True

    def pause_left_s(self) -> float:
        """Return how long submits still pause; 0 while they may go on."""
        try:
            left = self._redis.pttl(PAUSED)
        except RedisError:
            return 0.0
        return max(0, int(left)) / 1000

    def reason(self) -> str | None:
        """Return why submits pause, or None."""
        try:
            value = self._redis.get(PAUSED)
        except RedisError:
            return None
        return value.decode() if isinstance(value, bytes) else None

    def webhook_seen(self) -> None:
        """Note that fal's webhooks reach us: polling may slow down."""
        try:
            self._redis.set(WEBHOOK, 1, ex=WEBHOOK_TRUST_S)
        except RedisError:
            log.debug("webhook not noted", exc_info=True)

    def webhooks_work(self) -> bool:
        """Tell whether a webhook reached us within the last minute."""
        try:
            return bool(self._redis.exists(WEBHOOK))
        except RedisError:
            return False
