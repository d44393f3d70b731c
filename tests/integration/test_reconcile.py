"""Jobs beside fal's bill: what is corrected, what is listed, and what happens where fal does not answer. fal's platform API is a stand-in."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.domain.costs import ActualCost, CostSource
from app.domain.errors import ProviderBusy
from app.domain.fal_request import Failure
from app.domain.job import Job, SweepTimeouts
from app.services.money.reconciliation import Finding, Reconciliation
from app.stores.database import Database
from app.stores.jobs import JobStore
from app.stores.usage import UsageStore
from tests.support.factories import certain, make_facts, make_image, make_job, make_receipt
from tests.support.fal_place import FalPlace
from tests.support.fal_platform import BILLING, PlatformServer, platform_server
from tests.support.operator import run_command
from tests.support.services import Backing

ROOT = Path(__file__).resolve().parents[2]
DAY = datetime(2026, 11, 2, 10, tzinfo=UTC)
NOW = datetime(2026, 11, 20, tzinfo=UTC)
SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 10, tzinfo=UTC)
Run = Callable[..., list[Finding]]
OOPS = Failure("generation_failed", "fal.ai: no")


@pytest.fixture
def fal(fal_place: FalPlace) -> Iterator[PlatformServer]:
    with platform_server(fal_place.tls_dir) as server:
        yield server


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database, SweepTimeouts())


@pytest.fixture
def reconcile(database: Database, jobs: JobStore, fal: PlatformServer) -> Run:
    def run(since: datetime = SINCE, until: datetime = UNTIL) -> list[Finding]:
        return list(Reconciliation(jobs=jobs, usage=UsageStore(database), platform=fal.client, now=lambda: NOW).compare(since, until))

    return run


NUMBERS = itertools.count(1)


def id_at(moment: datetime) -> str:
    """Return a UUIDv7 of that millisecond; of one millisecond, later ones sort behind."""
    digits = f"{int(moment.timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-{next(NUMBERS):012x}"


def ordered(at: datetime, *request_ids: str, **fields: Any) -> Job:
    """Return a job ordered at that time, each of its requests taken by fal."""
    job = make_job(id=id_at(at), requests=(1,) * len(request_ids), now=at, **fields)
    for index, request_id in enumerate(request_ids):
        job = certain(certain(job.submitting(index, now=at)).submitted(index, make_receipt(request_id), now=at))
    return job


def completed(at: datetime, *request_ids: str, units: str | None = "1", **fields: Any) -> Job:
    job = ordered(at, *request_ids, **fields)
    for index in range(len(request_ids)):
        job = certain(job.collected(index, [make_image(index)], make_facts(units), now=at + timedelta(seconds=9)))
    return job


def stored(jobs: JobStore, *several: Job) -> None:
    assert all(jobs.insert(job) for job in several)


def actual(jobs: JobStore, job: Job) -> ActualCost | None:
    return certain(jobs.get(job.id)).actual


# -- jobs and the bill -------------------------------------------------------------------------------------------------------------------


def test_the_bill_corrects_the_actual_cost_and_nothing_else(jobs: JobStore, fal: PlatformServer, reconcile: Run) -> None:
    job = completed(DAY, "req-1")
    stored(jobs, job)
    fal.bill("req-1", 22_500_000, percent_discount=10)

    (found,) = reconcile()

    after = certain(jobs.get(job.id))
    assert after.actual == ActualCost(22_500, CostSource.INVOICE)
    assert (found.quoted, found.units, found.invoiced, found.missing, found.agrees) == (25_000, 25_000, 22_500, (), False)
    changed = {f.name for f in dataclasses.fields(Job) if getattr(after, f.name) != getattr(job, f.name)}
    assert changed == {"actual", "rev", "updated_at", "order_key"}


def test_a_second_run_finds_the_same_and_writes_nothing(jobs: JobStore, fal: PlatformServer, reconcile: Run) -> None:
    job = completed(DAY, "req-1")
    stored(jobs, job)
    fal.bill("req-1", 25_000_000)

    first, second = reconcile(), reconcile()

    assert [(f.quoted, f.units, f.invoiced, f.agrees) for f in (*first, *second)] == [(25_000, 25_000, 25_000, True)] * 2
    assert certain(jobs.get(job.id)).rev == job.rev + 1


def test_a_later_correction_of_the_bill_is_taken(jobs: JobStore, fal: PlatformServer, reconcile: Run) -> None:
    job = completed(DAY, "req-1")
    stored(jobs, job)
    fal.bill("req-1", 25_000_000)
    reconcile()

    fal.bill("req-1", 5_000_001, at="2026-11-05T00:00:00Z")
    reconcile()

    assert actual(jobs, job) == ActualCost(30_001, CostSource.INVOICE)


def test_events_that_are_missing_are_listed_and_leave_the_job_as_it_is(jobs: JobStore, fal: PlatformServer, reconcile: Run) -> None:
    half, unpriced, whole = completed(DAY, "a-1", "a-2"), completed(DAY, "b-1"), completed(DAY, "c-1")
    stored(jobs, half, unpriced, whole)
    fal.bill("a-1", 25_000_000)
    fal.bill("b-1", None)
    fal.bill("c-1", 25_000_000)

    found = {finding.job.id: finding for finding in reconcile()}

    assert found[half.id].missing == ("a-2",)
    assert found[unpriced.id].missing == ("b-1",)
    assert [actual(jobs, job) for job in (half, unpriced, whole)] == [half.actual, unpriced.actual, ActualCost(25_000, CostSource.INVOICE)]


def test_a_request_that_failed_costs_what_the_bill_says_if_anything(jobs: JobStore, fal: PlatformServer, reconcile: Run) -> None:
    at = DAY + timedelta(seconds=9)
    failed = certain(ordered(DAY, "f-1").request_failed(0, OOPS, now=at))
    billed = certain(ordered(DAY, "f-2").request_failed(0, OOPS, now=at))
    partly = certain(
        certain(ordered(DAY, "p-1", "p-2").collected(0, [make_image()], make_facts("1"), now=at)).request_failed(1, OOPS, now=at)
    )
    stored(jobs, failed, billed, partly)
    fal.bill("f-2", 10_000_000)
    fal.bill("p-1", 25_000_000)

    found = reconcile()

    assert not [finding for finding in found if finding.missing]
    assert [actual(jobs, job) for job in (failed, billed, partly)] == [
        None,
        ActualCost(10_000, CostSource.INVOICE),
        ActualCost(25_000, CostSource.INVOICE),
    ]


def test_only_ended_jobs_of_the_range_are_looked_at(jobs: JobStore, fal: PlatformServer, reconcile: Run) -> None:
    before, first = completed(SINCE - timedelta(seconds=1), "r-0"), completed(SINCE, "r-1")
    last, behind = completed(UNTIL - timedelta(seconds=1), "r-2"), completed(UNTIL, "r-3")
    live, never_sent = ordered(DAY, "r-4"), certain(make_job(id=id_at(DAY), now=DAY).cancel_requested(now=DAY))
    stored(jobs, before, first, last, behind, live, never_sent)

    found = reconcile()

    assert [finding.job.id for finding in found] == [last.id, never_sent.id, first.id]
    assert {name for query in fal.queries(BILLING) for name in query["request_id"]} == {"r-1", "r-2"}


def test_many_jobs_are_asked_for_in_calls_of_fifty_and_pages_are_followed(jobs: JobStore, fal: PlatformServer, reconcile: Run) -> None:
    many = [completed(DAY + timedelta(seconds=n), f"m-{n}-0", f"m-{n}-1") for n in range(60)]
    stored(jobs, *many)
    fal.page = 30
    for n in range(60):
        fal.bill(f"m-{n}-0", 25_000_000)
        fal.bill(f"m-{n}-1", n)

    found = reconcile()

    queries = fal.queries(BILLING)
    assert [len(query["request_id"]) for query in queries if "cursor" not in query] == [50, 50, 20]
    assert [query["cursor"][0] for query in queries if "cursor" in query] == ["30", "30"]
    assert sum(finding.invoiced or 0 for finding in found) == 60 * 25_000 + 59  # Every part of a micro-dollar is rounded up.
    assert all(finding.invoiced for finding in found)


def test_jobs_far_apart_are_asked_for_in_calls_of_ninety_days(jobs: JobStore, fal: PlatformServer, reconcile: Run) -> None:
    old, new = completed(DAY - timedelta(days=200), "old"), completed(DAY, "new")
    stored(jobs, old, new)
    fal.bill("old", 25_000_000, at="2026-04-16T10:00:09Z")
    fal.bill("new", 25_000_000)

    found = reconcile(since=DAY - timedelta(days=365))

    assert [finding.invoiced for finding in found] == [25_000, 25_000]
    assert len(fal.queries(BILLING)) == 2


def test_where_fal_stops_answering_the_jobs_before_are_corrected_and_the_rest_is_left(
    database: Database, jobs: JobStore, fal: PlatformServer, reconcile: Run
) -> None:
    many = [completed(DAY + timedelta(seconds=n), f"m-{n}") for n in range(51)]
    stored(jobs, *many)
    for n in range(51):
        fal.bill(f"m-{n}", 20_000_000)
    fal.refusals = [(429, {}), (500, {})]  # Both are tried again.
    run = Reconciliation(jobs=jobs, usage=UsageStore(database), platform=fal.client, now=lambda: NOW).compare(SINCE, UNTIL)
    first = [next(run) for _ in range(50)]

    fal.refusals = [(503, {})] * 3
    with pytest.raises(ProviderBusy, match="503"):
        next(run)
    left = actual(jobs, many[0])
    again = reconcile()

    assert {finding.invoiced for finding in first} == {20_000}
    assert left == many[0].actual
    assert actual(jobs, many[0]) == ActualCost(20_000, CostSource.INVOICE)
    assert len(again) == 51


def test_runs_at_the_same_time_agree(jobs: JobStore, fal: PlatformServer, reconcile: Run) -> None:
    job = completed(DAY, "req-1")
    stored(jobs, job)
    fal.bill("req-1", 20_000_000)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: reconcile(), range(4)))

    after = certain(jobs.get(job.id))
    assert (after.actual, after.rev) == (ActualCost(20_000, CostSource.INVOICE), job.rev + 1)


# -- the command -------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(backing: Backing, database: Database, fal: PlatformServer, fal_place: FalPlace, tmp_path: Path) -> Callable[..., Any]:
    environment = {
        "PATH": os.environ["PATH"],
        "COLUMNS": "200",
        "SSL_CERT_FILE": str(fal_place.bundle),
        "MONGODB_URI": backing.database_uri(database.name),
        "REDIS_URL": backing.redis_url,
        "STORAGE_URL": tmp_path.as_uri(),
        "FAL_KEY": "test-id:test-secret",
        "JWT_SECRET": "x" * 32,
        **fal.environment,
    }

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return run_command(["costs", "reconcile", *arguments], {**environment, **more})

    return run


def test_the_command_shows_where_the_figures_disagree_with_totals(jobs: JobStore, fal: PlatformServer, command: Callable[..., Any]) -> None:
    cheap, fair = completed(DAY, "req-1"), completed(DAY, "req-2", units=None)
    late = completed(DAY, "req-3")
    stored(jobs, cheap, fair, late)
    fal.bill("req-1", 22_500_000)
    fal.bill("req-2", 25_000_000)

    done = command("--since", "2026-11-01", "--until", "2026-11-10")

    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [line for line in done.stdout.splitlines() if cheap.id in line]
    assert [cell.strip() for cell in line.strip("│ ").split("│")][3:] == ["0.025", "0.025", "0.0225", "-0.0025"]
    assert fair.id not in done.stdout
    assert [line for line in done.stdout.splitlines() if late.id in line and "req-3" in line]
    (total,) = [line for line in done.stdout.splitlines() if "all 2 on the bill" in line]
    assert [cell.strip() for cell in total.strip("│ ").split("│")][3:] == ["0.05", "", "0.0475", "-0.0025"]
    assert done.stdout.splitlines()[-1] == "3 ended jobs, 2 on fal's bill, 1 of those disagree; 1 without their billing events"


def test_the_operator_is_told_that_the_bill_drifts_away_once_a_day(
    jobs: JobStore, fal: PlatformServer, database: Database, command: Callable[..., Any]
) -> None:
    stored(jobs, completed(DAY, "req-1"))
    fal.bill("req-1", 22_500_000)

    for _ in range(2):
        command("--since", "2026-11-01", "--until", "2026-11-10", ALERT_WEBHOOK_URL="https://hooks.slack.example/T0")

    (told,) = database["deliveries"].find()
    assert (told["type"], told["owner"], told["url"]) == ("costs.drift", "operator", "https://hooks.slack.example/T0")
    assert "fal has billed 0.0225 USD for 1 jobs that were quoted at 0.025 USD" in told["body"]


def test_the_command_says_in_one_line_why_it_stopped(jobs: JobStore, command: Callable[..., Any]) -> None:
    stored(jobs, completed(DAY, "req-1"))

    refused = command("--since", "2026-11-01", "--until", "2026-11-10", FAL_ADMIN_KEY="")
    backwards = command("--since", "2026-11-10", "--until", "2026-11-01")
    insecure = command(FAL_API_URL="http://localhost:1/v1")

    assert [done.returncode for done in (refused, backwards, insecure)] == [2, 2, 2]
    assert "Traceback" not in refused.stderr + backwards.stderr + insecure.stderr
    assert "set FAL_ADMIN_KEY to a key of scope ADMIN. fal says: Admin API key required" in refused.stderr
    assert "Stopped before the end" in refused.stdout
    assert "--since must be before --until" in backwards.stderr
    assert "FAL_API_URL" in insecure.stderr
