"""Whether fal is well: the pauses in submitting while it is not, of one endpoint or of all, shared by all processes through Redis.

Without Redis there is no pause: each submit is then refused by fal itself, and put back.
"""

from __future__ import annotations

import logging

from redis import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

PAUSED, FAILURES, OPENINGS, FORBIDDEN = (f"imagegw:fal-{name}" for name in ("paused", "failures", "openings", "forbidden"))
#: Which endpoints may be pausing: Redis cannot be asked for the keys that begin with something without walking over all.
ENDPOINTS = "imagegw:fal-paused-endpoints"
#: So many refused submits in a row, within a minute of each other, are fal's trouble and not a request's.
THRESHOLD = 5
WINDOW_S = 60
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0
#: What is paused where the whole account is: nothing else can be named so.
ACCOUNT = "account"


class Breaker:
    """`endpoint` names the one that is in trouble; None stands for the account as a whole, and pauses every endpoint."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._seen_failing: set[str | None] = set()

    def open(self, reason: str, pause_s: float, endpoint: str | None = None) -> None:
        """Stop submits for a while; they go on by themselves."""
        log.error("submits to fal are paused", extra={"reason": reason, "pause_s": pause_s, "endpoint": endpoint or ACCOUNT})
        try:
            self._redis.set(_key(PAUSED, endpoint), reason, px=int(pause_s * 1000))
            if endpoint:
                self._redis.sadd(ENDPOINTS, endpoint)
        except RedisError:
            log.warning("the pause cannot be shared", exc_info=True)

    def failed(self, reason: str, endpoint: str | None = None) -> None:
        """Count a refused submit; too many in a row open the breaker, each time for longer."""
        self._seen_failing.add(endpoint)
        failed, opened = _key(FAILURES, endpoint), _key(OPENINGS, endpoint)
        try:
            failures = int(self._redis.incr(failed))
            self._redis.expire(failed, WINDOW_S)
            if failures < THRESHOLD:
                return
            openings = int(self._redis.incr(opened))
            self._redis.expire(opened, int(10 * LONGEST_PAUSE_S))
            self._redis.delete(failed)
        except RedisError:
            return
        self.open(reason, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (openings - 1)), endpoint)

    def forbidden(self, reason: str, pause_s: float, endpoint: str) -> None:
        """Pause an endpoint that refuses our key; where a second one does within a minute of the first, it is the key's trouble."""
        self._seen_failing.add(endpoint)
        try:
            self._redis.sadd(FORBIDDEN, endpoint)
            self._redis.expire(FORBIDDEN, WINDOW_S)
            is_the_key = int(self._redis.scard(FORBIDDEN)) > 1
        except RedisError:
            is_the_key = False
        self.open(reason, pause_s, None if is_the_key else endpoint)

    def succeeded(self, endpoint: str) -> None:
        """Forget the failures before, of the endpoint and of the account; asks Redis only where this process has seen any."""
        seen = self._seen_failing & {endpoint, None}
        if not seen:
            return
        keys = [_key(name, scope) for scope in seen for name in (FAILURES, OPENINGS)]
        try:
            self._redis.delete(*keys, FORBIDDEN)
        except RedisError:
            return
        self._seen_failing -= seen

    def pause_left_s(self, endpoint: str) -> float:
        """Return how long submits to an endpoint still pause, for its own sake or the account's; 0 while they may go on."""
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.pttl(PAUSED)
                pipeline.pttl(_key(PAUSED, endpoint))
                left = max(int(found) for found in pipeline.execute())
        except RedisError:
            return 0.0
        return max(0, left) / 1000

    def pauses(self) -> dict[str, str]:
        """Return why submits pause, by endpoint, or `account` for all of them; nothing while none does."""
        try:
            endpoints = sorted(_text(found) for found in self._redis.smembers(ENDPOINTS))
            reasons = self._redis.mget([PAUSED, *(_key(PAUSED, endpoint) for endpoint in endpoints)])
            over = [endpoint for endpoint, reason in zip(endpoints, reasons[1:], strict=True) if reason is None]
            if over:
                self._redis.srem(ENDPOINTS, *over)
        except RedisError:
            return {}
        return {name: _text(reason) for name, reason in zip([ACCOUNT, *endpoints], reasons, strict=True) if reason is not None}


def _key(name: str, endpoint: str | None) -> str:
    return f"{name}:{endpoint}" if endpoint else name


def _text(found: bytes | str) -> str:
    return found.decode() if isinstance(found, bytes) else found
