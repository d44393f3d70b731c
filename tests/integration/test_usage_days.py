"""Usage is counted once per job, on the day it ended, whatever crashes and races there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain import clock
from app.domain.errors import InvalidRequest
from app.domain.fal_request import Failure
from app.domain.job import Job
from app.domain.usage import GroupBy, Period, Tally, UsageRow, period_of
from app.services.reports.usage import Usage
from app.stores.database import Database
from app.stores.usage import MAX_OPEN, UsageDayStore, UsageStore, id_of
from tests.support.factories import NOON, canceled_job, certain, completed_job, submitted_job

RACERS = 20
TODAY = "2026-10-01"
EVER = Period("2000-01-01")
UNIT = 25_000


@pytest.fixture
def days(database: Database) -> UsageDayStore:
    return UsageDayStore(database)


@pytest.fixture
def settle(database: Database, days: UsageDayStore) -> Callable[..., Job]:
    """What a settlement does with usage: the record, then the day."""
    records = UsageStore(database)

    def settled(job: Job | None = None, **fields: Any) -> Job:
        job = dataclasses.replace(job or completed_job(), id=clock.new_id(), **fields)
        count(days, job, records.record(job))
        return job

    return settled


def count(days: UsageDayStore, job: Job, counted_by: str | None = None) -> None:
    days.add(job, counted_by)
    days.confirm()


def failed() -> Job:
    return certain(submitted_job().request_failed(0, Failure("x", "y"), now=NOON + timedelta(seconds=4)))


def everything(days: UsageDayStore, by: GroupBy = GroupBy.MODEL, period: Period = EVER, user_id: str | None = None) -> dict[str, Tally]:
    return dict(days.groups(user_id, period, by, limit=1000))


def open_counts(database: Database) -> list[Any]:
    return [entry for doc in database["usageDays"].find() for entry in doc["open"]]


def test_a_job_counts_once_however_often_it_is_settled(database: Database, days: UsageDayStore, settle: Callable[..., Job]) -> None:
    job = settle(completed_job(requests=(2,)))

    for _ in range(3):
        count(days, job, UsageStore(database).record(job))

    assert everything(days) == {"flux-dev": Tally(1, 2, 2 * UNIT)}
    assert open_counts(database) == []


def test_of_many_settlements_of_one_job_at_once_one_counts(database: Database, days: UsageDayStore) -> None:
    job = completed_job()
    UsageStore(database).record(job)

    with ThreadPoolExecutor(RACERS) as threads:
        list(threads.map(lambda _: count(days, job), range(RACERS)))

    assert everything(days) == {"flux-dev": Tally(1, 1, UNIT)}
    assert open_counts(database) == []


def test_many_jobs_at_once_all_count_on_a_day_that_none_was_on_before(days: UsageDayStore, settle: Callable[..., Job]) -> None:
    with ThreadPoolExecutor(RACERS) as threads:
        list(threads.map(lambda _: settle(), range(RACERS)))

    assert everything(days) == {"flux-dev": Tally(RACERS, RACERS, RACERS * UNIT)}


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("others", [0, 300])
def test_a_count_cut_off_between_two_writes_is_finished_by_the_next(
    database: Database, days: UsageDayStore, settle: Callable[..., Job], steps: int, others: int
) -> None:
    job, mark = completed_job(), clock.new_id()
    UsageStore(database).record(job)
    days._begin(id_of(TODAY, "user-1", "flux-dev"), job)
    assert days._add(job, mark)
    if steps == 2:
        database["usage"].update_one({"_id": job.id}, {"$set": {"countedBy": mark}})
    for _ in range(others):
        settle()

    count(days, job)

    assert everything(days)["flux-dev"].jobs == 1 + others
    assert open_counts(database) == []


def test_a_count_that_comes_after_the_job_was_counted_is_taken_back(
    database: Database, days: UsageDayStore, settle: Callable[..., Job]
) -> None:
    job = settle()
    days._add(job, "a call that stalled before this write")
    assert everything(days)["flux-dev"].jobs == 2

    count(days, job)

    assert everything(days) == {"flux-dev": Tally(1, 1, UNIT)}
    assert open_counts(database) == []


def test_a_count_that_nobody_came_back_to_is_taken_back_or_made_final_by_the_sweep(
    database: Database, days: UsageDayStore, settle: Callable[..., Job]
) -> None:
    settled, cut_off = settle(completed_job(requests=(2,))), completed_job()
    days._add(settled, clock.new_id())  # By a call that had stalled, and whose process now dies.
    UsageStore(database).record(cut_off)
    days._add(cut_off, clock.new_id())
    too_many = everything(days)

    confirmed = [days.confirm(limit=5) for _ in range(2)]

    assert too_many == {"flux-dev": Tally(3, 5, 5 * UNIT)}
    assert confirmed == [1, 0]
    assert everything(days) == {"flux-dev": Tally(2, 3, 3 * UNIT)}
    assert open_counts(database) == []


def test_a_job_without_a_record_is_not_counted_twice_by_mistake(database: Database, days: UsageDayStore) -> None:
    job = completed_job()
    for _ in range(2):
        count(days, job)
    still_open = len(open_counts(database))

    UsageStore(database).record(job)
    count(days, job)

    assert still_open == 1
    assert everything(days) == {"flux-dev": Tally(1, 1, UNIT)}
    assert open_counts(database) == []


def test_the_counts_of_many_days_and_users_are_made_final_together(database: Database, days: UsageDayStore) -> None:
    records = UsageStore(database)
    jobs = [dataclasses.replace(completed_job(), id=clock.new_id(), user_id=f"user-{n % 7}") for n in range(60)]
    for job in jobs:
        days.add(job, records.record(job))
    days._add(jobs[0], "a call that stalled")
    before = everything(days)

    assert days.confirm(limit=100) == 7

    assert before == everything(days) == {"flux-dev": Tally(60, 60, 60 * UNIT)}
    assert open_counts(database) == []
    assert {bool(doc.get("countedBy")) for doc in database["usage"].find()} == {True}


def test_a_day_with_too_many_open_counts_has_them_made_final_by_the_next_that_comes(database: Database, days: UsageDayStore) -> None:
    records = UsageStore(database)
    for _ in range(MAX_OPEN + 5):
        job = dataclasses.replace(completed_job(), id=clock.new_id())
        days.add(job, records.record(job))

    assert everything(days) == {"flux-dev": Tally(MAX_OPEN + 5, MAX_OPEN + 5, (MAX_OPEN + 5) * UNIT)}
    assert len(open_counts(database)) == 5


def test_statuses_have_tallies_of_their_own_and_only_delivered_pictures_count(days: UsageDayStore, settle: Callable[..., Job]) -> None:
    half_done = completed_job()
    settle(completed_job(requests=(4,)))
    settle(failed())
    settle(canceled_job(), images=half_done.images)

    assert everything(days, GroupBy.STATUS) == {
        "completed": Tally(1, 4, 4 * UNIT),
        "failed": Tally(1, 0, 0),
        "canceled": Tally(1, 0, 0),
    }
    assert everything(days) == {"flux-dev": Tally(3, 4, 4 * UNIT)}


def test_usage_is_grouped_by_model_day_status_and_user(days: UsageDayStore, settle: Callable[..., Job]) -> None:
    settle()
    settle(model="flux-pro")
    settle(user_id="user-2", completed_at=NOON + timedelta(days=1))

    one = Tally(1, 1, UNIT)
    assert everything(days, GroupBy.MODEL) == {"flux-dev": one + one, "flux-pro": one}
    assert everything(days, GroupBy.DAY) == {"2026-10-01": one + one, "2026-10-02": one}
    assert everything(days, GroupBy.STATUS) == {"completed": one + one + one}
    assert everything(days, GroupBy.USER) == {"user-1": one + one, "user-2": one}
    assert everything(days, GroupBy.MODEL, user_id="user-2") == {"flux-dev": one}
    assert everything(days, GroupBy.MODEL, user_id="nobody") == {}


def test_a_day_is_one_of_utc_and_the_end_of_a_period_is_not_in_it(days: UsageDayStore, settle: Callable[..., Job]) -> None:
    for day in range(1, 5):
        settle(completed_at=datetime(2026, 10, day, 23, 59, 59, 999_000, tzinfo=UTC))

    found = everything(days, GroupBy.DAY, Period("2026-10-02", "2026-10-04"))

    assert list(found) == ["2026-10-02", "2026-10-03"]


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2026-10-01T00:00:00+00:00", "2026-11-01T00:00:00+00:00", Period("2026-10-01", "2026-11-01")),
        ("2026-10-01T13:00:00+00:00", "2026-10-03T13:00:00+00:00", Period("2026-10-01", "2026-10-04")),
        ("2026-10-01T01:00:00+02:00", None, Period("2026-09-30")),
    ],
)
def test_a_period_has_the_whole_days_its_ends_fall_into(start: str, end: str | None, days: Period) -> None:
    period = period_of(datetime.fromisoformat(start), datetime.fromisoformat(end) if end else None)

    assert period == days


def test_without_a_start_a_period_is_the_30_days_before_its_end(days: UsageDayStore) -> None:
    usage = Usage(days=days, now=lambda: NOON)

    assert usage.period(None, None) == Period("2026-09-01")
    assert usage.period(None, datetime(2026, 3, 31, tzinfo=UTC)) == Period("2026-03-01", "2026-03-31")


@pytest.mark.parametrize("user_id", ["a/b", "../..", "a b", "ä" * 100, "x" * 256, "2026-10-01"])
def test_users_of_any_name_are_kept_apart(days: UsageDayStore, settle: Callable[..., Job], user_id: str) -> None:
    settle(user_id=user_id)
    settle(user_id="a")

    assert everything(days, user_id=user_id) == {"flux-dev": Tally(1, 1, UNIT)}
    assert everything(days, GroupBy.USER) == {user_id: Tally(1, 1, UNIT), "a": Tally(1, 1, UNIT)}


def test_rows_come_day_by_day_through_any_number_of_pages(days: UsageDayStore, settle: Callable[..., Job]) -> None:
    for day in (3, 1, 2):
        settle(model="flux-pro", completed_at=datetime(2026, 10, day, tzinfo=UTC))
        settle(completed_at=datetime(2026, 10, day, tzinfo=UTC))
    settle(failed(), completed_at=datetime(2026, 10, 3, tzinfo=UTC))

    rows = list(Usage(days=days, read_at_once=2).rows("user-1", Period("2026-10-01", "2026-10-04")))

    assert [(row.day, row.model, row.status.value) for row in rows] == [
        ("2026-10-01", "flux-dev", "completed"),
        ("2026-10-01", "flux-pro", "completed"),
        ("2026-10-02", "flux-dev", "completed"),
        ("2026-10-02", "flux-pro", "completed"),
        ("2026-10-03", "flux-dev", "completed"),
        ("2026-10-03", "flux-dev", "failed"),
        ("2026-10-03", "flux-pro", "completed"),
    ]
    assert rows[0] == UsageRow("2026-10-01", "user-1", "flux-dev", rows[0].status, Tally(1, 1, UNIT))
    assert list(Usage(days=days).rows("user-1", Period("2027-01-01"))) == []


def test_a_report_adds_up_and_sorts_its_groups(days: UsageDayStore, settle: Callable[..., Job]) -> None:
    for model in ("b", "c", "a"):
        settle(model=model)

    report = Usage(days=days).report(None, EVER, GroupBy.MODEL)

    assert [key for key, _ in report.groups] == ["a", "b", "c"]
    assert report.totals == Tally(3, 3, 3 * UNIT)


def test_too_many_groups_for_one_answer_are_refused(days: UsageDayStore, settle: Callable[..., Job]) -> None:
    for user_id in ("a", "b", "c"):
        settle(user_id=user_id)

    with pytest.raises(InvalidRequest, match="groupBy") as refusal:
        Usage(days=days, max_groups=2).report(None, EVER, GroupBy.USER)

    assert refusal.value.errors[0].pointer == "/groupBy"


def test_a_heavy_users_report_reads_one_document_per_day_and_model(
    database: Database, days: UsageDayStore, settle: Callable[..., Job]
) -> None:
    for _ in range(30):
        settle()
        settle(model="flux-pro")

    documents = list(database["usageDays"].find({"userId": "user-1"}))

    assert {doc["_id"] for doc in documents} == {"2026-10-01/user-1/flux-dev", "2026-10-01/user-1/flux-pro"}
    assert all(doc["open"] == [] for doc in documents)


def test_a_users_projects_add_up_within_their_days(days: UsageDayStore, settle: Callable[..., Job]) -> None:
    for project_id in ("autumn", "autumn", None):
        settle(project_id=project_id)
    settle(project_id="autumn", user_id="user-2")
    settle(project_id="spring", completed_at=datetime(2026, 10, 3, tzinfo=UTC))
    usage, one = Usage(days=days), Tally(1, 1, UNIT)

    report = usage.report("user-1", Period(TODAY, "2026-10-03"), GroupBy.PROJECT)
    both = usage.report(("user-1", "user-2"), EVER, GroupBy.PROJECT)

    assert (report.groups, report.totals) == ([("", one), ("autumn", one + one)], one + one + one)
    assert dict(both.groups) == {"": one, "autumn": one + one + one, "spring": one}
    with pytest.raises(InvalidRequest, match="userId"):
        usage.report(None, EVER, GroupBy.PROJECT)
