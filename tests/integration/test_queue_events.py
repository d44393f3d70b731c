from __future__ import annotations

import json
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job as Shift
from rq.serializers import JSONSerializer

from app.clients import queue as queues
from app.clients.events import (
    IN_FLIGHT_CHANNEL,
    JOB_CHANNEL,
    SOCKETIO_CHANNEL,
    EventPublisher,
    SocketEvent,
    SocketManager,
    job_changed,
    listen,
    request_in_flight,
    room_of,
)
from app.clients.fal.breaker import ENDPOINTS, Breaker
from app.clients.queue import (
    ASKED_KEY,
    BATCH_QUEUE,
    COLLECT_QUEUE,
    LINES_AT_ONCE,
    LISTENERS_KEY,
    QUEUES,
    SHIFT_QUEUE,
    SUBMIT_QUEUE,
    TaskQueue,
)
from app.clients.redis import connect_redis, ping
from app.domain.errors import QueueUnavailable
from tests.support.fal_calls import BANANA, FLUX, wait_until
from tests.support.services import Backing
from workers.tasks import TASKS

NOWHERE = "redis://127.0.0.1:9/0"


@pytest.fixture
def publisher(redis: Redis) -> EventPublisher:
    return EventPublisher(redis)


@contextmanager
def heard(redis: Redis, channel: str) -> Iterator[list[dict[str, Any]]]:
    """Collect a channel's messages from when the subscription stands."""
    messages: list[dict[str, Any]] = []
    ready, stop = threading.Event(), threading.Event()

    def hear_one_by_one() -> None:
        for message in listen(redis, channel, on_subscribed=ready.set, stop=stop.is_set):
            messages.append(message)  # noqa: PERF402 - the list is watched while it grows

    thread = threading.Thread(target=hear_one_by_one)
    thread.start()
    try:
        assert ready.wait(30)
        yield messages
    finally:
        stop.set()
        redis.publish(channel, b"wake up")
        thread.join(30)


def shifts(redis: Redis) -> list[Shift]:
    """Return the shifts that RQ is asked for."""
    return Queue(SHIFT_QUEUE, connection=redis, serializer=JSONSerializer).jobs


def test_a_task_is_a_name_and_ids_and_the_most_urgent_is_taken_first(redis: Redis) -> None:
    queue = TaskQueue(redis)
    queue.enqueue_submit("batched", in_batch=True)
    queue.enqueue_submit("job-1")
    queue.enqueue_collect("job-1", 2)
    queue.enqueue_collect("job-2", 0)

    taken = [queue.take() for _ in range(5)]

    assert [(task.name, task.args) for task in taken if task] == [
        *[("collect", ["job-1", 2]), ("collect", ["job-2", 0])],
        *[("submit", ["job-1"]), ("submit", ["batched"])],
    ]
    assert taken[4] is None


def test_a_task_in_redis_is_json_and_no_pickle(redis: Redis) -> None:
    TaskQueue(redis).enqueue_submit("job-1")

    (line,) = redis.lrange(f"imagegw:tasks:{SUBMIT_QUEUE}", 0, -1)
    (shift,) = shifts(redis)
    stored = redis.hget(Shift.key_for(shift.id), "data")

    assert json.loads(line)[:2] == ["submit", ["job-1"]]
    assert isinstance(stored, bytes)
    assert json.loads(zlib.decompress(stored)) == ["workers.tasks.shift", None, [], {}]
    assert callable(shift.func)


def test_the_tasks_are_those_that_workers_know(redis: Redis) -> None:
    queue = TaskQueue(redis)
    queue.enqueue_submit("job-1")
    queue.enqueue_collect("job-1", 0)
    queue.enqueue_expire("job-1")
    queue.enqueue_cancel("job-1")
    queue.enqueue_settle("job-1")
    queue.enqueue_turns()
    queue.enqueue_run("costs")

    assert {task.name for name in QUEUES for task in queue.waiting(name)} == set(TASKS)


