"""The operator's sums of ended jobs: each job counts once and with its latest figures, whatever crashes and races there are."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

from app.domain import clock
from app.domain.costs import ActualCost, CostSource
from app.domain.errors import InvalidRequest
from app.domain.fal_request import Failure
from app.domain.job import Job, JobStatus, SweepTimeouts
from app.domain.spend import Figures, SpendBy
from app.domain.usage import Period
from app.services.reports.spend import Spend
from app.stores.database import Database
from app.stores.jobs import JobStore
from app.stores.spend import MAX_KINDS, OTHER, SpendStore
from app.stores.usage import UsageStore
from tests.support.factories import NOON, canceled_job, certain, completed_job, submitted_job
from tests.support.services import Backing

UNIT = 25_000
EVER = Period("2000-01-01")
OCTOBER = Period("2026-10-01", "2026-11-01")
Settle = Callable[..., Job]


@pytest.fixture
def sums(database: Database) -> SpendStore:
    return SpendStore(database)


@pytest.fixture
def spend(database: Database, sums: SpendStore) -> Spend:
    return Spend(sums=sums, jobs=JobStore(database, SweepTimeouts()), now=lambda: NOON + timedelta(minutes=30), at_once=50)


@pytest.fixture
def settle(database: Database) -> Settle:
    """What a settlement does for the sums: it writes the job's record."""
    records = UsageStore(database)

    def settled(job: Job | None = None, **fields: Any) -> Job:
        job = dataclasses.replace(job or completed_job(), **{"id": clock.new_id(), **fields})
        records.record(job)
        return job

    return settled


def failed(message: str = "no", code: str = "generation_failed") -> Job:
    return certain(submitted_job().request_failed(0, Failure(code, message), now=NOON + timedelta(seconds=4)))


def totals(spend: Spend, by: SpendBy = SpendBy.DAY, period: Period = EVER) -> Figures:
    return spend.report(period, by, limit=1000).totals


def test_a_job_counts_once_for_its_day_model_user_key_and_project(spend: Spend, settle: Settle) -> None:
    settle(user_id="ada", caller_key="k1", project_id="spring.$1/x")
    settle(user_id="ada", caller_key="k1")

    counted = (spend.advance(), spend.advance())

    assert counted == (2, 0)
    for by in SpendBy:
        assert totals(spend, by) == Figures(jobs=2, completed=2, images=2, charged=2 * UNIT, paid=2 * UNIT)
    assert {group.key for group in spend.report(EVER, SpendBy.PROJECT, limit=10).groups} == {"spring.$1/x", None}
    assert [group.key for group in spend.report(EVER, SpendBy.KEY, limit=10).groups] == ["k1"]
    assert [group.day for group in spend.report(EVER, SpendBy.MODEL, each_day=True, limit=10).groups] == ["2026-10-01"]


def test_a_bill_that_is_read_later_takes_the_place_of_what_was_known(database: Database, spend: Spend, settle: Settle) -> None:
    job = settle()
    settle()
    spend.advance()

    UsageStore(database).bill(job.id, 30_000)
    UsageStore(database).bill(job.id, 30_000)
    spend.advance()

    found = totals(spend)
    assert (found.paid, found.billed, found.billed_jobs, found.quoted) == (UNIT + 30_000, 30_000, 1, UNIT)
    assert (found.margin, found.drift) == (-5_000, 5_000)
    assert found == totals(spend, SpendBy.USER)


def test_a_bill_that_comes_while_its_job_is_being_counted_is_counted_next(database: Database, sums: SpendStore, settle: Settle) -> None:
    job = settle()
    plan = sums._plan(10)
    sums._count(plan)

    UsageStore(database).bill(job.id, 30_000)
    sums._close(plan)
    sums.advance(limit=10)

    (row,) = sums.sums(SpendBy.DAY, EVER)
    assert (row.figures.jobs, row.figures.paid, row.figures.billed) == (1, 30_000, 30_000)
    assert sums.waiting() == 0


