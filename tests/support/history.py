"""Jobs of the past of a running service, written beside it: to fail many in truth takes long."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from app.domain import clock
from app.domain.job import SweepTimeouts
from app.stores.jobs import JobStore
from app.stores.usage import UsageStore
from tests.acceptance.people import Person
from tests.acceptance.service import Service, a_prompt, order


def failed_copies(service: Service, person: Person, code: str, count: int) -> list[str]:
    """Have one order fail, and write copies of it that failed with `code` just now, as if the operator's key had ordered them for a person.

    Returns their ids. The service's own processes sum them up, as they do all others.
    """
    answer = service.generate({**order(f"{a_prompt()} [emulator: fail=content_policy]"), "userId": person.id})
    original = service.document(service.ended(answer.json()["jobId"])["jobId"])
    return copies_of(service, original, count, error={**original["error"], "code": code})


def copies_of(service: Service, original: dict[str, Any], count: int, **fields: Any) -> list[str]:
    """Write copies of a job that ended just now, with other fields, and what they come to."""
    now = datetime.now(UTC)
    ids = [clock.new_id() for _ in range(count)]
    fresh = {"createdAt": now, "updatedAt": now, "completedAt": now, "settlement": "done", "marks": []}
    service.database["jobs"].insert_many({**original, **fresh, **fields, "_id": each, "orderKey": uuid.uuid4().hex} for each in ids)
    jobs, usage = JobStore(service.database, SweepTimeouts()), UsageStore(service.database)
    for each in ids:
        job = jobs.get(each)
        assert job is not None
        usage.record(job)
    return ids
