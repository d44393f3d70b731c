"""What fal, storage and crashes do to a job: nothing is bought twice, nothing paid for is lost, nothing undelivered is charged."""

from __future__ import annotations

import base64
import copy
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.clients.fal.queue import Stopped
from app.domain import clock
from app.domain.errors import NotFound
from app.domain.fal_request import RequestState
from app.domain.job import JobStatus, Settlement
from tests.support.cases import case, fal_case
from tests.support.gateway import Gateway, StorageAway, wait_until


@pytest.mark.parametrize("fault", ["drop_after_read", "html"])
def test_a_submit_of_unknown_outcome_is_never_posted_again_and_costs_nothing(gateway: Gateway, fault: str) -> None:
    gateway.fal.fault("submit", fault)
    job = gateway.dispatch(gateway.order())
    assert job.requests[0].state is RequestState.UNKNOWN

    gateway.dispatch(job)
    waiting = gateway.sweep(gateway.wait(job, 110))
    assert waiting.requests[0].state is RequestState.UNKNOWN

    failed = gateway.sweep(gateway.wait(job, 11))
    gateway.dispatch(failed)

    assert (failed.status, failed.failure and failed.failure.code) == (JobStatus.FAILED, "submit_outcome_unknown")
    assert (failed.charged_micros, len(gateway.posts())) == (0, 1)
    assert [record["chargedMicros"] for record in gateway.usage()] == [0]


def test_a_worker_that_dies_in_the_middle_of_a_post_leaves_an_unknown_outcome(gateway: Gateway) -> None:
    job = gateway.order()
    gateway.services.jobs.change(job.id, lambda j: j.submitting(0, now=clock.now()))

    early = gateway.sweep(gateway.wait(job, 50))
    gateway.dispatch(job)
    assert early.requests[0].state is RequestState.SUBMITTING

    unknown = gateway.sweep(gateway.wait(job, 11))
    failed = gateway.sweep(gateway.wait(job, 121))

    assert unknown.requests[0].state is RequestState.UNKNOWN
    assert (failed.status, failed.failure and failed.failure.code) == (JobStatus.FAILED, "submit_outcome_unknown")
    assert gateway.posts() == []


def test_a_submit_that_fal_refuses_for_now_is_tried_five_times(gateway: Gateway) -> None:
    gateway.fal.fault("submit", "error_503", times=None)
    job = gateway.order()

    for attempt in range(1, 5):
        refused = gateway.dispatch(gateway.wait(job, 100))
        assert (refused.requests[0].state, refused.requests[0].attempts) == (RequestState.NEW, attempt)
        assert gateway.dispatch(job).requests[0].attempts == attempt
    failed = gateway.dispatch(gateway.wait(job, 100))

    assert (failed.status, failed.failure and failed.failure.code) == (JobStatus.FAILED, "provider_unavailable")
    assert (len(gateway.posts()), failed.settlement) == (5, Settlement.DONE)


def test_a_submit_that_was_put_back_is_enqueued_by_the_sweep(gateway: Gateway) -> None:
    gateway.fal.fault("submit", "refuse_429")
    job = gateway.dispatch(gateway.order())
    gateway.tasks()

    gateway.sweep(gateway.wait(job, 100))
    gateway.sweep(job)

    assert gateway.tasks() == [("submit", [job.id])]
    assert gateway.generated(job).status is JobStatus.COMPLETED


def test_a_locked_account_makes_jobs_wait_without_counting_and_they_go_on(gateway: Gateway) -> None:
    gateway.fal.fault("submit", "locked_403", times=None)
    first, second = gateway.order(), gateway.order()

    waiting = gateway.dispatch(first)
    gateway.dispatch(second)

    assert (waiting.status, waiting.requests[0].state, waiting.requests[0].attempts) == (JobStatus.PENDING, RequestState.NEW, 0)
    assert "locked" in waiting.message
    assert gateway.services.breaker.pauses() == {"account": "provider_locked"}
    assert len(gateway.posts()) == 1

    for _ in range(7):
        gateway.resume()
        gateway.dispatch(gateway.wait(first, 100))
    gateway.fal.clear()
    gateway.resume()
    done = [gateway.generated(gateway.wait(job, 100)) for job in (first, second)]

    assert [job.status for job in done] == [JobStatus.COMPLETED] * 2


def test_an_application_that_is_not_open_to_us_fails_its_own_order_at_once_and_no_other_waits(gateway: Gateway) -> None:
    gateway.fal.fault("submit", "restricted_403", times=None, endpoint="flux/dev")

    failed = gateway.dispatch(gateway.order())
    done = gateway.generated(gateway.order(model="flux-pro"))

    assert failed.failure is not None
    assert (failed.status, failed.failure.message) == (JobStatus.FAILED, "fal.ai: Access to this application is restricted")
    assert done.status is JobStatus.COMPLETED
    assert gateway.services.breaker.pauses() == {}