def test_rq_is_asked_for_one_shift_until_that_begins(redis: Redis) -> None:
    queue = TaskQueue(redis)
    for number in range(5):
        queue.enqueue_submit(f"job-{number}")
    asked = len(shifts(redis))

    queue.take(begins=True)
    queue.take()
    before = len(shifts(redis))
    for number in range(5):
        queue.enqueue_submit(f"later-{number}")

    assert (asked, before, len(shifts(redis))) == (1, 1, 2)


def test_a_shift_that_is_lost_is_asked_for_again_as_long_as_something_waits(redis: Redis) -> None:
    queue = TaskQueue(redis)
    queue.mend()
    idle = len(shifts(redis))
    queue.enqueue_submit("job-1")
    queue.mend()
    on_its_way = len(shifts(redis))

    redis.delete(ASKED_KEY)  # As it is by itself SHIFT_LOST_S later.
    queue.mend()
    queue.mend()

    assert (idle, on_its_way, len(shifts(redis))) == (0, 1, 2)


def test_without_workers_a_queue_grows_up_to_a_bound(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MOST_WAITING", 3)
    queue = TaskQueue(redis)

    for number in range(9):
        queue.enqueue_submit(f"job-{number}")
        queue.enqueue_collect(f"job-{number}", 0)
    queue.take()
    queue.enqueue_collect("job-8", 0)

    assert [task.args[0] for task in queue.waiting(COLLECT_QUEUE)] == ["job-1", "job-2", "job-8"]
    assert len(queue.waiting(SUBMIT_QUEUE)) == 3


@contextmanager
def listening(redis: Redis, count: int = 1, seconds: float = 20.0) -> Iterator[list[Future[Any]]]:
    """Have workers listen; what comes of each is known once something has come, or its time is over."""
    with ThreadPoolExecutor(count) as threads:
        found = [threads.submit(TaskQueue(redis).listen, seconds) for _ in range(count)]
        wait_until(lambda: redis.info("clients")["blocked_clients"] == count)
        yield found


def test_a_task_goes_to_who_listens_and_no_shift_is_asked_for(redis: Redis) -> None:
    with listening(redis) as (found,):
        TaskQueue(redis).enqueue_submit("job-1")

        assert found.result(20).args == ["job-1"]
    assert shifts(redis) == []


def test_a_listener_counts_for_one_task_and_a_shift_is_asked_for_the_next(redis: Redis) -> None:
    queue = TaskQueue(redis)
    with listening(redis) as (found,):
        queue.enqueue_batch_cancels(over=["job-1", "job-2"], at_fal=[])

        assert found.result(20).args == ["job-1"]
    assert [task.args for task in queue.waiting(BATCH_QUEUE)] == [["job-2"]]
    assert len(shifts(redis)) == 1


def test_as_many_tasks_as_there_are_listeners_are_all_heard(redis: Redis) -> None:
    queue = TaskQueue(redis)
    with listening(redis, 3) as found:
        for number in range(3):
            queue.enqueue_submit(f"job-{number}")

        assert sorted(each.result(20).args[0] for each in found) == ["job-0", "job-1", "job-2"]
    assert (shifts(redis), redis.exists(LISTENERS_KEY)) == ([], 0)


def test_who_has_listened_in_vain_counts_no_more(redis: Redis) -> None:
    queue = TaskQueue(redis)
    assert queue.listen(0.05) is None

    queue.enqueue_submit("job-1")

    assert len(shifts(redis)) == 1


def test_who_finds_something_at_once_does_not_listen(redis: Redis) -> None:
    queue = TaskQueue(redis)
    queue.enqueue_submit("job-1")

    found = queue.listen(20.0)

    assert found is not None
    assert found.args == ["job-1"]
    assert redis.exists(LISTENERS_KEY) == 0


def test_a_listener_that_died_does_not_keep_a_task_waiting(redis: Redis) -> None:
    queue = TaskQueue(redis)
    redis.zadd(LISTENERS_KEY, {"dead since a moment": 1e6 * (time.time() + 60)})
    queue.enqueue_submit("job-1")
    taken_for_alive = len(shifts(redis))
    queue.mend()
    redis.zadd(LISTENERS_KEY, {"dead since long": 1e6 * (time.time() - 1)})
    redis.delete(ASKED_KEY)
    queue.enqueue_submit("job-2")

    assert (taken_for_alive, len(shifts(redis))) == (0, 2)


def test_the_news_of_one_end_are_one_task_unless_it_is_asked_for_again(redis: Redis) -> None:
    queue = TaskQueue(redis)

    queue.enqueue_collect("job-1", 0)
    queue.enqueue_collect("job-1", 0)
    queue.enqueue_collect("job-1", 1)
    told = [task.args[:2] for task in queue.waiting(COLLECT_QUEUE)]
    queue.enqueue_collect("job-1", 0, again=True)

    assert told == [["job-1", 0], ["job-1", 1]]
    assert len(queue.waiting(COLLECT_QUEUE)) == 3


def test_more_tasks_than_fit_into_one_call_are_all_left(redis: Redis) -> None:
    queue = TaskQueue(redis)

    queue.enqueue_batch_cancels(over=[f"over-{n}" for n in range(LINES_AT_ONCE)], at_fal=[f"fal-{n}" for n in range(LINES_AT_ONCE)])

    assert [task.name for task in queue.waiting(BATCH_QUEUE)] == ["settle"] * LINES_AT_ONCE + ["cancel"] * LINES_AT_ONCE
    assert queue.depths()[BATCH_QUEUE][0] == 2 * LINES_AT_ONCE


def test_a_queue_that_does_not_answer_is_a_failure_of_its_own() -> None:
    away = connect_redis(NOWHERE)

    calls: list[Callable[[], None]] = [
        lambda: TaskQueue(away).enqueue_submit("x"),
        lambda: TaskQueue(away).enqueue_collect("x", 0),
        lambda: ping(away),
    ]
    for call in calls:
        with pytest.raises(QueueUnavailable):
            call()


def test_a_burst_of_callers_waits_for_connections_instead_of_failing(backing: Backing, redis: Redis) -> None:
    few = connect_redis(backing.redis_url, pool=2)

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda n: TaskQueue(few).enqueue_submit(f"job-{n}"), range(60)))

    assert len(TaskQueue(redis).waiting(SUBMIT_QUEUE)) == 60
    few.connection_pool.disconnect()


