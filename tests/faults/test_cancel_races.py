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
    place.emulator.fault("cancel", "stop", times=None)
    customer, chance = place.customer(tokens=JOBS * TOKENS_AN_IMAGE), random.Random(7)
    before = {record["_id"] for record in place.database["usage"].find()}

    with ThreadPoolExecutor(16) as pool:
        pauses = [chance.uniform(SOONEST_S, LATEST_S) for _ in range(JOBS)]
        answers = dict(pool.map(lambda pause: ordered_and_canceled(customer, pause), pauses))
    place.settle_down(60)

    jobs = {job["_id"]: job for job in place.jobs() if job["_id"] in answers}
    ends = Counter(job["status"] for job in jobs.values())
    assert ends.keys() == {"completed", "canceled"}
    said = {200: {"canceled"}, 202: {"canceled", "completed"}, 409: {"completed"}}
    assert [job_id for job_id, job in jobs.items() if job["status"] not in said[answers[job_id]]] == []
    assert len({record["_id"] for record in place.database["usage"].find()} - before) == JOBS
    assert customer.balance() == ((JOBS - ends["completed"]) * TOKENS_AN_IMAGE, 0)
    assert [job["cost"]["chargedMicros"] for job in jobs.values() if job["status"] == "canceled"] == [0] * ends["canceled"]
    assert pictures_of(place, [job for job in jobs.values() if job["status"] == "canceled"]) == []


def test_a_hundred_cancels_of_one_job_are_one_cancel(place: Place) -> None:
    place.emulator.fault("cancel", "stop", times=None)
    place.emulator.settings(seconds=60.0)
    customer, prompt = place.customer(), a_prompt()
    job_id = customer.order(prompt)
    wait_until(lambda: place.posts(prompt), 30, "the submit")

    with ThreadPoolExecutor(20) as pool:
        answers = Counter(pool.map(lambda _: customer.cancel(job_id), range(100)))

    place.settle_down(30)
    assert answers.keys() <= {202, 409}
    assert answers[202] >= 1
    assert place.document(job_id)["status"] == "canceled"
    assert customer.balance() == (1000, 0)


def test_a_job_that_fal_finishes_in_spite_of_its_cancel_is_delivered_and_paid_for(place: Place) -> None:
    place.emulator.settings(seconds=2.0)
    customer, prompt = place.customer(), a_prompt()
    job_id = customer.order(prompt)
    wait_until(lambda: any(post["state"] == "IN_PROGRESS" for post in place.posts(prompt)), 30, "fal to begin")

    canceled = customer.cancel(job_id)
    meanwhile = (place.document(job_id)["status"], customer.balance())
    place.settle_down(30)

    assert (canceled, meanwhile) == (202, ("processing", (1000 - TOKENS_AN_IMAGE, TOKENS_AN_IMAGE)))
    assert place.posts(prompt)[0]["cancelRequested"]
    assert len(pictures_of(place, [place.document(job_id)])) == 1
    assert customer.balance() == (1000 - TOKENS_AN_IMAGE, 0)


def test_a_cancel_outlives_every_process_and_a_fal_that_does_not_answer(place: Place) -> None:
    place.emulator.fault("cancel", "drop", times=2)
    place.emulator.fault("cancel", "stop", times=None)
    place.emulator.settings(seconds=60.0)
    customer, prompt = place.customer(), a_prompt()
    job_id = customer.order(prompt)
    wait_until(lambda: any(post["state"] == "IN_PROGRESS" for post in place.posts(prompt)), 30, "fal to begin")

    place.stack.kill("worker", signal.SIGKILL)
    canceled = customer.cancel(job_id)
    place.stack.kill("watcher", signal.SIGKILL)
    place.stack.start("worker")
    place.stack.start("watcher")
    wait_until(lambda: place.document(job_id)["status"] == "canceled", 100, "the cancel")

    assert canceled == 202
    place.settle_down(30)
    assert customer.balance() == (1000, 0)
    assert pictures_of(place, [place.document(job_id)]) == []


def ordered_and_canceled(customer: Customer, pause_s: float) -> tuple[str, int]:
    job_id = customer.order(a_prompt())
    time.sleep(pause_s)
    return job_id, customer.cancel(job_id)


def pictures_of(place: Place, jobs: list[Answer]) -> list[str]:
    ids = {job["_id"] for job in jobs}
    return [str(file) for file in files_in(place.storage) if ids & set(file.parts)]
