"""A worker that dies between a job's end and its settlement: the sweep settles it, once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.domain import clock
from app.domain.job import Job, JobStatus, SweepTimeouts
from app.services.money.billing import Billing
from app.stores.accounts import AccountStore
from app.stores.jobs import JobStore
from app.stores.ledger import LedgerStore
from tests.acceptance.people import Person
from tests.acceptance.service import Service, wait_until
from tests.support.factories import STOPPED, certain, make_facts, make_image, make_job, make_receipt


@pytest.fixture
def ada(service: Service) -> Person:
    return Person(service)


class Crash:
    """Does with the stores what a worker does, up to the moment of its death."""

    def __init__(self, ada: Person) -> None:
        database = ada.service.database
        self.user_id = ada.id
        self.database = database
        self.jobs = JobStore(database, SweepTimeouts(settle_s=0.5))
        self.billing = Billing(ledger=LedgerStore(database), accounts=AccountStore(database), jobs=self.jobs)

    def processing(self, **fields: Any) -> Job:
        """Return a job of four images that fal is working on, its tokens held."""
        now = clock.now()
        deadline = now + timedelta(minutes=10)
        job = make_job(
            requests=(4,),
            user_id=self.user_id,
            tokens_per_image=150,
            now=now,
            deadline_at=deadline,
            timeouts=SweepTimeouts(settle_s=0.5),
            **fields,
        )
        self.jobs.insert(job)
        self.billing.hold([job])
        claimed = certain(self.jobs.change(job, lambda j: j.submitting(0, now=now)))
        return certain(self.jobs.change(claimed, lambda j: j.submitted(0, make_receipt(), now=now)))

    def delivered(self, images: int) -> Job:
        """Return a job that was completed by a worker which died before it settled it."""
        job = self.processing()
        pictures = [make_image(number) for number in range(images)]
        return certain(self.jobs.change(job, lambda j: j.collected(0, pictures, make_facts(), now=clock.now())))

    def entries(self, job: Job) -> list[tuple[str, int, int]]:
        found = self.database["ledger"].find({"jobId": job.id}).sort("sortId")
        return [(entry["type"], entry["balance"], entry["held"]) for entry in found]


def settled(service: Service, job: Job) -> bool:
    return bool(wait_until(lambda: service.document(job.id)["settlement"] == "done", 30, "the sweep"))


def test_the_sweep_captures_what_a_dead_worker_had_delivered(ada: Person) -> None:
    crash = Crash(ada)
    job = crash.delivered(3)
    before = ada.balance()

    assert settled(ada.service, job)

    assert before == (400, 600)
    assert ada.balance() == (550, 0)
    assert crash.entries(job) == [("hold", -600, 600), ("capture", 0, -450), ("release", 150, -150)]
    assert LedgerStore(crash.database).verify(ada.id) is None
    assert crash.database["usage"].count_documents({"_id": job.id}) == 1
    assert crash.database["uploads"].count_documents({"jobId": job.id}) == 3


def test_a_capture_that_was_made_before_the_death_is_not_made_again(ada: Person) -> None:
    crash = Crash(ada)
    job = crash.delivered(4)
    crash.billing.settle(job)

    assert settled(ada.service, job)

    assert ada.balance() == (400, 0)
    assert crash.entries(job) == [("hold", -600, 600), ("capture", 0, -600)]
    assert LedgerStore(crash.database).verify(ada.id) is None


def test_a_job_canceled_by_a_process_that_died_gives_its_tokens_back(ada: Person) -> None:
    crash = Crash(ada)
    wished = certain(crash.jobs.change(crash.processing(), lambda j: j.cancel_requested(now=clock.now())))
    job = certain(crash.jobs.change(wished, lambda j: j.request_failed(0, STOPPED, now=clock.now())))

    assert settled(ada.service, job)

    assert ada.balance() == (1000, 0)
    assert crash.entries(job) == [("hold", -600, 600), ("release", 600, -600)]


def test_a_web_process_that_died_before_it_held_tokens_leaves_a_failed_job_and_no_debt(ada: Person) -> None:
    crash = Crash(ada)
    timeouts = SweepTimeouts(task_s=0.5, settle_s=0.5)
    now = clock.now()
    deadline = now + timedelta(minutes=10)
    arguments = {"prompt": f"never sent {ada.id}"}
    job = make_job(user_id=ada.id, tokens_per_image=150, now=now, deadline_at=deadline, timeouts=timeouts, arguments=arguments)
    crash.jobs.insert(job)

    assert settled(ada.service, job)

    generation = ada.generation(job.id)
    assert (generation["status"], generation["error"]["code"]) == (JobStatus.FAILED.value, "not_accepted")
    assert ada.balance() == (1000, 0)
    assert crash.entries(job) == []
    assert ada.service.posts(f"never sent {ada.id}") == []
