"""Lists of jobs and usage: every query is one walk along a declared index, and pages turn both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, combinations, product
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

from app.domain import clock
from app.domain.fal_request import Failure
from app.domain.job import Job, JobStatus, Operation, SweepTimeouts
from app.domain.job_filter import JobFilter
from app.domain.usage import GroupBy, Period
from app.services.reports.history import History, PageCursor, Total
from app.services.reports.usage import Usage
from app.stores.database import Database
from app.stores.indexes import INDEXES, ensure_indexes
from app.stores.jobs import BatchJobStore, JobStore
from app.stores.usage import UsageDayStore
from tests.support.factories import NOON, completed_job, make_job
from tests.support.services import Backing

A_JOB = "01a1fbb9-ae99-76ef-85b8-99f0e4849dc8"
EQUALITIES: list[dict[str, Any]] = [
    {"user_id": "user-1"},
    {"status": JobStatus.COMPLETED},
    {"status": JobStatus.FAILED},
    {"statuses": (JobStatus.PENDING, JobStatus.FAILED)},
    {"model": "flux-dev"},
    {"project_id": "p"},
    {"batch_id": "b"},
    {"favorite": True},
    {"tag": "spring"},
]
#: What an operator's search may name beside; two of all at once stand for any number.
SEARCHED: list[dict[str, Any]] = [
    {"code": "content_policy_violation"},
    {"key_ids": ("k",)},
    {"key_ids": ("k", "l")},
    {"min_micros": 1_000_000},
    {"troubled_at": NOON},
    {"job_id": A_JOB},
    {"words": ("red", "bicycle")},
    {"user_id": ("user-1", "user-2")},
]
TIMES: list[dict[str, Any]] = [{}, {"created_from": NOON}, {"created_to": NOON}, {"created_from": NOON, "created_to": NOON}]
OTHERS: list[dict[str, Any]] = [
    {},
    {"type": "image-generation", "operation": Operation.GENERATE, "metadata": (("a", "1"),), "prompt": "bicycle"},
]


class Heard(CommandListener):
    """The commands that were really sent."""

    def __init__(self) -> None:
        self.commands: list[Mapping[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in ("find", "aggregate", "count", "distinct"):
            self.commands.append(event.command)

    def succeeded(self, event: Any) -> None:
        """Nothing to note."""

    failed = succeeded


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def listened(backing: Backing, heard: Heard) -> Iterator[Database]:
    """A database all of whose commands are heard."""
    uri = backing.database_uri("test_" + clock.new_id().replace("-", ""))
    with MongoClient[dict[str, Any]](uri, tz_aware=True, tzinfo=UTC, event_listeners=[heard]) as client:
        database = client.get_default_database()
        ensure_indexes(database)
        yield database
        client.drop_database(database.name)


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database, SweepTimeouts())


def filters() -> Iterator[JobFilter]:
    """Every combination of filters, those of one field excluded from each other."""
    subsets = chain.from_iterable(combinations(EQUALITIES, count) for count in range(len(EQUALITIES) + 1))
    for parts in subsets:
        if sum("status" in name for part in parts for name in part) <= 1:
            for times, others in product(TIMES, OTHERS):
                yield JobFilter(**{name: value for part in (*parts, times, others) for name, value in part.items()})


def searches() -> Iterator[JobFilter]:
    """What operators search for, alone and beside any one other filter."""
    for part, other, times in product(SEARCHED, [{}, *SEARCHED, *EQUALITIES], TIMES):
        yield JobFilter(**{**other, **part, **times})


def keys_of(collection: str) -> list[list[tuple[str, int]]]:
    """Return the declared indexes of a collection, and that of `_id`, which every collection has."""
    return [[("_id", 1)], *([(name, way) for name, way in model.document["key"].items()] for model in INDEXES[collection])]


def shape(command: Mapping[str, Any]) -> tuple[str, set[str], set[str], list[tuple[str, int]]]:
    """Return collection, fields tested for equality, fields tested for a range, and the sort of a read."""
    collection = next(str(command[name]) for name in ("find", "aggregate") if name in command)
    pipeline = command.get("pipeline", [{}])
    query = command.get("filter", pipeline[0].get("$match", {}))
    ranges = {name for name, test in query.items() if isinstance(test, dict) and test.keys() <= {"$lt", "$lte", "$gt", "$gte"}}
    return collection, query.keys() - ranges, ranges, list(command.get("sort", {}).items())


def serving(command: Mapping[str, Any]) -> list[list[tuple[str, int]]]:
    """Return the indexes along which a read is one walk: its equality fields first, then its sort, then its ranges, and no more."""
    collection, equal, ranges, order = shape(command)
    found = []
    for index in keys_of(collection):
        head, rest = index[: len(equal)], index[len(equal) :]
        walked = rest[: len(order)]
        both_ways = [order, [(name, -way) for name, way in order]]
        if {name for name, _ in head} == equal and walked in both_ways and ranges <= {name for name, _ in rest[: max(1, len(order))]}:
            found.append(index)
    return found


def read_lists(jobs: JobStore, wanted: JobFilter) -> None:
    jobs.page(wanted, before_id=A_JOB, limit=10)
    jobs.page_up(wanted, from_id=A_JOB, limit=10)
    jobs.count(wanted, limit=10)


def test_every_combination_of_filters_is_one_walk_along_a_declared_index(listened: Database, heard: Heard) -> None:
    jobs = JobStore(listened, SweepTimeouts())

    for wanted in chain(filters(), searches()):
        read_lists(jobs, wanted)

    assert len(heard.commands) > 1500
    assert [command for command in heard.commands if not serving(command)] == []
    assert [command for command in heard.commands if command.get("skip")] == []
    assert {tuple(shape(command)[3]) for command in heard.commands if "find" in command} == {(("_id", -1),), (("_id", 1),)}


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (JobFilter(), ["_id"]),
        (JobFilter(created_from=NOON), ["_id"]),
        (JobFilter(prompt="x", operation=Operation.GENERATE, metadata=(("a", "1"),)), ["_id"]),
        (JobFilter(status=JobStatus.FAILED), ["status", "_id"]),
        (JobFilter(model="flux-dev"), ["model", "_id"]),
        (JobFilter(project_id="p"), ["projectId", "_id"]),
        (JobFilter(batch_id="b"), ["batchId", "_id"]),
        (JobFilter(user_id="u"), ["userId", "_id"]),
        (JobFilter(user_id="u", statuses=tuple(JobStatus)), ["userId", "_id"]),
        (JobFilter(user_id="u", statuses=(JobStatus.PENDING, JobStatus.COMPLETED)), ["userId", "status", "_id"]),
        (JobFilter(user_id="u", status=JobStatus.COMPLETED), ["userId", "status", "_id"]),
        (JobFilter(user_id="u", model="flux-dev"), ["userId", "model", "_id"]),
        (JobFilter(user_id="u", project_id="p"), ["userId", "projectId", "_id"]),
        (JobFilter(user_id="u", batch_id="b"), ["batchId", "_id"]),
        (JobFilter(user_id="u", favorite=True), ["userId", "marks", "_id"]),
        (JobFilter(user_id="u", favorite=True, tag="t", status=JobStatus.COMPLETED), ["userId", "marks", "_id"]),
        (JobFilter(favorite=False, tag="t"), ["_id"]),
        (JobFilter(words=("red",)), ["_id"]),
        (JobFilter(code="x", status=JobStatus.FAILED), ["error.code", "_id"]),
        (JobFilter(key_ids=("k",), model="flux-dev"), ["callerKey", "_id"]),
        (JobFilter(min_micros=1_000_000), ["cost.step", "_id"]),
        (JobFilter(min_micros=1_000_000, status=JobStatus.FAILED), ["status", "_id"]),
        (JobFilter(troubled_at=NOON, user_id="u"), ["settlement", "_id"]),
        (JobFilter(job_id=A_JOB), ["_id"]),
        # Nearly all jobs end well: the model narrows more. A rare status narrows more than a model.
        (JobFilter(user_id="u", model="flux-dev", status=JobStatus.COMPLETED), ["userId", "model", "_id"]),
        (JobFilter(user_id="u", model="flux-dev", status=JobStatus.FAILED), ["userId", "status", "_id"]),
    ],
)
def test_a_list_goes_by_the_index_that_narrows_it_most(listened: Database, heard: Heard, wanted: JobFilter, index: list[str]) -> None:
    read_lists(JobStore(listened, SweepTimeouts()), wanted)

    lists = [command for command in heard.commands if "find" in command]
    assert [[[name for name, _ in found] for found in serving(command)] for command in lists] == [[index]] * 2


def test_every_declared_index_serves_a_query(listened: Database, heard: Heard) -> None:
    jobs, usage = JobStore(listened, SweepTimeouts()), Usage(days=UsageDayStore(listened))
    for wanted in chain(filters(), searches()):
        jobs.page(wanted, before_id=None, limit=1)
    jobs.by_order_key("k")
    jobs.retries_of([A_JOB])
    jobs.skim(JobFilter(words=("red",)), before_id=A_JOB, limit=1)
    jobs.skim_up(JobFilter(words=("red",)), from_id=A_JOB, limit=1)
    jobs.names_upload(["u"])
    jobs.retained_until(NOON, after=None, limit=1)
    jobs.by_request_id("r")
    jobs.of_equal_requests("f", since=NOON)
    jobs.due(now=NOON, limit=1)
    BatchJobStore(listened, SweepTimeouts()).slots_taken()
    for user_id in ("user-1", None):
        usage.report(user_id, Period("2026-10-01", "2026-11-01"), GroupBy.DAY)
        list(usage.rows(user_id, Period("2026-10-01", "2026-11-01")))
    usage.confirm()

    used = [(shape(command)[0], index) for command in heard.commands for index in serving(command)]

    assert [command for command in heard.commands if not serving(command)] == []
    for collection in ("jobs", "usageDays"):
        assert [index for index in keys_of(collection) if (collection, index) not in used] == []


def test_a_report_is_one_command_whatever_its_period(listened: Database, heard: Heard) -> None:
    Usage(days=UsageDayStore(listened)).report("user-1", Period("2025-10-01", "2026-10-01"), GroupBy.DAY)

    (command,) = heard.commands
    assert (command["aggregate"], [next(iter(stage)) for stage in command["pipeline"]]) == ("usageDays", ["$match", "$group", "$limit"])


# -- pages --------------------------------------------------------------------------------------------------------------------------


def insert(jobs: JobStore, count: int, **fields: Any) -> list[Job]:
    made = [make_job(**fields) for _ in range(count)]
    assert all(jobs.insert(job) for job in made)
    return made[::-1]


def ids(found: Sequence[Job]) -> list[str]:
    return [job.id for job in found]


def test_pages_turn_forward_and_back_without_gap_or_repetition(jobs: JobStore) -> None:
    whole, history, wanted = ids(insert(jobs, 7)), History(jobs=jobs), JobFilter(user_id="user-1")

    forward = [history.page(wanted, cursor=None, limit=3)]
    while cut := forward[-1].next:
        forward.append(history.page(wanted, cursor=cut, limit=3))
    back = [forward[-1]]
    while cut := back[-1].previous:
        back.append(history.page(wanted, cursor=cut, limit=3))

    assert [ids(page.jobs) for page in forward] == [whole[:3], whole[3:6], whole[6:]]
    assert [ids(page.jobs) for page in back] == [whole[6:], whole[3:6], whole[:3]]
    assert forward[0].previous is None
    assert ids(history.page(wanted, cursor=back[-1].next, limit=3).jobs) == whole[3:6]


def test_newer_jobs_are_found_on_the_way_back(jobs: JobStore) -> None:
    whole, history, wanted = ids(insert(jobs, 4)), History(jobs=jobs), JobFilter()
    first = history.page(wanted, cursor=None, limit=2)
    second = history.page(wanted, cursor=first.next, limit=2)
    late = ids(insert(jobs, 3))

    back = history.page(wanted, cursor=second.previous, limit=2)
    further = history.page(wanted, cursor=back.previous, limit=2)
    newest = history.page(wanted, cursor=further.previous, limit=2)

    assert [ids(page.jobs) for page in (back, further, newest)] == [whole[:2], late[1:], late[:1]]
    assert newest.previous is None


def test_a_page_whose_neighbours_were_deleted_meanwhile_still_leads_on(jobs: JobStore, database: Database) -> None:
    whole, history = ids(insert(jobs, 4)), History(jobs=jobs)
    second = history.page(JobFilter(), cursor=history.page(JobFilter(), cursor=None, limit=2).next, limit=2)
    database["jobs"].delete_many({"_id": {"$in": whole[:3]}})

    back = history.page(JobFilter(), cursor=second.previous, limit=2)
    forth = history.page(JobFilter(), cursor=back.next, limit=2)

    assert (back.jobs, ids(forth.jobs)) == ([], whole[3:])


def test_a_search_without_an_index_of_its_own_looks_at_so_many_jobs_per_page_and_goes_on(jobs: JobStore) -> None:
    insert(jobs, 4, inputs={"prompt": "a car"})
    sought = ids(insert(jobs, 2, inputs={"prompt": "A Red BICYCLE, please"}))
    insert(jobs, 7, inputs={"prompt": "a car"})
    history, wanted = History(jobs=jobs, max_scanned=5), JobFilter(prompt="red bicycle")

    pages = [history.page(wanted, cursor=None, limit=10)]
    while cut := pages[-1].next:
        pages.append(history.page(wanted, cursor=cut, limit=10))
    back = [pages[-1]]
    while cut := back[-1].previous:
        back.append(history.page(wanted, cursor=cut, limit=10))

    assert [ids(page.jobs) for page in pages] == [[], sought, []]
    assert [job_id for page in back for job_id in ids(page.jobs)] == sought
    assert history.total(wanted) == Total(0, is_exact=False)
    assert History(jobs=jobs).total(wanted) == Total(2, is_exact=True)


def test_a_full_page_of_a_search_ends_where_it_is_full(jobs: JobStore) -> None:
    whole, history = ids(insert(jobs, 5)), History(jobs=jobs, max_scanned=100)

    first = history.page(JobFilter(prompt="bicycle"), cursor=None, limit=2)
    second = history.page(JobFilter(prompt="bicycle"), cursor=first.next, limit=3)

    assert (ids(first.jobs), ids(second.jobs)) == (whole[:2], whole[2:])
    assert second.next is None


def test_every_job_is_read_in_pieces_by_one_who_wants_all(listened: Database, heard: Heard) -> None:
    jobs = JobStore(listened, SweepTimeouts())
    whole = ids(insert(jobs, 230))

    found = ids(list(History(jobs=jobs).all(JobFilter(prompt="bicycle"))))

    assert found == whole
    assert [command["limit"] for command in heard.commands if "find" in command] == [100, 100, 100]


def test_the_pages_of_a_time_end_with_it_in_both_directions(jobs: JobStore) -> None:
    moments = [datetime(2026, 10, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(6)]
    for moment in moments:
        digits = f"{int(moment.timestamp() * 1000):012x}"
        jobs.insert(make_job(id=f"{digits[:8]}-{digits[8:]}-7abc-8000-000000000001", now=moment))
    history, wanted = History(jobs=jobs), JobFilter(created_from=moments[1], created_to=moments[5])

    first = history.page(wanted, cursor=None, limit=3)
    second = history.page(wanted, cursor=first.next, limit=3)
    back = history.page(wanted, cursor=PageCursor("0", newer=True), limit=9)

    assert [job.created_at for job in first.jobs + second.jobs] == moments[4:0:-1] == [job.created_at for job in back.jobs]
    assert (second.next, back.previous) == (None, None)


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (JobFilter(metadata=(("count", "7"),)), True),
        (JobFilter(metadata=(("count", "7"), ("note", "spring"))), True),
        (JobFilter(metadata=(("flag", "true"),)), True),
        (JobFilter(metadata=(("ratio", "1.5"),)), True),
        (JobFilter(metadata=(("count", "8"),)), False),
        (JobFilter(metadata=(("absent", "x"),)), False),
        (JobFilter(metadata=(("note", "spr"),)), False),
        (JobFilter(operation=Operation.GENERATE), True),
        (JobFilter(operation=Operation.TEXT_TO_IMAGE), False),
        (JobFilter(prompt="RED"), True),
        (JobFilter(prompt="a.*e"), False),
        (JobFilter(batch_id="b"), False),
        (JobFilter(statuses=(JobStatus.COMPLETED,)), True),
        (JobFilter(statuses=(JobStatus.FAILED,)), False),
        (JobFilter(type="image-generation", user_id="user-1", model="flux-dev"), True),
        (JobFilter(type="video"), False),
    ],
)
def test_a_filter_accepts_what_it_names(wanted: JobFilter, passes: bool) -> None:
    job = dataclasses.replace(completed_job(), metadata={"count": 7, "note": "spring", "flag": True, "ratio": 1.5})

    assert wanted.accepts(job) is passes


def test_jobs_are_found_by_what_they_cost_at_least_and_no_cheaper_one_of_the_same_step(jobs: JobStore) -> None:
    for micros in (0, 1, 700_000, 999_999, 1_000_000, 1_000_001, 5_000_000_000):
        assert jobs.insert(dataclasses.replace(completed_job(), id=clock.new_id(), order_key=None, charged_micros=micros))
    history = History(jobs=jobs)

    found = {
        least: [job.charged_micros for job in history.page(JobFilter(min_micros=least), cursor=None, limit=9).jobs]
        for least in (1_000_000, 1)
    }

    assert found[1_000_000] == [5_000_000_000, 1_000_001, 1_000_000]
    assert len(found[1]) == 6


def test_a_search_finds_what_one_of_its_names_means(jobs: JobStore) -> None:
    failed = dataclasses.replace(make_job(user_id="user-2"), failure=Failure("timeout", "too late"), caller_key="k")
    for job in (failed, *(make_job() for _ in range(3))):
        jobs.insert(job)
    history = History(jobs=jobs)

    for wanted in (
        JobFilter(code="timeout"),
        JobFilter(key_ids=("k", "l")),
        JobFilter(job_id=failed.id),
        JobFilter(user_id=("user-2", "x")),
    ):
        page = history.page(wanted, cursor=None, limit=9)
        assert (ids(page.jobs), page.next, history.total(wanted)) == ([failed.id], None, Total(1, is_exact=True))
    assert ids(history.page(JobFilter(job_id="none"), cursor=None, limit=9).jobs) == []
