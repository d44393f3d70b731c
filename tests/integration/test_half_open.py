"""A half-open connection: the other end is gone and nobody says so. Each client of a store must find out by itself, within a minute."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer
from redis import Redis
from redis.exceptions import RedisError

from app.clients import bucket
from app.clients.bucket import S3Storage
from app.clients.events import Listening, SocketManager, listen
from app.clients.redis import connect_redis
from tests.support.fal_calls import wait_until
from tests.support.proxies import Proxy, proxied
from tests.support.services import Backing

WITHIN_S = 60.0


def through(proxy: Proxy, url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(netloc=f"127.0.0.1:{proxy.port}"))


@pytest.fixture
def way_to_redis(backing: Backing) -> Iterator[Proxy]:
    parts = urlsplit(backing.redis_url)
    assert parts.hostname is not None
    assert parts.port is not None
    with proxied(parts.hostname, parts.port) as proxy:
        yield proxy


@pytest.fixture
def far_redis(way_to_redis: Proxy, backing: Backing) -> Iterator[Redis]:
    client = connect_redis(through(way_to_redis, backing.redis_url))
    yield client
    client.close()


def test_a_listener_on_a_half_open_connection_gives_up_and_says_so(way_to_redis: Proxy, far_redis: Redis) -> None:
    impatient = Listening(pulse_s=0.5, silence_s=3.0, look_s=0.1)
    failures: list[Exception] = []
    subscribed = threading.Event()

    def hear() -> None:
        try:
            next(listen(far_redis, "some-channel", on_subscribed=subscribed.set, stop=lambda: False, listening=impatient))
        except RedisError as exc:
            failures.append(exc)

    thread = threading.Thread(target=hear)
    thread.start()
    assert subscribed.wait(10)
    way_to_redis.silence()
    thread.join(20)

    assert "Nothing was heard" in str(failures[0])


def test_a_listener_on_a_quiet_channel_stays(redis: Redis, far_redis: Redis) -> None:
    impatient = Listening(pulse_s=0.1, silence_s=1.0, look_s=0.05)
    subscriptions: list[float] = []
    heard: list[object] = []

    def hear() -> None:
        subscribed = lambda: subscriptions.append(time.monotonic())  # noqa: E731
        heard.append(next(listen(far_redis, "a-channel", on_subscribed=subscribed, stop=lambda: False, listening=impatient)))

    thread = threading.Thread(target=hear)
    thread.start()
    wait_until(lambda: subscriptions)
    wait_until(lambda: time.monotonic() - subscriptions[0] > 2)
    redis.publish("a-channel", '{"found": true}')
    thread.join(10)

    assert (heard, len(subscriptions)) == ([{"found": True}], 1)


def test_socketio_hears_again_after_its_connection_became_half_open(way_to_redis: Proxy, redis: Redis, far_redis: Redis) -> None:
    manager = SocketManager(far_redis, Listening(pulse_s=0.3, silence_s=1.5, look_s=0.1))
    heard: list[object] = []
    threading.Thread(target=lambda: heard.append(next(manager._listen())), daemon=True).start()
    wait_until(lambda: redis.pubsub_numsub(manager.channel)[0][1] == 1)
    way_to_redis.silence()

    wait_until(lambda: (redis.publish(manager.channel, '{"method": "emit"}'), heard)[1], seconds=20)

    assert heard == [{"method": "emit"}]


def test_a_command_on_a_half_open_connection_goes_to_a_new_one(way_to_redis: Proxy, far_redis: Redis) -> None:
    far_redis.ping()
    way_to_redis.silence()
    started = time.monotonic()

    assert far_redis.ping()

    assert time.monotonic() - started < WITHIN_S / 2


def test_a_redis_that_answers_nobody_is_known_within_half_a_minute(way_to_redis: Proxy, far_redis: Redis) -> None:
    far_redis.ping()
    way_to_redis.cut.add("down")
    started = time.monotonic()

    with pytest.raises(RedisError):
        far_redis.ping()

    assert time.monotonic() - started < WITHIN_S / 2


def test_a_picture_whose_stores_answer_is_lost_is_stored_over_a_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with proxied(*server.get_host_and_port()) as way:
        address = f"http://127.0.0.1:{way.port}"
        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1")
        client.create_bucket(Bucket="pictures")
        storage = S3Storage("pictures", "", endpoint_url=address, public_base=None, region="us-east-1", read_timeout_s=1)
        way.fatal_words = b"PUT /pictures/key"

        storage.put("key", io.BytesIO(b"a picture"), "image/png")

        assert way.fatal_words is None
        assert client.get_object(Bucket="pictures", Key="key")["Body"].read() == b"a picture"
        client.close()
        storage._s3.close()
    server.stop()


def test_a_bucket_that_answers_nobody_is_known_within_a_minute() -> None:
    pauses_s = 1.0  # botocore waits up to a second before the second try.

    assert bucket.TRIES * (bucket.CONNECT_S + bucket.READ_S) + pauses_s < WITHIN_S
