"""What takes the service its own time to mend: a locked account, a submit that hangs, a watcher that died. One story for all three."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from scripts.stack.stack import Stack
from tests.acceptance.service import Answer, a_prompt, wait_until
from tests.faults.place import Place, running_place, until_all
from tests.faults.soundness import problems

TAKE_OVER_S = 30.0
LOCKED_JOBS = 3


@dataclass
class Told:
    taken_over_after_s: float = 0.0
    watched: str = ""
    locked: Answer = field(default_factory=dict)
    while_locked: set[str] = field(default_factory=set)
    after_lock: Counter[str] = field(default_factory=Counter)
    posts_refused: int = 0
    unlocked: Answer = field(default_factory=dict)
    hung: Answer = field(default_factory=dict)
    hung_posts: int = 0
    balances: list[tuple[int, int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def a_lock_a_hang_and_a_dead_watcher() -> Told:
    told = Told()
    with running_place(seconds=1.5, WORKERS="3") as place, second_watcher(place):
        unlucky, patient = place.customer(), place.customer()
        hang = a_prompt()
        place.emulator.fault("submit", "hang", promptContains=hang)
        hung = unlucky.order(hang)
        watched = patient.order(a_prompt())
        until_all(place, [watched], "submitted")
        wait_until(lambda: place.posts(hang), 30, "the submit that hangs")
        killed_at = time.monotonic()
        place.stack.kill("watcher")
        jobs = locked_out(place, told, [a_prompt() for _ in range(LOCKED_JOBS)])
        told.watched = place.ended(watched, within_s=TAKE_OVER_S + 30)["status"]
        told.taken_over_after_s = time.monotonic() - killed_at
        place.settle_down(90)
        told.after_lock = Counter(place.document(job_id)["status"] for job_id in jobs)
        told.unlocked = place.readiness()
        told.hung, told.hung_posts = place.document(hung), len(place.posts(hang))
        told.balances = [unlucky.balance(), patient.balance()]
        told.problems = problems(place)
    return told


def second_watcher(place: Place) -> Stack:
    return Stack(env=place.stack.env, processes=("watcher",), backing=(), quiet=True)


def locked_out(place: Place, told: Told, prompts: list[str]) -> list[str]:
    """Order pictures while fal has locked the account, and unlock it once the service has noticed."""
    place.emulator.fault("submit", "locked_403", times=None)
    customer = place.customer()
    jobs = [customer.order(prompt) for prompt in prompts]
    told.locked = wait_until(lambda: ready if "paused" in (ready := place.readiness())["details"]["provider"] else None, 30, "the pause")
    time.sleep(1)
    told.while_locked = {place.document(job_id)["status"] for job_id in jobs}
    told.posts_refused = sum(1 for prompt in prompts for post in place.posts(prompt) if post["refusal"])
    place.emulator.clear()
    return jobs


@pytest.mark.story(play=a_lock_a_hang_and_a_dead_watcher)
def test_a_second_watcher_takes_over_within_thirty_seconds_of_the_firsts_death(story: Told) -> None:
    assert story.watched == "completed"
    assert story.taken_over_after_s < TAKE_OVER_S


@pytest.mark.story(play=a_lock_a_hang_and_a_dead_watcher)
def test_jobs_of_a_locked_account_wait_the_operator_is_told_and_they_go_on_by_themselves(story: Told) -> None:
    assert story.while_locked == {"pending"}
    assert story.locked["details"]["provider"] == "submits are paused: provider_locked"
    assert story.posts_refused <= LOCKED_JOBS
    assert story.after_lock == {"completed": LOCKED_JOBS}
    assert story.unlocked["details"]["provider"] == "ok"


@pytest.mark.story(play=a_lock_a_hang_and_a_dead_watcher)
def test_a_submit_that_hangs_is_never_sent_again_and_costs_nothing(story: Told) -> None:
    assert (story.hung["status"], story.hung["error"]["code"]) == ("failed", "submit_outcome_unknown")
    assert story.hung_posts == 1
    assert story.balances == [(1000, 0), (900, 0)]


@pytest.mark.story(play=a_lock_a_hang_and_a_dead_watcher)
def test_after_the_slow_mends_the_promise_holds(story: Told) -> None:
    assert story.problems == []
