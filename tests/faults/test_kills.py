"""kill -9 at random moments: of workers, of the watcher, of the web process, and at the end of all at once."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.acceptance.service import a_prompt, wait_until
from tests.faults.customers import Customer
from tests.faults.outages import mended, power_cut
from tests.faults.place import Place, running_place
from tests.faults.soundness import problems
from tests.faults.storm import Storm, ordering

SEED = 20261121
GENERATIONS = 100
KILLS = 14
CUT_OFF = 2
#: fal splits five images over two requests.
NUM_IMAGES = (1, 1, 1, 1, 1, 1, 1, 1, 1, 5)


@dataclass(frozen=True)
class Aftermath:
    ordered: int
    outcomes: Counter[str]
    problems: list[str]
    ledger: str
    struck: list[str]
    untold: list[str]
    times_told: list[int]


def kills_at_random() -> Aftermath:
    with running_place(seconds=1.0) as place:
        customers = [place.customer(tokens=5000) for _ in range(4)]
        cut_off = killed_in_the_middle_of_submits(place, customers[0])
        storm, over = Storm(place.stack, SEED), threading.Event()
        with ThreadPoolExecutor(5) as pool:
            raging = pool.submit(storm.rage, over)
            job_ids = {order.result(90) for order in ordering(pool, customers, GENERATIONS, num_images=NUM_IMAGES)}
            wait_until(lambda: raging.done() or len(storm.struck) >= KILLS, 60, "the kills")
            over.set()
            raging.result(60)
        power_cut(place.stack)
        mended(place)
        assert place.listener is not None
        place.listener.wait(60)
        untold, times_told = place.listener.untold(place.jobs()), place.listener.times_told()
        ledger = place.verify_ledger().stdout
        return Aftermath(len(job_ids | cut_off), outcomes(place), problems(place), ledger, storm.struck, untold, times_told)


@pytest.mark.story(play=kills_at_random)
def test_a_hundred_generations_survive_kill_9_of_everything_at_random_moments(story: Aftermath) -> None:
    told = f"seed {SEED}: {story.struck}, {story.outcomes}"

    assert story.problems == [], told
    assert story.ordered == GENERATIONS + CUT_OFF, told
    # A submit that was cut off may have been taken or not: it is reported, free of charge, and never sent again.
    assert story.outcomes.keys() <= {"completed", "submit_outcome_unknown", "not_accepted"}, told
    assert story.outcomes["submit_outcome_unknown"] >= CUT_OFF, told
    assert story.outcomes["completed"] > GENERATIONS * 0.8, told
    assert story.ledger == "4 accounts checked, 0 do not add up\n", told
    assert len(story.struck) >= KILLS, told


@pytest.mark.story(play=kills_at_random)
def test_meanwhile_every_end_of_a_job_is_told_and_what_is_told_twice_has_one_id(story: Aftermath) -> None:
    assert story.untold == []
    assert len(story.times_told) >= GENERATIONS
    assert story.problems == []


def killed_in_the_middle_of_submits(place: Place, customer: Customer) -> set[str]:
    """Kill the workers while fal has two requests but has not answered yet."""
    prompts = [a_prompt() for _ in range(CUT_OFF)]
    place.emulator.fault("submit", "slow", times=CUT_OFF, seconds=3.0)
    job_ids = {customer.order(prompt) for prompt in prompts}
    wait_until(lambda: all(place.posts(prompt) for prompt in prompts), 30, "the submits")
    place.stack.kill("worker")
    place.stack.start("worker")
    return job_ids


def outcomes(place: Place) -> Counter[str]:
    return Counter(job["error"]["code"] if job["error"] else job["status"] for job in place.jobs())
