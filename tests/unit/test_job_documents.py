"""Writing a change writes only the part of a job's document that changes can touch; so nothing else may ever differ."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from app.domain.fal_request import Failure
from app.domain.job import Job, SweepTimeouts
from app.stores.job_documents import from_document, state_document, to_document
from tests.support.factories import NOON, certain, completed_job, make_job, submitted_job

LATER = NOON + timedelta(hours=1)
LATE = Failure("deadline_exceeded", "too late")
CHANGES: dict[str, tuple[Job, Job | None]] = {
    "submitting": ((new := make_job()), new.submitting(0, now=LATER)),
    "progressed": ((sent := submitted_job()), sent.progressed(50, "Generating", now=LATER)),
    "postponed": (sent, sent.collection_postponed(0, retry_at=LATER, now=LATER)),
    "failed": (sent, sent.request_failed(0, Failure("x", "y"), now=LATER)),
    "canceled before it was sent": (new, new.cancel_requested(now=LATER)),
    "cancel requested": (sent, (wished := certain(sent.cancel_requested(now=LATER)))),
    "cancel claimed": (wished, wished.cancel_claimed(until=LATER, now=LATER + timedelta(hours=1))),
    "cancel heard": (wished, wished.cancel_heard(0, now=LATER)),
    "expiring": (sent, sent.expiring(until=LATER, now=LATER)),
    "given up": (sent, sent.deadline_passed(LATE, now=LATER)),
    "collected": (sent, completed_job(id=sent.id)),
    "settled": ((done := completed_job()), done.settled(now=LATER)),
    "invoiced": (done, done.invoiced(1, now=LATER)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_touches_nothing_but_the_state(name: str) -> None:
    before, after = CHANGES[name]
    old, new = to_document(before), to_document(certain(after))

    changed = {key for key in new if new[key] != old.get(key)}

    assert changed
    assert changed <= set(state_document(before))


@pytest.mark.parametrize("job", [completed_job(requests=(2,)), certain(wished.cancel_heard(0, now=LATER))])
def test_a_job_is_the_same_after_being_written_and_read(job: Job) -> None:

    read = from_document(to_document(job), job.timeouts)

    assert dataclasses.replace(read, order_key=job.order_key) == job


def test_what_json_cannot_say_of_an_old_order_is_read_as_null() -> None:
    doc = to_document(make_job())
    doc["metadata"] = {"weight": float("inf"), "list": [float("nan"), 1.5], "in": {"low": float("-inf")}}
    doc["config"]["options"] = {"guidance_scale": float("nan")}

    job = from_document(doc, SweepTimeouts())

    assert job.metadata == {"weight": None, "list": [None, 1.5], "in": {"low": None}}
    assert job.options == {"guidance_scale": None}
