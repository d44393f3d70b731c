"""The Redis that leads is killed: Sentinels name another, every part of the service follows it, and an order goes through meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import httpx
import pytest

from app.clients.lease import KEY
from app.clients.redis import connect_redis
from tests.acceptance.service import Answer, a_prompt, order, wait_until
from tests.faults.place import Place, running_place
from tests.faults.soundness import problems
from tests.support.listeners import listening
from tests.support.redis_servers import Sentinels, running_sentinels

SETTLED_S = 90.0


@dataclass(frozen=True)
class Told:
    before: int
    meanwhile: Answer
    waited: int
    after: int
    heard: set[str]
    limits: bool
    counted: bool
    leases: int
    problems: list[str]


def the_leader_dies() -> Told:
    with (
        running_sentinels() as redis,
        running_place(REDIS_URL=redis.url, RATE_LIMIT_SUBMIT="1000/minute") as place,
        ThreadPoolExecutor(2) as pool,
    ):
        before = generated(place)
        waiting = pool.submit(generated, place, f"{a_prompt()} [emulator: seconds=5]")
        wait_until(lambda: place.database["jobs"].count_documents({"requests.state": "submitted"}) == 1, 30, "a request at fal")
        redis.servers[0].end()
        meanwhile = place.client.post("/api/images/generate", json=order(a_prompt())).json()
        wait_until(lambda: leads(redis, 1) and place.readiness()["checks"]["redis"] == "ok", 60, "another leader")
        with listening(place.stack.base_url, {"userId": "user-2"}) as heard:
            after = answered(place, user="user-2")
            wait_until(lambda: any(name == "generation_completed" for name, _ in heard.events), 30, "the event over Socket.IO")
            names = {name for name, _ in heard.events}
        place.settle_down(SETTLED_S)
        return Told(
            before=before,
            meanwhile=meanwhile,
            waited=waiting.result(60),
            after=after.status_code,
            heard=names,
            limits="RateLimit" in after.headers,
            counted='imagegw_jobs_total{model="flux-pro",status="completed"}' in place.client.get("/metrics").text,
            leases=lease_of(redis),
            problems=problems(place),
        )


def lease_of(redis: Sentinels) -> int:
    """Return whether the watcher's lease is held, at the server that leads now."""
    with closing(connect_redis(redis.servers[1].url)) as leader:
        return int(wait_until(lambda: leader.exists(KEY), 30, "the watcher's lease"))


def generated(place: Place, prompt: str | None = None) -> int:
    return answered(place, prompt).status_code


def answered(place: Place, prompt: str | None = None, *, user: str = "user-1") -> httpx.Response:
    """Order a picture and wait for it."""
    body = order(prompt or a_prompt()) | {"userId": user}
    return httpx.post(f"{place.stack.base_url}/api/images/generate", json=body, timeout=120, trust_env=False)


def leads(redis: Sentinels, number: int) -> bool:
    return redis.leader_port() == redis.servers[number].port


@pytest.mark.story(play=the_leader_dies)
def test_when_the_leading_redis_dies_every_part_follows_the_next_and_orders_go_through(story: Told) -> None:
    assert (story.before, story.waited, story.after) == (201, 201, 201)
    assert story.meanwhile["status"] in ("pending", "completed")
    assert "queue is away" in story.meanwhile["message"] or story.meanwhile["status"] == "completed"
    assert "generation_progress" in story.heard
    assert (story.limits, story.counted, story.leases) == (True, True, 1)


@pytest.mark.story(play=the_leader_dies)
def test_after_the_change_of_leader_the_promise_holds(story: Told) -> None:
    assert story.problems == []