def test_a_jobs_change_reaches_whoever_listens(redis: Redis, publisher: EventPublisher) -> None:
    with heard(redis, JOB_CHANNEL) as messages:
        publisher.publish(job_changed("job-1", 3, terminal=True), request_in_flight("job-2"))
        publisher.publish(job_changed("job-1", 4, terminal=False))
        wait_until(lambda: len(messages) == 2)

    assert messages == [{"jobId": "job-1", "seq": 3, "terminal": True}, {"jobId": "job-1", "seq": 4, "terminal": False}]


def test_a_new_request_in_flight_reaches_the_watcher(redis: Redis, publisher: EventPublisher) -> None:
    with heard(redis, IN_FLIGHT_CHANNEL) as messages:
        publisher.publish(request_in_flight("job-1"))
        wait_until(lambda: messages)

    assert messages == [{"jobId": "job-1"}]


def test_a_message_that_is_no_object_is_passed_over(redis: Redis, publisher: EventPublisher) -> None:
    with heard(redis, JOB_CHANNEL) as messages:
        for junk in (b"\xff", b"{", b"[1]", b"7", b"null"):
            redis.publish(JOB_CHANNEL, junk)
        publisher.publish(job_changed("job-1", 1, terminal=False))
        wait_until(lambda: messages)

    assert [message["jobId"] for message in messages] == ["job-1"]


