"""The id of something paid for is never in memory only: whatever is killed and emptied, the picture is delivered and bought once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from tests.acceptance.service import Answer, a_prompt, wait_until
from tests.faults.place import Place, running_place
from tests.faults.soundness import problems


@dataclass(frozen=True)
class Told:
    kept: list[str]
    in_redis: int
    job: Answer
    posts: int
    left: list[str]
    problems: list[str]


def everything_is_lost_after_a_purchase() -> Told:
    """fal takes a submit and is slow to say so. Meanwhile MongoDB is killed; then the worker is, and Redis is emptied."""
    with running_place() as place:
        customer, prompt = place.customer(), a_prompt()
        place.emulator.fault("submit", "slow", seconds=3.0, promptContains=prompt)
        job_id = customer.order(prompt)
        wait_until(lambda: bought(place, prompt), 30, "the purchase")
        place.stack.kill("mongo")
        wait_until(lambda: receipts(place) and redis_of(place).hlen("imagegw:receipts"), 60, "the receipt")
        kept, in_redis = receipts(place), redis_of(place).hlen("imagegw:receipts")
        place.stack.kill("worker")
        redis_of(place).flushall()
        place.stack.start("mongo")
        place.stack.start("worker")
        place.settle_down(90)
        wait_until(lambda: not receipts(place), 30, "the file's removal")
        return Told(kept, in_redis, customer.job(job_id), bought(place, prompt), receipts(place), problems(place))


def bought(place: Place, prompt: str) -> int:
    return sum(seen["arguments"]["prompt"] == prompt for seen in place.emulator.requests())


def receipts(place: Place) -> list[str]:
    return [path.name for path in Path(place.stack.env["RECEIPTS_DIR"]).glob("*")]


def redis_of(place: Place) -> Redis:
    return Redis.from_url(place.stack.redis_url)


@pytest.mark.story(play=everything_is_lost_after_a_purchase)
def test_a_receipt_outlives_mongodb_its_worker_and_redis_in_a_file_that_the_next_worker_takes_in(story: Told) -> None:
    assert (len(story.kept), story.in_redis) == (1, 1)
    assert (story.job["status"], story.posts) == ("completed", 1)
    assert (story.left, story.problems) == ([], [])
