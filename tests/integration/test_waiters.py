"""Whoever waits for a job or follows it: told of each change, and forgotten when gone."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from app.clients.redis import connect_redis
from app.domain import clock
from app.services.events.waiting import JobWaiters
from tests.support.gateway import Gateway
from tests.support.services import Backing

PULSE_S = 0.2


@pytest.fixture
def waiters(gateway: Gateway, backing: Backing) -> JobWaiters:
    # With a connection of its own: its thread listens until the process ends.
    return JobWaiters(connect_redis(backing.redis_url), gateway.services.jobs)


def test_whoever_stops_following_leaves_nothing_behind(gateway: Gateway, waiters: JobWaiters) -> None:
    job = gateway.order()
    stories = [waiters.follow(job, pulse_s=PULSE_S) for _ in range(20)]

    seen = [next(story) for story in stories]
    registered = len(waiters._following[job.id])
    for story in stories:
        story.close()  # type: ignore[attr-defined]  # As the web server does with a generator whose client has gone.

    assert {current.id for current in seen if current} == {job.id}
    assert registered == 20
    assert dict(waiters._following) == {}


def test_a_follower_sees_each_state_until_the_end(gateway: Gateway, waiters: JobWaiters) -> None:
    job = gateway.order()
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(lambda: [current for current in waiters.follow(job, pulse_s=5) if current])

        gateway.generated(job)
        states = following.result(10)

    assert states[-1].is_terminal
    assert [state.seq for state in states] == sorted(state.seq for state in states)
    assert dict(waiters._following) == {}


def test_a_follower_learns_of_a_change_whose_event_was_lost(gateway: Gateway, waiters: JobWaiters) -> None:
    job = gateway.order()
    story = waiters.follow(job, pulse_s=PULSE_S)
    first = next(story)

    gateway.services.jobs.change(job.id, lambda current: current.cancel_requested(now=clock.now()))  # The store tells nobody.
    rest = [current for current in islice(story, 10) if current]

    assert first is not None
    assert not first.is_terminal
    assert rest[-1].is_terminal


def test_a_process_about_to_end_lets_everybody_go(gateway: Gateway, waiters: JobWaiters) -> None:
    job = gateway.order()
    with ThreadPoolExecutor(2) as pool:
        following = pool.submit(lambda: list(waiters.follow(job, pulse_s=60)))
        waiting = pool.submit(waiters.wait, job.id, 60)
        time.sleep(0.3)

        began = time.monotonic()
        waiters.drain()
        waited, followed = waiting.result(30), following.result(30)

    assert time.monotonic() - began < 30
    assert not waited.is_terminal
    assert followed
