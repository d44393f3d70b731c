"""Job events through Redis: to Flask-SocketIO's message queue, to the web processes' waiters, and to the watcher.

Publishing is best effort: the job document is the truth, an event only saves a look at it. Nothing here may fail a job.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import socketio
from redis import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

#: Named here once: a write-only manager's own default differs from Flask-SocketIO's.
SOCKETIO_CHANNEL = "flask-socketio"
JOB_CHANNEL = "imagegw:jobs"
IN_FLIGHT_CHANNEL = "imagegw:in-flight"


def room_of(user_id: str) -> str:
    return f"user:{user_id}"


@dataclass(frozen=True)
class SocketEvent:
    name: str
    room: str
    payload: Mapping[str, Any]


class EventPublisher:
    """Write-only side, used by every process."""

    def __init__(self, redis: Redis, redis_url: str) -> None:
        self._redis = redis
        self._sockets = socketio.RedisManager(redis_url, channel=SOCKETIO_CHANNEL, write_only=True)

    def job_changed(self, job_id: str, seq: int, *, terminal: bool) -> None:
        """Wake whoever waits for this job in any web process."""
        self._publish(JOB_CHANNEL, {"jobId": job_id, "seq": seq, "terminal": terminal})

    def request_in_flight(self, job_id: str) -> None:
        """Tell the watcher to look at a job's requests now and not only at its next sweep."""
        self._publish(IN_FLIGHT_CHANNEL, {"jobId": job_id})

    def emit(self, event: SocketEvent) -> None:
        """Send one Socket.IO event to a room, wherever its clients are connected."""
        try:
            self._sockets.emit(event.name, dict(event.payload), room=event.room, namespace="/")
        except Exception:
            log.warning("socket event not sent", extra={"event_name": event.name}, exc_info=True)

    def _publish(self, channel: str, message: Mapping[str, Any]) -> None:
        try:
            self._redis.publish(channel, json.dumps(message))
        except RedisError:
            log.warning("event not published", extra={"channel": channel}, exc_info=True)


def listen(redis: Redis, channel: str, *, on_subscribed: Callable[[], None], stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """Yield a channel's messages until `stop()`; blocks the calling (green) thread, reads at most a second at a time.

    `on_subscribed` runs after each (re)subscription: what was published meanwhile is lost, so the caller reads its documents again.
    Raises RedisError when the connection breaks; the caller listens anew.
    """
    with redis.pubsub(ignore_subscribe_messages=False) as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe(channel)
        while not stop():
            message = pubsub.get_message(timeout=1.0)
            if message is None:
                continue
            if message["type"] == "subscribe":
                on_subscribed()
            elif message["type"] == "message" and isinstance(body := _parsed(message["data"]), dict):
                yield body


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
