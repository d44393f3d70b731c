"""The watcher's lease: one holder at a time; another takes over within LEASE_S of the holder's death."""

from __future__ import annotations

import logging
import os
import socket
import uuid

from redis import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

KEY = "imagegw:watcher"
LEASE_S = 15

_RENEW = """
local holder = redis.call('get', KEYS[1])
if holder == ARGV[1] or not holder then
  redis.call('set', KEYS[1], ARGV[1], 'EX', ARGV[2])
  return 1
end
return 0
"""
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class Lease:
    renew_every_s = LEASE_S / 5

    def __init__(self, redis: Redis) -> None:
        # Host and process are for people.
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)

    def renew(self) -> bool:
        """Take or keep the lease; tells whether we hold it.

        Without Redis we watch on: stopping would leave paid pictures at fal, while two watchers only waste polls.
        """
        try:
            return bool(self._renew(keys=[KEY], args=[self._holder, LEASE_S]))
        except RedisError:
            log.warning("Redis does not answer, watching on without a lease")
            return True

    def release(self) -> None:
        self._release(keys=[KEY], args=[self._holder])


def holder_of(redis: Redis) -> str | None:
    """Return host and process of the watcher that is at work, or None where none is, or Redis does not answer."""
    try:
        found = redis.get(KEY)
    except RedisError:
        return None
    text = found.decode() if isinstance(found, bytes) else found
    return str(text).rpartition(":")[0] or str(text) if text else None