def test_a_settlement_that_is_repeated_brings_nothing_back(database: Database, spend: Spend, settle: Settle) -> None:
    job = settle()
    UsageStore(database).bill(job.id, 30_000)

    UsageStore(database).record(job)
    spend.advance()

    assert totals(spend).paid == 30_000


@pytest.mark.parametrize("died_after", ["plan", "sums", "half of the sums", "records"])
def test_a_death_in_the_middle_of_counting_is_mended_by_the_next(database: Database, spend: Spend, settle: Settle, died_after: str) -> None:
    for _ in range(3):
        settle()
    dying = SpendStore(database)
    plan = dying._plan(10)
    if died_after != "plan":
        dying._count(plan)
    if died_after == "half of the sums":
        database["spendDays"].delete_many({"_id": {"$gte": "model"}})
    if died_after == "records":
        dying._close(plan)
        database["spendPlans"].update_one({"_id": "plan"}, {"$set": {"records": plan["records"]}})

    settle()
    spend.advance()
    spend.advance()

    for by in SpendBy:
        assert totals(spend, by).jobs == 4


def test_a_late_counter_moves_nothing_that_has_been_counted(database: Database, sums: SpendStore, settle: Settle) -> None:
    job = settle()
    late = SpendStore(database)
    plan = late._plan(10)
    sums.advance(limit=10)
    UsageStore(database).bill(job.id, 30_000)
    sums.advance(limit=10)

    late._count(plan)
    late._close(plan)
    sums.advance(limit=10)

    (row,) = sums.sums(SpendBy.DAY, EVER)
    assert (row.figures.jobs, row.figures.paid) == (1, 30_000)


def test_many_who_count_at_once_count_each_job_once(database: Database, settle: Settle) -> None:
    for _ in range(60):
        settle(user_id=random.choice(["ada", "grace"]))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: [SpendStore(database).advance(limit=7) for _ in range(20)], range(6)))

    for by in SpendBy:
        rows = SpendStore(database).sums(by, EVER)
        assert sum((row.figures for row in rows), Figures()).jobs == 60


def test_jobs_from_before_there_were_sums_are_counted_too(database: Database, spend: Spend, settle: Settle) -> None:
    jobs = JobStore(database, SweepTimeouts())
    kept = settle(failed("fal.ai: no"), caller_key="k1", actual=ActualCost(7_000, CostSource.UNITS))
    jobs.insert(kept)
    settle()
    added = ("version", "due", "keyId", "projectId", "paidMicros", "quotedMicros", "billedMicros", "code", "shape")
    database["usage"].update_many({}, {"$unset": dict.fromkeys(added, "")})

    spend.advance()

    assert totals(spend) == Figures(jobs=2, completed=1, failed=1, images=1, charged=UNIT, paid=7_000, lost=7_000)
    assert {row.key: row.figures.jobs for row in SpendStore(database).sums(SpendBy.KEY, EVER)} == {"k1": 1, None: 1}
    assert spend.advance() == 0


def test_a_record_that_cannot_be_read_stops_no_other(database: Database, spend: Spend, settle: Settle) -> None:
    broken = settle()
    database["usage"].update_one({"_id": broken.id}, {"$set": {"status": "nonsense"}})
    settle()

    spend.advance()

    assert totals(spend).jobs == 1


def test_failures_are_grouped_by_code_model_and_the_shape_of_their_message(spend: Spend, settle: Settle) -> None:
    settle(failed("fal.ai: took 12.5 s, request 01a1fbb9-ae99-76ef-85b8-99f0e4849dc8"), completed_at=NOON)
    last = settle(failed("fal.ai: took 9 s, request 02a1fbb9-ae99-76ef-85b8-99f0e4849dc8"), completed_at=NOON + timedelta(minutes=5))
    settle(failed("Refused: 'a red bicycle'", "content_policy_violation"), actual=ActualCost(7_000, CostSource.UNITS))
    settle(canceled_job())
    spend.advance()

    found = spend.failures(OCTOBER, ("code", "model", "shape"))

    assert [(group.kind.code, group.kind.shape, group.count, group.lost) for group in found] == [
        ("generation_failed", "fal.ai: took <n> s, request <id>", 2, 0),
        ("content_policy_violation", "Refused: <…>", 1, 7_000),
    ]
    assert (found[0].first, found[0].last, found[0].job_id) == (NOON, NOON + timedelta(minutes=5), last.id)
    assert [(group.kind.code, group.kind.model, group.count) for group in spend.failures(OCTOBER, ("model",))] == [("", "flux-dev", 3)]
    assert spend.failures(Period("2026-11-01"), ("code",)) == []


