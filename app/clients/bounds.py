"""How much is sent side by side to one receiver, counted in Redis over all processes; who cannot be reached gets less."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

LANE_PLACES, HOST_PLACES, SLOW_PLACES = 5, 10, 1
SLOW_AFTER_FAILURES = 3
#: How long a place stays taken whose receiver could not be reached: with one place left, that is how often it is tried.
FAILED_PLACE_S = 1
SLOW_FOR_S = 600
#: Longer than an attempt takes: the place of whoever died is free again.
PLACE_S = 60

_TAKE = """
local now, expires = tonumber(ARGV[1]), tonumber(ARGV[2])
local lane_places = tonumber(ARGV[4])
if tonumber(redis.call('GET', KEYS[3]) or '0') >= tonumber(ARGV[7]) then lane_places = tonumber(ARGV[6]) end
for i = 1, 2 do redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now) end
if redis.call('ZCARD', KEYS[1]) >= lane_places or redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[5]) then return 0 end
for i = 1, 2 do
  redis.call('ZADD', KEYS[i], expires, ARGV[3])
  redis.call('EXPIREAT', KEYS[i], math.ceil(expires))
end
return 1
"""


@dataclass
class Place:
    """A place in a lane and at its host, if one was free. `failed`: whether the receiver was away; None: nothing was sent."""

    is_free: bool
    failed: bool | None = None


class Bounds:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._take = redis.register_script(_TAKE)

    @contextlib.contextmanager
    def place(self, lane: str, host: str, *, by: str) -> Iterator[Place]:
        """Hold a place for as long as the block takes; `by` names this one. Without Redis only a process' own threads bound it."""
        keys = [f"imagegw:sending:{lane}", f"imagegw:sending-to:{host}", f"imagegw:slow:{lane}"]
        place = Place(self._is_free(keys, by))
        try:
            yield place
        finally:
            if place.is_free:
                self._leave(keys, by, place)

    def _is_free(self, keys: list[str], by: str) -> bool:
        now = time.time()
        try:
            places = [LANE_PLACES, HOST_PLACES, SLOW_PLACES, SLOW_AFTER_FAILURES]
            return bool(self._take(keys=keys, args=[now, now + PLACE_S, by, *places]))
        except RedisError:
            return True

    def _leave(self, keys: list[str], by: str, place: Place) -> None:
        lane, host, slow = keys
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zrem(host, by)
        if place.failed:
            pipeline.zadd(lane, {by: time.time() + FAILED_PLACE_S}, xx=True)
            pipeline.incr(slow)
            pipeline.expire(slow, SLOW_FOR_S)
        else:
            pipeline.zrem(lane, by)
        if place.failed is False:
            pipeline.delete(slow)
        with contextlib.suppress(RedisError):  # Then the place is free when it expires.
            pipeline.execute()
