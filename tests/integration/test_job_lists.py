"""Which jobs a list, the sweep and the watcher see, and in which order."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.job import Job, JobStatus, Settlement, SweepTimeouts
from app.stores.database import Database
from app.stores.jobs import JobFilter, JobStore
from tests.support.factories import after, completed_job, make_job, submitted_job

ANY = JobFilter()


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database, SweepTimeouts())


def insert(jobs: JobStore, *many: Job) -> list[Job]:
    assert all(jobs.insert(job) for job in many)
    return list(many)


def test_due_jobs_come_longest_waiting_first(jobs: JobStore) -> None:
    late, early, later = insert(jobs, make_job(now=after(60)), make_job(now=after(30)), make_job(now=after(3600)))
    settled = dataclasses.replace(completed_job(), settlement=Settlement.DONE, settle_at=None)
    insert(jobs, settled, unsettled := completed_job())

    due = [job.id for job in jobs.due(now=after(600), limit=10)]

    assert due == [unsettled.id, early.id, late.id]
    assert later.id not in due
    assert [job.id for job in jobs.due(now=after(600), limit=1)] == [unsettled.id]


def test_jobs_in_flight_are_read_in_batches(jobs: JobStore) -> None:
    flying = insert(jobs, *(submitted_job() for _ in range(5)))
    insert(jobs, make_job(), completed_job())

    first, after_first = jobs.processing_after("", limit=3)
    second, after_second = jobs.processing_after(after_first or "", limit=3)

    assert [job.id for job in first + second] == sorted(job.id for job in flying)
    assert after_second is None


def test_pages_run_from_the_newest_to_the_oldest_without_gap_or_repetition(jobs: JobStore) -> None:
    mine = insert(jobs, *(make_job() for _ in range(7)))
    insert(jobs, make_job(user_id="user-2"))
    wanted = JobFilter(user_id="user-1")

    pages, before = [], None
    while page := jobs.page(wanted, before_id=before, limit=3):
        pages.append(page)
        before = page[-1].id

    assert [len(page) for page in pages] == [3, 3, 1]
    assert [job.id for page in pages for job in page] == sorted((job.id for job in mine), reverse=True)
    assert jobs.page(wanted, before_id=min(job.id for job in mine), limit=3) == []
    assert jobs.count(wanted) == 7


def test_a_job_that_arrives_while_somebody_pages_does_not_move_the_pages(jobs: JobStore) -> None:
    old = insert(jobs, *(make_job() for _ in range(4)))
    first = jobs.page(ANY, before_id=None, limit=2)
    insert(jobs, make_job())

    second = jobs.page(ANY, before_id=first[-1].id, limit=2)

    assert [job.id for job in first + second] == [job.id for job in reversed(old)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (JobFilter(status=JobStatus.PROCESSING), {"flying"}),
        (JobFilter(model="flux-pro"), {"pro"}),
        (JobFilter(project_id="p-1"), {"project"}),
        (JobFilter(statuses=(JobStatus.PENDING, JobStatus.COMPLETED)), {"pro", "project"}),
        (JobFilter(type="image-generation", user_id="user-1"), {"flying", "pro", "project"}),
        (JobFilter(type="something-else"), set()),
        (JobFilter(user_id="user-2"), set()),
    ],
)
def test_a_list_can_be_narrowed(jobs: JobStore, wanted: JobFilter, found: set[str]) -> None:
    named = {
        "flying": submitted_job(),
        "pro": make_job(model="flux-pro"),
        "project": make_job(project_id="p-1"),
    }
    insert(jobs, *(dataclasses.replace(job, id=make_job().id) for job in named.values()))
    names = {(job.model, job.status, job.project_id): name for name, job in named.items()}

    page = jobs.page(wanted, before_id=None, limit=10)

    assert {names[job.model, job.status, job.project_id] for job in page} == found
    assert jobs.count(wanted) == len(found)


def id_of(moment: datetime, tail: str = "7abc-8000-000000000001") -> str:
    digits = f"{int(moment.timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}-{tail}"


def test_a_list_can_be_narrowed_to_a_time_the_start_included_and_the_end_not(jobs: JobStore) -> None:
    moments = [datetime(2026, 10, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(5)]
    insert(jobs, *(make_job(id=id_of(moment), now=moment) for moment in moments))

    page = jobs.page(JobFilter(created_from=moments[1], created_to=moments[3]), before_id=None, limit=10)
    rest = jobs.page(JobFilter(created_from=moments[1], created_to=moments[3]), before_id=page[0].id, limit=10)
    beyond = jobs.page(JobFilter(created_to=moments[3]), before_id=id_of(moments[4]), limit=10)

    assert [job.created_at for job in page] == [moments[2], moments[1]]
    assert [job.created_at for job in rest] == [moments[1]]
    assert [job.created_at for job in beyond] == [moments[2], moments[1], moments[0]]


def test_a_document_nobody_can_read_does_not_hold_up_the_others(database: Database, jobs: JobStore) -> None:
    whole, broken = submitted_job(), submitted_job()
    for job in (whole, broken):
        jobs.insert(job)
    database["jobs"].update_one({"_id": broken.id}, {"$unset": {"call": ""}})

    processing, _ = jobs.processing_after("", limit=10)
    due = jobs.due(now=after(10_000), limit=10)

    assert ([job.id for job in processing], [job.id for job in due]) == ([whole.id], [whole.id])