def test_a_socket_event_reaches_the_servers_on_the_message_queue(redis: Redis, publisher: EventPublisher) -> None:
    server = SocketManager(redis)
    messages: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: messages.append(next(server._listen())), daemon=True)
    thread.start()
    wait_until(lambda: redis.pubsub_numsub(SOCKETIO_CHANNEL)[0][1])

    event = SocketEvent("generation_progress", room_of("user-1"), {"jobId": "job-1", "progress": 20})
    publisher.publish(publisher.socket_message(event))

    thread.join(30)
    message = messages[0]
    assert (message["method"], message["event"], message["room"], message["namespace"]) == (
        "emit",
        "generation_progress",
        "user:user-1",
        "/",
    )
    assert message["data"] == [{"jobId": "job-1", "progress": 20}]


def test_what_one_socketio_server_says_another_hears_and_nobody_fails_without_redis(redis: Redis) -> None:
    server, other = SocketManager(redis), SocketManager(connect_redis(NOWHERE))

    with heard(redis, SOCKETIO_CHANNEL) as messages:
        other._publish({"method": "lost"})
        server._publish({"method": "disconnect", "sid": "1"})
        wait_until(lambda: messages)

    assert messages == [{"method": "disconnect", "sid": "1"}]


def test_events_fail_nobody_when_redis_is_away(caplog: pytest.LogCaptureFixture) -> None:
    publisher = EventPublisher(connect_redis(NOWHERE))

    with caplog.at_level(logging.WARNING):
        publisher.publish(job_changed("job-1", 1, terminal=True), request_in_flight("job-1"))
        publisher.publish(publisher.socket_message(SocketEvent("x", "room", {})))

    assert caplog.text.count("events not published") == 2


def test_a_pause_holds_for_every_process_until_it_is_over(redis: Redis, backing: Backing) -> None:
    mine, others = Breaker(redis), Breaker(other := connect_redis(backing.redis_url))
    assert (others.pause_left_s(FLUX), others.pauses()) == (0, {})

    mine.open("provider_locked", 30)
    assert 29 < others.pause_left_s(FLUX) <= 30
    assert others.pauses() == {"account": "provider_locked"}

    mine.open("provider_locked", 0.02)
    wait_until(lambda: others.pause_left_s(FLUX) == 0)
    other.connection_pool.disconnect()


def test_the_trouble_of_one_endpoint_pauses_that_endpoint_only(redis: Redis) -> None:
    breaker = Breaker(redis)

    for _ in range(5):
        breaker.failed("provider_unavailable", FLUX)

    assert 0 < breaker.pause_left_s(FLUX) <= 5
    assert breaker.pause_left_s(BANANA) == 0
    assert breaker.pauses() == {FLUX: "provider_unavailable"}


def test_a_key_that_one_endpoint_refuses_pauses_that_one_and_two_of_them_pause_all(redis: Redis) -> None:
    breaker = Breaker(redis)

    breaker.forbidden("provider_bad_key", 30, FLUX)
    assert breaker.pauses() == {FLUX: "provider_bad_key"}

    breaker.forbidden("provider_bad_key", 30, BANANA)
    assert breaker.pauses() == {"account": "provider_bad_key", FLUX: "provider_bad_key"}


def test_a_success_forgets_what_failed_before_it(redis: Redis) -> None:
    breaker = Breaker(redis)
    for _ in range(4):
        breaker.failed("provider_unavailable", FLUX)

    breaker.succeeded(FLUX)
    breaker.failed("provider_unavailable", FLUX)

    assert breaker.pauses() == {}


def test_a_pause_that_is_over_is_named_no_longer(redis: Redis) -> None:
    breaker = Breaker(redis)

    breaker.open("provider_unavailable", 0.02, FLUX)

    wait_until(lambda: breaker.pauses() == {})
    assert redis.exists(ENDPOINTS) == 0


def test_without_redis_there_is_no_pause() -> None:
    breaker = Breaker(connect_redis(NOWHERE))

    breaker.open("provider_locked", 30)

    assert (breaker.pause_left_s(FLUX), breaker.pauses()) == (0, {})