def test_failures_of_the_last_hour_come_by_code(spend: Spend, settle: Settle) -> None:
    for minutes in (-40, -20, 0, 25):
        settle(failed(code="a.b"), completed_at=NOON + timedelta(minutes=minutes))
    settle(failed(code="c"), completed_at=NOON)

    spend.advance()

    assert spend.failed_lately() == {"a.b": 3, "c": 1}


def test_more_kinds_of_failures_than_a_report_can_show_count_together(spend: Spend, settle: Settle, sums: SpendStore) -> None:
    names = [f"{chr(97 + a)}{chr(97 + b)}{chr(97 + c)}" for a in range(26) for b in range(26) for c in range(26)][: MAX_KINDS + 60]
    for name in names:
        settle(failed(f"fal.ai: no {name}"))

    spend.advance()

    found = spend.failures(OCTOBER, ("shape",))
    assert sum(group.count for group in found) == len(names)
    assert len(found) <= MAX_KINDS + 50 + 1
    assert OTHER in {group.kind.shape for group in found}


def test_a_report_names_those_that_were_charged_most_and_sums_up_the_others(spend: Spend, settle: Settle) -> None:
    for number in range(5):
        for _ in range(number + 1):
            settle(user_id=f"user-{number}")
    spend.advance()

    report = spend.report(EVER, SpendBy.USER, limit=2)

    assert [group.key for group in report.groups] == ["user-4", "user-3"]
    assert (report.others.jobs, report.left_out, report.totals.jobs) == (6, 3, 15)


def test_a_period_is_whole_days_and_not_longer_than_two_years(spend: Spend) -> None:
    assert spend.period(None, None) == Period("2026-09-01", "2026-10-02")
    assert spend.period(NOON, NOON + timedelta(days=1)) == Period("2026-10-01", "2026-10-03")
    with pytest.raises(InvalidRequest, match="from: A period has 731 days"):
        spend.period(datetime(2000, 1, 1, tzinfo=UTC), datetime(8000, 1, 1, tzinfo=UTC))


def test_a_users_sums_go_on_under_a_pseudonym(database: Database, spend: Spend, sums: SpendStore, settle: Settle) -> None:
    for days in (0, 1):
        settle(user_id="ada.l", completed_at=NOON + timedelta(days=days))
    settle(user_id="grace")
    spend.advance()
    before = totals(spend)

    for _ in range(2):
        sums.rename_user("ada.l", "erased:1")

    found = {group.key: group.figures.jobs for group in spend.report(EVER, SpendBy.USER, limit=10).groups}
    assert found == {"erased:1": 2, "grace": 1}
    assert totals(spend, SpendBy.USER) == totals(spend) == before


