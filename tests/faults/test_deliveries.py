"""Webhooks while things break: a courier killed after its call, Redis emptied, a receiver that is slow for one and not for others."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from redis import Redis

from tests.acceptance.service import a_prompt, wait_until
from tests.faults.place import Place, running_place
from tests.faults.soundness import problems
from tests.support.receiver import Call


@dataclass
class Told:
    ids: list[str] = field(default_factory=list)
    attempts: list[int | None] = field(default_factory=list)
    after_flush: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def a_courier_dies_after_its_call_and_redis_forgets() -> Told:
    told = Told()
    with running_place() as place:
        assert place.listener is not None
        customer = place.customer()
        killed_after_the_call(place, customer.order(a_prompt()), told)
        told.after_flush = flushed_while_it_waits(place, customer.order(a_prompt()))
        place.listener.wait(60)
        told.problems = problems(place)
    return told


def killed_after_the_call(place: Place, job_id: str, told: Told) -> None:
    """Kill the couriers while the receiver has a call and has not answered yet."""
    assert place.listener is not None
    receiver, answered = place.listener.receiver, threading.Event()

    def hold(call: Call) -> tuple[int, dict[str, str]]:
        answered.wait(30)
        return 204, {}

    receiver.answer = hold
    held = wait_until(lambda: of(place, job_id), 30, "the first call")[0]
    place.stack.kill("worker")
    answered.set()
    receiver.answer = lambda _: (204, {})
    place.stack.start("worker")
    wait_until(lambda: place.job(job_id)["completedAt"], 30, "the job's end")
    time.sleep(5)  # After so long a claim counts as cut off.
    place.listener.wait(60)
    told.ids = [call.id for call in of(place, job_id) if call.said["type"] == held.said["type"]]
    kept = place.database["deliveries"].find_one({"_id": held.id})
    told.attempts = [attempt["statusCode"] for attempt in kept["attempts"]] if kept else []


def flushed_while_it_waits(place: Place, job_id: str) -> list[str]:
    """Empty Redis while a delivery waits for its second attempt; return the types of what comes afterwards."""
    assert place.listener is not None
    receiver = place.listener.receiver
    receiver.answers(500)
    wait_until(lambda: [call for call in of(place, job_id) if call.said["type"] == "job.completed"], 30, "the first attempt")
    with Redis.from_url(place.stack.redis_url) as redis:
        redis.flushall()
    before = len(receiver.calls)
    receiver.answers(204)
    place.listener.wait(60)
    return sorted({call.said["type"] for call in receiver.calls[before:]})


def of(place: Place, job_id: str) -> list[Call]:
    assert place.listener is not None
    path = urlsplit(place.listener.receiver.url()).path
    return [call for call in place.listener.receiver.at(path) if call.said["data"]["jobId"] == job_id]


@pytest.mark.story(play=a_courier_dies_after_its_call_and_redis_forgets)
def test_what_a_killed_courier_had_sent_is_sent_again_under_the_same_id(story: Told) -> None:
    assert len(story.ids) == 2
    assert len(set(story.ids)) == 1
    assert story.attempts == [204]


@pytest.mark.story(play=a_courier_dies_after_its_call_and_redis_forgets)
def test_what_redis_has_forgotten_is_found_and_delivered_all_the_same(story: Told) -> None:
    assert "job.completed" in story.after_flush
    assert story.problems == []
