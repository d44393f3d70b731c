"""Job events through Redis: to Flask-SocketIO's message queue, to the web processes' waiters, and to the watcher.

Publishing is best effort: the job document is the truth, an event only saves a look at it. Nothing here may fail a job.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import socketio
from redis import Redis
from redis.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

#: Named here once: a write-only manager's own default differs from Flask-SocketIO's.
SOCKETIO_CHANNEL = "flask-socketio"
JOB_CHANNEL = "imagegw:jobs"
IN_FLIGHT_CHANNEL = "imagegw:in-flight"
RETRY_S = 1.0


#: What the web app's own address is to Socket.IO: `io(address)` takes a path for a namespace. In all of them the same is heard.
NAMESPACES = ("/", "/api")


def room_of(user_id: str) -> str:
    return f"user:{user_id}"


@dataclass(frozen=True)
class Listening:
    """How a listener finds out that its connection is half-open, which looks just like a quiet channel.

    One that hears nothing for `pulse_s` asks whether anybody is there, and again at each look, every `look_s`; one that hears not even
    an answer to that for `silence_s` listens anew.
    """

    pulse_s: float = 10.0
    silence_s: float = 20.0
    look_s: float = 1.0


@dataclass(frozen=True)
class SocketEvent:
    name: str
    room: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """What goes out on one channel."""

    channel: str
    text: str


def job_changed(job_id: str, seq: int, *, terminal: bool) -> Message:
    """Return what wakes whoever waits for this job in any web process."""
    return Message(JOB_CHANNEL, json.dumps({"jobId": job_id, "seq": seq, "terminal": terminal}))


def request_in_flight(job_id: str) -> Message:
    """Return what tells the watcher to look at a job's requests now and not only at its next sweep."""
    return Message(IN_FLIGHT_CHANNEL, json.dumps({"jobId": job_id}))


class _Encoder(socketio.PubSubManager):  # type: ignore[misc]
    """Spells what Socket.IO servers say to each other, and sends nothing."""

    def __init__(self) -> None:
        super().__init__(channel=SOCKETIO_CHANNEL, write_only=True)
        self._spelled = threading.local()

    def encoded(self, event: SocketEvent) -> str:
        self.emit(event.name, dict(event.payload), room=event.room, namespace="/")
        text: str = self._spelled.text
        return text

    def _publish(self, data: Mapping[str, Any]) -> None:
        self._spelled.text = self.json.dumps(data)


class EventPublisher:
    """Write-only side, used by every process."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._encoder = _Encoder()

    def socket_message(self, event: SocketEvent) -> Message:
        """Return what sends one Socket.IO event to a room, wherever its clients are connected."""
        return Message(SOCKETIO_CHANNEL, self._encoder.encoded(event))

    def publish(self, *messages: Message) -> None:
        """Send messages in this order, in one round trip."""
        pipe = self._redis.pipeline(transaction=False)
        for message in messages:
            pipe.publish(message.channel, message.text)
        try:
            pipe.execute()
        except RedisError:
            log.warning("events not published", extra={"channels": [message.channel for message in messages]}, exc_info=True)


class SocketManager(socketio.PubSubManager):  # type: ignore[misc]
    """What joins the Socket.IO servers of all web processes: python-socketio's own listens without end on a half-open connection."""

    name = "redis"

    def __init__(self, redis: Redis, listening: Listening = Listening()) -> None:
        super().__init__(channel=SOCKETIO_CHANNEL)
        self._redis = redis
        self._listening = listening

    def _handle_emit(self, message: Mapping[str, Any]) -> None:
        for namespace in NAMESPACES:
            super()._handle_emit({**message, "namespace": namespace})

    def _publish(self, data: Mapping[str, Any]) -> None:
        try:
            self._redis.publish(self.channel, self.json.dumps(data))
        except RedisError:
            log.warning("a Socket.IO message is not published", exc_info=True)

    def _listen(self) -> Iterator[dict[str, Any]]:
        while True:
            try:
                yield from listen(self._redis, self.channel, on_subscribed=lambda: None, stop=lambda: False, listening=self._listening)
            except RedisError:
                log.warning("Redis does not answer, Socket.IO clients hear nothing until it is back")
                time.sleep(RETRY_S)


def listen(
    redis: Redis, channel: str, *, on_subscribed: Callable[[], None], stop: Callable[[], bool], listening: Listening = Listening()
) -> Iterator[dict[str, Any]]:
    """Yield a channel's messages until `stop()`; blocks the calling (green) thread, looks for the end every `look_s`.

    `on_subscribed` runs after each (re)subscription: what was published meanwhile is lost, so the caller reads its documents again.
    Raises RedisError when the connection breaks or falls silent; the caller listens anew.
    """
    with redis.pubsub(ignore_subscribe_messages=False) as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe(channel)
        heard_at = time.monotonic()
        while not stop():
            message = pubsub.get_message(timeout=listening.look_s)
            if message is None:
                _feel_pulse(pubsub, time.monotonic() - heard_at, listening)
                continue
            heard_at = time.monotonic()
            if message["type"] == "subscribe":
                on_subscribed()
            elif message["type"] == "message" and isinstance(body := _parsed(message["data"]), dict):
                yield body


def _feel_pulse(pubsub: PubSub, silent_s: float, listening: Listening) -> None:
    """Ask for a sign of life on a quiet connection. Raises redis' ConnectionError where none came for too long."""
    if silent_s > listening.silence_s:
        raise RedisConnectionError(f"Nothing was heard for {silent_s:.0f} s, not even an answer")
    if silent_s > listening.pulse_s:
        pubsub.ping()


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
