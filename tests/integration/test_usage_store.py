from __future__ import annotations

import dataclasses

from app.domain.fal_request import Failure
from app.stores.database import Database
from app.stores.usage import UsageStore
from tests.support.factories import after, certain, completed_job, submitted_job


def test_a_finished_job_leaves_one_record_however_often_it_is_written(database: Database) -> None:
    usage, job = UsageStore(database), completed_job(requests=(2,), tokens_per_image=3)

    for _ in range(3):
        usage.record(job)

    assert list(database["usage"].find()) == [
        {
            "_id": job.id,
            "userId": "user-1",
            "model": "flux-dev",
            "status": "completed",
            "images": 2,
            "chargedMicros": 50_000,
            "tokens": 6,
            "priceId": "flux-dev-2026-04",
            "at": after(5),
            "keyId": None,
            "projectId": None,
            "paidMicros": 25_000,
            "quotedMicros": 50_000,
            "billedMicros": None,
            "code": None,
            "shape": None,
            "version": 1,
            "due": 1,
        }
    ]


def test_a_failed_job_is_recorded_with_nothing_to_pay(database: Database) -> None:
    job = certain(submitted_job(tokens_per_image=3).request_failed(0, Failure("x", "y"), now=after(4)))

    UsageStore(database).record(job)

    (record,) = database["usage"].find()
    assert (record["status"], record["images"], record["chargedMicros"], record["tokens"]) == ("failed", 0, 0, 0)


def test_a_repetition_that_knows_more_replaces_the_record(database: Database) -> None:
    usage, job = UsageStore(database), completed_job()
    usage.record(job)

    usage.record(dataclasses.replace(job, charged_micros=1))

    (record,) = database["usage"].find()
    assert record["chargedMicros"] == 1
