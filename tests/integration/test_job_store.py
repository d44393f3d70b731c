from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.domain.costs import ActualCost, CostSource
from app.domain.delivery import HookFormat
from app.domain.endpoint import OrderHook
from app.domain.errors import StoreUnavailable
from app.domain.fal_request import Failure, FalRequest, RequestState
from app.domain.job import HistoryEntry, Job, JobStatus, Operation, Settlement, SweepTimeouts, WebDetails
from app.domain.repeat import Repeat
from app.stores.database import Database, connect, ping
from app.stores.indexes import ensure_indexes
from app.stores.jobs import JobFilter, JobStore
from tests.support.factories import (
    NOON,
    after,
    certain,
    completed_job,
    make_facts,
    make_image,
    make_job,
    make_quote,
    make_receipt,
    submitted_job,
)

RACERS = 20
OOPS = Failure("generation_failed", "fal.ai: no", {"falStatus": 422})
ANY = JobFilter()


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database, SweepTimeouts())


def insert(jobs: JobStore, *many: Job) -> list[Job]:
    assert all(jobs.insert(job) for job in many)
    return list(many)


def race(call: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(RACERS) as threads:
        return list(threads.map(call, range(RACERS)))


def every_field_set() -> Job:
    """A job no field of which has its default: what a forgotten line in the documents would lose."""
    request = FalRequest(
        index=0, num_images=2, state=RequestState.ENDED, attempts=3, collect_attempts=2, next_at=after(1), not_before=after(2),
        receipt=make_receipt(), submitting_at=after(3), submitted_at=after(4), ended_at=after(5), collected_at=after(6),
        failure=OOPS, billable_units="2.5", seed="18446744073709551615", claimed_by="host:1:x",
    )  # fmt: skip
    fields: dict[str, Any] = {
        "image_pointers": ("/image_urls/0",),
        "takes_num_images": False,
        "fal_headers": {"X-Fal-Queue-Priority": "low"},
        "operation": Operation.IMAGE_REFERENCE,
        "inputs": {"prompt": "ä\u2028🚲", "loras": [{"path": "https://x.example", "scale": 0.5}]},
        "arguments": {"image_urls": ["upload:u-1"], "seed": 2**64 - 1, "$odd.key": {"a.b": 1}, "flag": True, "ratio": 1.5, "nothing": None},
        "metadata": {"note": "mine", "deep": {"list": [1, 2.5, None, False]}},
        "project_id": "project-1",
        "web": WebDetails(
            operation_type_id="op",
            prompt="p",
            enhanced_prompt="p+",
            aspect_ratio="1:1",
            template_id="t",
            reference_type="face",
            reference_image_id="u-1",
        ),
        "tokens_per_image": 7,
        "caller_key": "key-1",
        "order_key": "order-1",
        "fingerprint": "f" * 64,
        "retry_of": "job-0",
        "batch_id": "batch-1",
        "budgets": ("key:key-1", "user:user-1"),
        "favorite": True,
        "tags": ("spring", "summer"),
        "retain_days": 3,
        "repeat": Repeat(fingerprint="a" * 64, made_by=1, arrived_at=after(1), tries=2, claimed_at=after(2), answered_at=after(3)),
        "hook": OrderHook(url="https://x.example/hook", owner="key:key-1", events=("job.completed",), format=HookFormat.SLACK),
    }
    return dataclasses.replace(
        make_job(requests=(2,), quote=make_quote(2, 31_000), **fields),
        requests=(request,), rev=9, status=JobStatus.COMPLETED, progress=100, message="Completed", images=(make_image(0, flagged=True), make_image(1)),
        failure=OOPS, history=(HistoryEntry(1, after(1), JobStatus.PENDING, 0, "x", 4), HistoryEntry(2, after(2), JobStatus.COMPLETED, 100, "y")),
        settlement=Settlement.DUE, settle_at=after(20), expiry_at=after(21), completed_at=after(10), updated_at=after(11), charged_micros=62_000,
        actual=ActualCost(71_000, CostSource.INVOICE), cancel_requested_at=after(22), cancel_at=after(23),
    )  # fmt: skip


def test_a_job_comes_back_as_it_was_written_in_every_field(jobs: JobStore) -> None:
    job = every_field_set()
    insert(jobs, job)

    read = certain(jobs.get(job.id))

    assert read == job
    default = make_job()
    same = {f.name for f in dataclasses.fields(Job) if getattr(job, f.name) == getattr(default, f.name)}
    assert same <= {"user_id", "model", "endpoint", "created_at", "deadline_at", "timeouts", "options"}


@pytest.mark.parametrize("job", [make_job(requests=(4, 4, 2)), submitted_job(requests=(1, 1)), completed_job()])
def test_a_job_of_every_age_comes_back_as_it_was_written(jobs: JobStore, job: Job) -> None:
    fresh = dataclasses.replace(job, id=make_job().id)
    insert(jobs, fresh)

    # A job that was ordered without a key has its own id for one: the index of keys is unique.
    assert jobs.get(fresh.id) == dataclasses.replace(fresh, order_key=fresh.id)


def test_a_seed_beyond_64_bits_survives_in_the_inputs_as_text_and_in_the_call_as_it_is(jobs: JobStore) -> None:
    job = make_job(inputs={"seed": 2**64 - 1, "small": 7}, arguments={"seed": 2**64 - 1})
    insert(jobs, job)

    read = certain(jobs.get(job.id))

    assert (read.inputs, read.arguments) == ({"seed": str(2**64 - 1), "small": 7}, {"seed": 2**64 - 1})


def test_a_job_is_inserted_once(jobs: JobStore) -> None:
    job = make_job()

    assert (jobs.insert(job), jobs.insert(job)) == (True, False)
    assert jobs.count(ANY) == 1


def test_an_order_key_belongs_to_one_job_until_it_is_freed(jobs: JobStore) -> None:
    first, second = (make_job(order_key="key-1") for _ in range(2))

    assert (jobs.insert(first), jobs.insert(second)) == (True, False)
    assert jobs.by_order_key("key-1") == first

    jobs.free_order_key(first)
    assert jobs.by_order_key("key-1") is None
    assert jobs.insert(second)
    assert jobs.get(first.id) is not None


def test_only_a_settled_job_can_be_removed(jobs: JobStore) -> None:
    settled = dataclasses.replace(completed_job(), settlement=Settlement.DONE)
    many = insert(jobs, make_job(), submitted_job(), completed_job(), settled)

    for job in many:
        assert jobs.remove_settled(job) is (job is settled)

    assert [jobs.get(job.id) is not None for job in many] == [True, True, True, False]


def test_a_settled_job_that_has_changed_since_it_was_read_stays(jobs: JobStore) -> None:
    (read,) = insert(jobs, dataclasses.replace(completed_job(), settlement=Settlement.DONE))
    jobs.change(read, lambda job: job.invoiced(77, now=NOON))

    assert not jobs.remove_settled(read)
    assert certain(jobs.get(read.id)).actual is not None


def test_a_job_that_does_not_exist_is_none(jobs: JobStore) -> None:
    assert jobs.get("nothing") is None
    assert jobs.change("nothing", lambda job: job) is None
    assert jobs.change(make_job(), lambda job: job.submitting(0, now=NOON)) is None


def test_only_one_of_many_may_post_a_request(jobs: JobStore) -> None:
    (job,) = insert(jobs, make_job())

    won = race(lambda _: jobs.change(job, lambda j: j.submitting(0, now=after(1))))

    assert sum(claim is not None for claim in won) == 1
    assert certain(jobs.get(job.id)).requests[0].attempts == 1


def test_only_one_of_many_different_ends_happens(jobs: JobStore) -> None:
    (job,) = insert(jobs, submitted_job())

    def end(number: int) -> Job | None:
        if number % 2:
            return jobs.change(job.id, lambda j: j.request_failed(0, OOPS, now=after(5)))
        return jobs.change(job.id, lambda j: j.collected(0, [make_image()], make_facts(), now=after(5)))

    winners = [job for job in race(end) if job]

    assert len(winners) == 1
    assert jobs.get(job.id) == winners[0]
    assert [entry.seq for entry in winners[0].history] == [1, 2, 3]


def test_changes_of_different_requests_all_happen(jobs: JobStore) -> None:
    (job,) = insert(jobs, submitted_job(requests=(1,) * RACERS))

    race(lambda n: jobs.change(job, lambda j: j.collected(n, [make_image(n)], make_facts(), now=after(5))))

    done = certain(jobs.get(job.id))
    assert (done.status, [image.number for image in done.images]) == (JobStatus.COMPLETED, list(range(RACERS)))
    assert done.rev == RACERS


def test_racing_progress_leaves_a_gapless_history(jobs: JobStore) -> None:
    (job,) = insert(jobs, submitted_job())

    race(lambda n: jobs.change(job, lambda j: j.progressed(10, f"step {n}", now=after(2))))

    history = certain(jobs.get(job.id)).history
    assert [entry.seq for entry in history] == list(range(1, 2 + RACERS + 1))
    assert {entry.message for entry in history[2:]} == {f"step {n}" for n in range(RACERS)}


def test_a_lost_race_asks_again_with_the_fresh_job(jobs: JobStore) -> None:
    (stale,) = insert(jobs, make_job())
    jobs.change(stale, lambda j: j.progressed(10, "meanwhile", now=after(1)))
    asked: list[Job] = []

    def evolve(job: Job) -> Job | None:
        asked.append(job)
        return job.submitting(0, now=after(2))

    changed = certain(jobs.change(stale, evolve))

    assert [job.rev for job in asked] == [0, 1]
    assert (changed.message, changed.rev) == ("meanwhile", 2)
    assert jobs.get(stale.id) == changed


def test_a_job_that_never_stands_still_is_given_up_on(jobs: JobStore) -> None:
    (job,) = insert(jobs, make_job())

    def overtaken(mine: Job) -> Job | None:
        other = certain(jobs.get(mine.id))
        assert jobs._replace(other, dataclasses.replace(other, metadata={"n": other.rev}))
        return mine.submitting(0, now=after(1))

    with pytest.raises(StoreUnavailable, match="changes too fast"):
        jobs.change(job, overtaken)


def test_an_unstarted_job_can_be_taken_back_and_a_started_one_not(jobs: JobStore) -> None:
    fresh, posting = insert(jobs, make_job(), make_job())
    jobs.change(posting, lambda j: j.submitting(0, now=after(1)))

    for job in (fresh, posting):
        jobs.remove_unstarted(job.id)

    assert jobs.get(fresh.id) is None
    assert jobs.get(posting.id) is not None


def test_a_store_that_does_not_answer_is_a_failure_of_its_own() -> None:
    database = connect("mongodb://127.0.0.1:9/test_nowhere", timeout_s=0.1)
    jobs = JobStore(database, SweepTimeouts())

    with database.client:
        for call in (lambda: jobs.get("x"), lambda: jobs.insert(make_job()), lambda: ping(database)):
            with pytest.raises(StoreUnavailable):
                call()


def test_indexes_can_be_made_again(database: Database) -> None:
    ensure_indexes(database)

    ping(database)
    assert "attentionAt_1" in database["jobs"].index_information()
