"""A hundred cancels that race with their jobs' completion."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.acceptance.service import Answer, a_prompt, wait_until
from tests.faults.customers import TOKENS_AN_IMAGE, Customer
from tests.faults.place import Place
from tests.faults.soundness import files_in

JOBS = 100
#: Around the moment at which a job of this emulator ends.
SOONEST_S, LATEST_S = 0.1, 1.5


def test_of_a_hundred_cancels_that_race_with_completions_each_job_ends_once_and_is_paid_as_it_ended(place: Place) -> None:
    customer, chance = place.customer(tokens=JOBS * TOKENS_AN_IMAGE), random.Random(7)
    before = {record["_id"] for record in place.database["usage"].find()}

    with ThreadPoolExecutor(16) as pool:
        pauses = [chance.uniform(SOONEST_S, LATEST_S) for _ in range(JOBS)]
        answers = dict(pool.map(lambda pause: ordered_and_canceled(customer, pause), pauses))
    place.settle_down(60)

    jobs = {job["_id"]: job for job in place.jobs() if job["_id"] in answers}
    ends = Counter(job["status"] for job in jobs.values())
    assert ends.keys() == {"completed", "canceled"}
    assert {job_id: job["status"] for job_id, job in jobs.items()} == {
        job_id: "canceled" if status == 200 else "completed" for job_id, status in answers.items()
    }
    assert len({record["_id"] for record in place.database["usage"].find()} - before) == JOBS
    assert customer.balance() == ((JOBS - ends["completed"]) * TOKENS_AN_IMAGE, 0)
    assert [job["cost"]["chargedMicros"] for job in jobs.values() if job["status"] == "canceled"] == [0] * ends["canceled"]
    assert pictures_of(place, [job for job in jobs.values() if job["status"] == "canceled"]) == []


def test_a_hundred_cancels_of_one_job_are_one_cancel(place: Place) -> None:
    place.emulator.settings(seconds=3.0)
    customer = place.customer()
    job_id = customer.order(a_prompt())

    with ThreadPoolExecutor(20) as pool:
        answers = Counter(pool.map(lambda _: customer.cancel(job_id), range(100)))

    place.settle_down(30)
    assert answers == {200: 1, 409: 99}
    assert customer.balance() == (1000, 0)


def test_a_picture_that_was_being_fetched_when_its_job_was_canceled_is_not_kept(place: Place) -> None:
    customer, prompt = place.customer(), f"{a_prompt()} [emulator: fail=slow_file]"
    job_id = customer.order(prompt)
    wait_until(lambda: any(post["fileFetches"] for post in place.posts(prompt)), 20, "the download")

    canceled = customer.cancel(job_id)
    place.settle_down(20)
    place.stack.kill("worker", signal.SIGTERM)  # It finishes its download first.
    place.stack.process("worker").wait(30)
    place.stack.start("worker")

    assert canceled == 200
    assert pictures_of(place, [place.document(job_id)]) == []
    assert customer.balance() == (1000, 0)


def ordered_and_canceled(customer: Customer, pause_s: float) -> tuple[str, int]:
    job_id = customer.order(a_prompt())
    time.sleep(pause_s)
    return job_id, customer.cancel(job_id)


def pictures_of(place: Place, jobs: list[Answer]) -> list[str]:
    ids = {job["_id"] for job in jobs}
    return [str(file) for file in files_in(place.storage) if ids & set(file.parts)]