ANY_JOB = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["ada", "grace.b", "$x", "é/ü %"]),
        "caller_key": st.sampled_from([None, "k1", "k2"]),
        "model": st.sampled_from(["flux-dev", "nano-banana-2", "stable-diffusion-v3.5"]),
        "project_id": st.sampled_from([None, "a", "a.b", "%"]),
        "charged_micros": st.integers(0, 10**7),
        "status": st.sampled_from([JobStatus.COMPLETED, JobStatus.CANCELED]),
        "completed_at": st.datetimes(datetime(2026, 9, 28), datetime(2026, 10, 4), timezones=st.just(UTC)),  # noqa: DTZ001
        "actual": st.none() | st.builds(ActualCost, st.integers(0, 10**6), st.sampled_from(CostSource)),
    }
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(jobs=st.lists(ANY_JOB, max_size=12), bills=st.lists(st.integers(0, 10**6), max_size=4))
def test_what_is_charged_by_day_over_all_keys_is_the_sum_of_the_jobs(
    database: Database, spend: Spend, settle: Settle, jobs: list[dict[str, Any]], bills: list[int]
) -> None:
    for name in ("usage", "spendDays", "spendPlans"):
        database[name].delete_many({})
    settled = [settle(**fields) for fields in jobs]
    spend.advance()
    for job, micros in zip(settled, bills, strict=False):
        UsageStore(database).bill(job.id, micros)
    spend.advance()

    for by in SpendBy:
        each_day = spend.report(EVER, by, each_day=True, limit=1000)
        charged = sum(job.charged_micros for job in settled)
        assert sum(group.figures.charged for group in each_day.groups) == charged == each_day.totals.charged
        for day in {group.day for group in each_day.groups}:
            of_day = sum(job.charged_micros for job in settled if job.completed_at and f"{job.completed_at:%Y-%m-%d}" == day)
            assert sum(group.figures.charged for group in each_day.groups if group.day == day) == of_day
    assert totals(spend).billed >= sum(bills[: len(settled)])


def test_whole_months_are_read_from_their_own_sums_and_the_days_beside_them_from_theirs(database: Database) -> None:
    store, days = SpendStore(database), ("2026-09-30", "2026-10-01", "2026-10-31", "2026-11-01", "2026-11-25")
    for number, day in enumerate(days):
        record = {"userId": "ada", "model": "m", "status": "completed", "images": 1, "chargedMicros": 10**number, "keyId": "k"}
        more = {"paidMicros": 0, "quotedMicros": 0, "at": datetime.fromisoformat(f"{day}T12:00:00Z"), "version": 1, "due": 1}
        database["usage"].insert_one({"_id": str(number), **record, **more})
    store.advance(limit=10)

    def charged(first: str, end: str | None) -> int:
        (ada,) = store.sums(SpendBy.USER, Period(first, end), today="2026-11-25")
        return ada.figures.charged

    assert charged("2026-09-30", None) == 11111
    assert charged("2026-10-01", "2026-11-01") == 110
    assert charged("2026-09-30", "2026-11-01") == 111
    assert charged("2026-10-02", "2026-11-26") == 11100
    assert charged("2026-10-31", "2026-11-25") == 1100
    assert charged("2026-11-01", "2026-11-26") == 11000
    assert store.sums_of(SpendBy.KEY, ["k", "other"], "2026-11")["k"].charged == 11000
    assert store.sums_of(SpendBy.USER, [], "2026-11") == {}
    database["spendDays"].delete_many({"_id": {"$regex": "^user/2026-1"}})
    assert charged("2026-10-01", None) == 11110, "days of whole months are not read"


def test_looking_for_what_has_ended_costs_one_indexed_read_while_nothing_has(backing: Backing) -> None:
    heard: list[tuple[str, Any]] = []

    class Heard(CommandListener):
        def started(self, event: CommandStartedEvent) -> None:
            heard.append((event.command_name, event.command.get("filter")))

        def succeeded(self, event: Any) -> None:
            """Nothing to note."""

        failed = succeeded

    uri = backing.database_uri("test_" + clock.new_id().replace("-", ""))
    with MongoClient[dict[str, Any]](uri, tz_aware=True, tzinfo=UTC, event_listeners=[Heard()]) as client:
        database = client.get_default_database()
        idle = Spend(sums=SpendStore(database), jobs=JobStore(database, SweepTimeouts()))
        for _ in range(3):  # The first looks for records from before there were sums.
            idle.advance()
        heard.clear()

        idle.advance()
        looked = list(heard)
        heard.clear()
        idle.report(OCTOBER, SpendBy.USER, limit=10)
        idle.failures(OCTOBER, ("code",))
        idle.failed_lately()

        assert looked == [("find", {"due": 1})]
        assert heard
        assert all(name == "find" and query.keys() == {"_id"} for name, query in heard)
        client.drop_database(database.name)