def test_an_endpoint_that_fails_again_and_again_makes_only_its_own_orders_wait(gateway: Gateway) -> None:
    gateway.fal.fault("submit", "error_503", times=None, endpoint="flux/dev")

    waiting = [gateway.dispatch(gateway.order()) for _ in range(6)]
    done = gateway.generated(gateway.order(model="flux-pro"))

    assert [job.status for job in waiting] == [JobStatus.PENDING] * 6
    assert done.status is JobStatus.COMPLETED
    assert gateway.services.breaker.pauses() == {"fal-ai/flux/dev": "provider_unavailable"}


def test_a_result_that_tells_of_an_error_with_status_200_fails_at_once(gateway: Gateway) -> None:
    gateway.fal.fault("result", "answer", value={"status": 200, "body": {"error": {"message": "out of memory"}}})

    failed = gateway.generated(gateway.order())

    assert (failed.status, failed.failure and failed.failure.message) == (JobStatus.FAILED, "fal.ai: out of memory")


@pytest.mark.parametrize("name", ["422_detail_half_emoji", "422_detail_object", "422_msg_null"])
def test_a_refusal_stays_one_whatever_its_words_hold(gateway: Gateway, name: str) -> None:
    status, body = fal_case(name)
    gateway.fal.fault("submit", "answer", value={"status": status, "body": body})

    failed = gateway.dispatch(gateway.order())

    assert (failed.status, failed.failure and failed.failure.code) == (JobStatus.FAILED, "generation_failed")
    assert (failed.settlement, len(gateway.posts())) == (Settlement.DONE, 1)


def test_what_a_model_refuses_fails_the_job_with_fals_words(gateway: Gateway) -> None:
    gateway.fal.outcome("content_policy")

    failed = gateway.generated(gateway.order())

    assert failed.failure is not None
    assert (failed.status, failed.failure.code, failed.charged_micros) == (JobStatus.FAILED, "content_policy_violation", 0)
    assert (failed.failure.details or {})["falStatus"] == 422
    assert failed.images == ()


def test_a_submit_that_fal_refuses_for_good_fails_at_once(gateway: Gateway) -> None:
    gateway.fal.fault("submit", "bad_input_422")

    failed = gateway.dispatch(gateway.order())

    assert (failed.status, len(gateway.posts())) == (JobStatus.FAILED, 1)
    assert failed.settlement is Settlement.DONE


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("not_an_image", "not_an_image"),
        ("bomb", "not_an_image"),
        ("truncated_file", "not_an_image"),
        ("missing_file", "result_gone"),
        ("html_result", "bad_provider_answer"),
        ("none", "no_images"),
        ("private_url", "bad_provider_answer"),
    ],
)
def test_what_is_no_picture_is_tried_four_times_and_costs_nothing(gateway: Gateway, outcome: str, code: str) -> None:
    gateway.fal.outcome(outcome)
    job = gateway.dispatch(gateway.order())

    tries = [gateway.collect(gateway.wait(job, 60)) for _ in range(4)]

    assert [tried.status for tried in tries] == [JobStatus.PROCESSING] * 3 + [JobStatus.FAILED]
    assert (tries[-1].failure and tries[-1].failure.code, tries[-1].charged_micros, tries[-1].images) == (code, 0, ())


def test_bytes_that_are_no_picture_are_kept_for_the_operator_for_a_month(gateway: Gateway) -> None:
    gateway.fal.outcome("not_an_image")
    job = gateway.dispatch(gateway.order())
    for _ in range(4):
        failed = gateway.collect(gateway.wait(job, 60))
    assert failed.failure is not None
    key = (failed.failure.details or {})["keptAs"]
    with gateway.services.storage.open(key) as file:
        kept = file.read()

    sweep_in(gateway, days=30)
    with gateway.services.storage.open(key) as file:
        assert file.read() == kept
    sweep_in(gateway, days=33)

    assert kept
    assert key.startswith("unreadable/")
    with pytest.raises(NotFound):
        gateway.services.storage.open(key)


def sweep_in(gateway: Gateway, *, days: int) -> None:
    """Do what the watcher does, so many days from now."""
    unreadable = copy.copy(gateway.services.unreadable)
    unreadable._now = lambda: clock.now() + timedelta(days=days)
    unreadable.sweep()


def test_a_picture_with_a_text_that_is_too_long_for_pillow_is_delivered(gateway: Gateway) -> None:
    picture = base64.b64encode(case("images/ztxt_over_1mb.png")).decode()
    answer = {"images": [{"url": f"data:image/png;base64,{picture}"}]}
    gateway.fal.fault("result", "answer", value={"status": 200, "body": answer})

    done = gateway.generated(gateway.order())

    assert (done.status, gateway.stored(done)) == (JobStatus.COMPLETED, [case("images/ztxt_over_1mb.png")])


