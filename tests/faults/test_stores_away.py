"""Redis lost with all it knew, MongoDB frozen and killed, storage gone for a while: work goes on when they are back."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest

from tests.acceptance.service import Answer, a_prompt, order, wait_until
from tests.faults.outages import mongo_dead, mongo_frozen, redis_lost, storage_away
from tests.faults.place import Place, running_place, until_all
from tests.faults.soundness import problems

FROZEN_S, DEAD_S = 4.0, 2.0


@dataclass(frozen=True)
class Told:
    statuses: Counter[str]
    problems: list[str]
    seen: Answer
    tries: int = 0


def redis_comes_back_empty() -> Told:
    """Some pictures are not sent yet, some are at fal and end meanwhile, some end later, a client waits; then Redis forgets everything."""
    with running_place(seconds=1.0) as place, ThreadPoolExecutor(8) as pool:
        customer = place.customer()
        early = [customer.order(a_prompt()) for _ in range(3)]
        late = [customer.order(f"{a_prompt()} [emulator: seconds=6]") for _ in range(2)]
        until_all(place, [*early, *late], "submitted")
        waiting = pool.submit(waited_for, place, f"{a_prompt()} [emulator: seconds=8]")
        wait_until(lambda: place.database["jobs"].count_documents({"status": "processing"}) == 6, 30, "the client's own picture")
        with redis_lost(place.stack):
            while_away = place.readiness()
            unsent = [pool.submit(customer.order, a_prompt()) for _ in range(3)]
            [job.result(60) for job in unsent]
        place.settle_down(90)
        answer = waiting.result(60)
        seen = {
            "redis": while_away["checks"]["redis"],
            "answer": (answer.status_code, answer.json()["status"]),
            "balance": customer.balance(),
        }
        return Told(statuses_of(place), problems(place), seen)


def waited_for(place: Place, prompt: str) -> httpx.Response:
    return httpx.post(f"{place.stack.base_url}/api/images/generate", json=order(prompt), timeout=120, trust_env=False)


def mongo_freezes_and_dies() -> Told:
    with running_place(seconds=2.0) as place, ThreadPoolExecutor(8) as pool:
        customer, seen = place.customer(), {}
        for trouble, away_s in ((mongo_frozen, FROZEN_S), (mongo_dead, DEAD_S)):
            at_fal = [customer.order(a_prompt()) for _ in range(2)]
            until_all(place, at_fal, "submitted")
            with trouble(place.stack):
                meanwhile = [pool.submit(customer.order, a_prompt()) for _ in range(2)]
                time.sleep(away_s)
                if trouble is mongo_dead:
                    seen["mongo"] = place.readiness()["checks"]["mongo"]
            [job.result(60) for job in meanwhile]
            place.settle_down(90)
        seen["balance"] = customer.balance()
        return Told(statuses_of(place), problems(place), seen)


def storage_goes_away() -> Told:
    """A file stands where the folder was, until each picture was stored in vain twice."""
    with running_place() as place:
        customer = place.customer()
        with storage_away(place):
            job_ids = [customer.order(a_prompt(), num_images=2) for _ in range(2)]
            wait_until(lambda: min(tries_of(place, job_id) for job_id in job_ids) >= 2, 40, "two tries each")
            while_away = place.readiness()
        place.settle_down(60)
        seen = {"storage": while_away["checks"]["storage"], "balance": customer.balance()}
        return Told(statuses_of(place), problems(place), seen, tries=min(tries_of(place, job_id) for job_id in job_ids))


def tries_of(place: Place, job_id: str) -> int:
    return int(place.document(job_id)["requests"][0]["collectAttempts"])


def statuses_of(place: Place) -> Counter[str]:
    return Counter(job["status"] for job in place.jobs())


@pytest.mark.story(play=redis_comes_back_empty)
def test_redis_may_come_back_empty_and_every_order_and_every_picture_is_still_known(story: Told) -> None:
    assert story.seen["redis"] != "ok"
    assert story.statuses == {"completed": 9}
    assert story.problems == []
    assert story.seen["balance"] == (200, 0)


@pytest.mark.story(play=redis_comes_back_empty)
def test_a_client_that_waits_while_redis_is_lost_gets_its_answer(story: Told) -> None:
    assert story.seen["answer"] == (201, "completed")


@pytest.mark.story(play=mongo_freezes_and_dies)
def test_a_database_that_freezes_and_one_that_is_killed_lose_no_order_and_no_picture(story: Told) -> None:
    assert story.seen["mongo"] != "ok"
    assert story.statuses == {"completed": 8}
    assert story.problems == []
    assert story.seen["balance"] == (200, 0)


@pytest.mark.story(play=storage_goes_away)
def test_pictures_that_could_not_be_stored_twice_are_stored_when_storage_is_back(story: Told) -> None:
    assert story.seen["storage"] != "ok"
    assert story.tries >= 2
    assert story.statuses == {"completed": 2}
    assert story.problems == []
    assert story.seen["balance"] == (600, 0)