def test_storage_that_is_away_delays_a_picture_and_loses_none(gateway: Gateway) -> None:
    collector = gateway.collector_with(StorageAway(gateway.services, failures=2))
    job = gateway.dispatch(gateway.order())
    gateway.tasks()

    first = gateway.collect(job, collector=collector)
    gateway.sweep(gateway.wait(job, 100))
    enqueued = gateway.tasks()
    second = gateway.collect(job, collector=collector)
    third = gateway.collect(job, collector=collector)

    assert (first.requests[0].state, first.requests[0].collect_attempts) == (RequestState.ENDED, 1)
    assert enqueued == [("collect", [job.id, 0])]
    assert (second.status, third.status) == (JobStatus.PROCESSING, JobStatus.COMPLETED)
    assert len(gateway.stored(third)) == 1
    assert len(gateway.posts()) == 1


def test_a_finished_picture_is_fetched_after_the_deadline_too(gateway: Gateway) -> None:
    gateway.fal.fault("file", "error_503")
    job = gateway.collect(gateway.dispatch(gateway.order()))
    assert job.requests[0].state is RequestState.ENDED

    late = gateway.sweep(gateway.wait(job, 10_000))
    done = gateway.collect(late)

    assert (late.status, done.status) == (JobStatus.PROCESSING, JobStatus.COMPLETED)


def test_a_picture_that_stays_away_for_a_day_is_given_up(gateway: Gateway) -> None:
    gateway.fal.fault("file", "error_503", times=None)
    job = gateway.collect(gateway.dispatch(gateway.order()))

    still = gateway.collect(gateway.wait(job, 20 * 3600))
    failed = gateway.collect(gateway.wait(job, 5 * 3600))

    assert still.status is JobStatus.PROCESSING
    assert (failed.status, failed.failure and failed.failure.code) == (JobStatus.FAILED, "result_unavailable")


def test_a_job_that_never_ends_fails_at_its_deadline_and_is_canceled_at_fal(gateway: Gateway) -> None:
    gateway.fal.outcome("never")
    job = gateway.dispatch(gateway.order())

    early = gateway.sweep(gateway.wait(job, 880))
    failed = gateway.sweep(gateway.wait(job, 30))

    assert early.status is JobStatus.PROCESSING
    assert (failed.status, failed.failure and failed.failure.code) == (JobStatus.FAILED, "deadline_exceeded")
    assert (failed.charged_micros, failed.settlement) == (0, Settlement.DONE)
    assert gateway.fal.requests()[0]["cancelRequested"]


def test_what_fal_finished_while_nobody_looked_is_fetched_though_the_deadline_has_passed(gateway: Gateway) -> None:
    job = gateway.dispatch(gateway.order())
    wait_until(lambda: gateway.fal.requests()[0]["state"] == "COMPLETED")

    late = gateway.sweep(gateway.wait(job, 10_000))
    tasks = gateway.tasks()
    done = gateway.collect(late)

    assert (late.status, late.requests[0].state) == (JobStatus.PROCESSING, RequestState.ENDED)
    assert ("collect", [job.id, 0]) in tasks
    assert (done.status, len(gateway.stored(done)), len(gateway.posts())) == (JobStatus.COMPLETED, 1, 1)


def test_while_fal_is_silent_an_overdue_job_is_not_given_up_for_a_day(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.fal.outcome("never")
    job = gateway.dispatch(gateway.order())
    monkeypatch.setattr(gateway.services.cancellation._fal, "cancel", lambda receipt: Stopped.SILENT)

    late = gateway.sweep(gateway.wait(job, 10_000))
    again = gateway.sweep(gateway.wait(late, 3600))
    failed = gateway.sweep(gateway.wait(again, 24 * 3600))

    assert [job.status for job in (late, again, failed)] == [JobStatus.PROCESSING, JobStatus.PROCESSING, JobStatus.FAILED]


def test_a_settlement_that_a_crash_cut_off_is_repeated_without_repeating_anything(gateway: Gateway) -> None:
    done = gateway.generated(gateway.order(num_images=2))
    due = dataclasses.replace(done, settlement=Settlement.DUE, settle_at=clock.now())
    gateway.services.jobs.change(done, lambda _: due)
    before = gateway.usage()

    settled = gateway.sweep(done)

    assert settled.settlement is Settlement.DONE
    assert gateway.usage() == before
    assert len(before) == 1
    assert gateway.services.database["uploads"].count_documents({}) == 2


def test_a_task_that_got_lost_is_enqueued_again_by_one_sweep_only(gateway: Gateway) -> None:
    job = gateway.order()
    gateway.tasks()
    gateway.wait(job, 20)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: gateway.services.recovery.sweep(), range(4)))

    assert gateway.tasks() == [("submit", [job.id])]
