from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.fal_request import CLOSED_STATES, Failure, RequestState
from app.domain.job import CANCELING, TERMINAL, TRANSITIONS, Job, JobStatus, Settlement
from tests.support.factories import (
    NOON,
    STOPPED,
    UNIT_MICROS,
    after,
    certain,
    completed_job,
    make_facts,
    make_image,
    make_job,
    make_receipt,
    submitted_job,
    with_request,
)

OOPS = Failure("generation_failed", "fal.ai: no")
LATE = Failure("deadline_exceeded", "too late")
ENDED = replace(completed_job(), settlement=Settlement.DONE)


def in_state(state: RequestState) -> Job:
    return with_request(make_job(), 0, state=state)


def test_a_new_job_waits_with_its_first_history_entry() -> None:
    job = make_job(requests=(4, 4, 2))

    assert (job.status, job.progress, job.num_images, job.seq) == (JobStatus.PENDING, 0, 10, 1)
    assert [request.state for request in job.requests] == [RequestState.NEW] * 3
    assert [job.first_image_number(index) for index in range(3)] == [0, 4, 8]


@pytest.mark.parametrize("status", JobStatus)
@pytest.mark.parametrize("to", JobStatus)
def test_only_the_listed_transitions_are_legal(status: JobStatus, to: JobStatus) -> None:
    job = replace(make_job(), status=status)
    legal = {
        JobStatus.PENDING: {JobStatus.PROCESSING, JobStatus.FAILED, JobStatus.CANCELED},
        JobStatus.PROCESSING: {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED},
    }.get(status, set())

    if to is status or to in legal:
        assert job._noted(to, 1, "x", NOON).status is to
    else:
        with pytest.raises(ValueError, match="not a legal transition"):
            job._noted(to, 1, "x", NOON)


def test_nothing_leaves_a_terminal_status() -> None:
    assert all(TRANSITIONS[status] == frozenset() and status.is_terminal for status in TERMINAL)
    assert {status for status in JobStatus if not status.is_terminal} == {JobStatus.PENDING, JobStatus.PROCESSING}


def test_an_ended_job_refuses_every_change() -> None:
    job, now = ENDED, after(60)

    assert job.submitting(0, now=now) is None
    assert job.put_back(0, retry_at=now, counts=True, now=now) is None
    assert job.outcome_unknown(0, now=now) is None
    assert job.submitted(0, make_receipt("other"), now=now) is None
    assert job.progressed(99, "later", now=now) is None
    assert job.collection_postponed(0, retry_at=now, now=now) is None
    assert job.claimed(0, until=now, now=now) is None
    assert job.collected(0, [make_image()], make_facts(), now=now) is None
    assert job.request_failed(0, OOPS, now=now) is None
    assert job.unknown_expired(0, OOPS, now=now) is None
    assert job.deadline_passed(LATE, now=after(10_000)) is None
    assert job.given_up(OOPS, now=now) is None
    assert job.cancel_requested(now=now) is None
    assert job.cancel_claimed(until=now, now=now) is None
    assert job.cancel_heard(0, now=now) is None
    assert job.settled(now=now) is None


@pytest.mark.parametrize("state", RequestState)
def test_each_change_leaves_only_the_states_it_names(state: RequestState) -> None:
    job, now = in_state(state), after(1)
    open_states = set(RequestState) - CLOSED_STATES

    assert (job.submitting(0, now=now) is not None) == (state is RequestState.NEW)
    assert (job.put_back(0, retry_at=now, counts=True, now=now) is not None) == (state is RequestState.SUBMITTING)
    assert (job.outcome_unknown(0, now=now) is not None) == (state is RequestState.SUBMITTING)
    bought = state in (RequestState.SUBMITTED, RequestState.ENDED)
    assert (job.collection_postponed(0, retry_at=now, now=now) is not None) == bought
    assert (replace(job, status=JobStatus.PROCESSING).collected(0, [make_image()], make_facts(), now=now) is not None) == bought
    assert (job.request_failed(0, OOPS, now=now) is not None) == (state in open_states)
    assert (job.claimed(0, until=now, now=now) is not None) == (state in open_states)
    assert (job.unknown_expired(0, OOPS, now=now) is not None) == (state is RequestState.UNKNOWN)


def test_a_second_claim_of_the_same_post_loses() -> None:
    winner = certain(make_job().submitting(0, now=after(1)))

    assert winner.requests[0].attempts == 1
    assert winner.submitting(0, now=after(1)) is None


def test_a_refused_submit_counts_unless_the_provider_as_a_whole_is_down() -> None:
    posting = certain(make_job().submitting(0, now=after(1)))

    refused = certain(posting.put_back(0, retry_at=after(9), counts=True, now=after(2)))
    locked = certain(posting.put_back(0, retry_at=after(9), counts=False, now=after(2)))

    assert (refused.requests[0].attempts, locked.requests[0].attempts) == (1, 0)
    assert refused.requests[0].not_before == refused.attention_at == after(9)


def test_the_first_receipt_starts_the_job_and_a_later_one_only_joins_it() -> None:
    job = make_job(requests=(1, 1))
    first = certain(certain(job.submitting(0, now=after(1))).submitted(0, make_receipt("a"), now=after(2)))

    second = certain(certain(first.submitting(1, now=after(3))).submitted(1, make_receipt("b"), now=after(4)))

    assert (first.status, first.seq, second.seq) == (JobStatus.PROCESSING, 2, 2)
    assert [r.receipt.request_id for r in second.requests if r.receipt] == ["a", "b"]


def test_the_first_receipt_of_a_request_is_never_replaced() -> None:
    assert submitted_job().submitted(0, make_receipt("another"), now=after(3)) is None


def test_an_unknown_submit_is_taken_up_when_its_receipt_turns_up() -> None:
    unknown = certain(certain(make_job().submitting(0, now=after(1))).outcome_unknown(0, now=after(2)))

    found = certain(unknown.submitted(0, make_receipt(), now=after(50)))

    assert unknown.requests[0].next_at == after(2 + 120)
    assert (found.requests[0].state, found.status) == (RequestState.SUBMITTED, JobStatus.PROCESSING)


def test_a_receipt_that_comes_after_the_end_is_kept_and_changes_nothing_else() -> None:
    posting = certain(make_job().submitting(0, now=after(1)))
    ended = certain(posting.deadline_passed(LATE, now=after(900)))

    kept = certain(ended.submitted(0, make_receipt(), now=after(901)))

    assert kept.requests[0].receipt == make_receipt()
    assert (kept.status, kept.seq, kept.requests[0].state) == (JobStatus.FAILED, ended.seq, RequestState.FAILED)


@pytest.mark.parametrize(
    ("progress", "message", "written"),
    [(25, "Generating", True), (24, "Generating", False), (20, "Waiting", True), (3, "Waiting", True), (3, "Generating", False)],
)
def test_progress_is_written_when_it_says_something_new(progress: int, message: str, written: bool) -> None:
    job = certain(submitted_job().progressed(20, "Generating", now=after(3)))

    assert (job.progressed(progress, message, now=after(4)) is not None) == written


def test_progress_never_falls_and_only_the_end_is_100() -> None:
    job = certain(submitted_job().progressed(60, "Generating", now=after(3)))

    lower = certain(job.progressed(10, "Waiting", now=after(4), queue_position=3))
    higher = certain(lower.progressed(500, "Generating", now=after(5)))
    ended = certain(higher.collected(0, [make_image()], make_facts(), now=after(6)))

    assert [entry.progress for entry in ended.history] == [0, 5, 60, 60, 99, 100]
    assert [entry.seq for entry in ended.history] == [1, 2, 3, 4, 5, 6]
    assert lower.history[-1].queue_position == 3


def test_the_history_of_a_job_is_only_ever_added_to() -> None:
    steps = [make_job(), submitted_job(), completed_job()]

    assert [[entry.status.value for entry in job.history] for job in steps] == [
        ["pending"],
        ["pending", "processing"],
        ["pending", "processing", "completed"],
    ]
    assert all(entry.seq == number for job in steps for number, entry in enumerate(job.history, start=1))


def test_the_last_open_request_ends_the_job() -> None:
    job = submitted_job(requests=(4, 2))

    half = certain(job.collected(1, [make_image(5), make_image(4)], make_facts("2", "1"), now=after(5)))
    whole = certain(half.collected(0, [make_image(n) for n in range(4)], make_facts("4", "2"), now=after(6)))

    assert (half.status, half.settlement, half.completed_at) == (JobStatus.PROCESSING, Settlement.NONE, None)
    assert (whole.status, whole.settlement, whole.completed_at) == (JobStatus.COMPLETED, Settlement.DUE, after(6))
    assert [image.number for image in whole.images] == [0, 1, 2, 3, 4, 5]
    assert whole.charged_micros == 6 * 25_000


def test_a_partial_delivery_completes_and_charges_what_came() -> None:
    job = submitted_job(requests=(4,), tokens_per_image=2)

    done = certain(job.collected(0, [make_image(n) for n in range(3)], make_facts("3", None), now=after(5)))

    assert (done.status, done.message) == (JobStatus.COMPLETED, "3 of 4 images were delivered")
    assert (done.charged_micros, done.tokens_held, done.tokens_used) == (75_000, 8, 6)


def test_a_failed_request_beside_a_delivered_one_leaves_a_completed_job() -> None:
    job = certain(submitted_job(requests=(4, 2)).request_failed(0, OOPS, now=after(4)))

    done = certain(job.collected(1, [make_image(4), make_image(5)], make_facts(), now=after(5)))

    assert (done.status, done.failure, done.charged_micros) == (JobStatus.COMPLETED, None, 50_000)


def test_a_failed_job_costs_nothing_and_says_why() -> None:
    job = certain(submitted_job(requests=(4,), tokens_per_image=3).request_failed(0, OOPS, now=after(4)))

    assert (job.status, job.failure, job.message) == (JobStatus.FAILED, OOPS, OOPS.message)
    assert (job.charged_micros, job.tokens_used, job.settlement) == (0, 0, Settlement.DUE)


def test_a_job_without_any_picture_fails() -> None:
    job = certain(submitted_job().collected(0, [], make_facts(), now=after(4)))

    assert (job.status, job.failure and job.failure.code) == (JobStatus.FAILED, "no_images")


def test_the_deadline_does_nothing_before_its_time() -> None:
    assert submitted_job().deadline_passed(LATE, now=after(899)) is None


def test_the_deadline_fails_what_fal_has_not_finished() -> None:
    job = certain(submitted_job(requests=(1, 1)).deadline_passed(LATE, now=after(900)))

    assert (job.status, job.failure) == (JobStatus.FAILED, LATE)
    assert [request.state for request in job.requests] == [RequestState.FAILED] * 2


def test_the_deadline_spares_requests_that_fal_has_finished() -> None:
    ended = certain(submitted_job(requests=(1, 1)).collection_postponed(0, retry_at=after(1000), now=after(10)))

    job = certain(ended.deadline_passed(LATE, now=after(900)))
    done = certain(job.collected(0, [make_image()], make_facts(), now=after(1000)))

    assert (job.status, job.requests[0].state, job.requests[1].state) == (JobStatus.PROCESSING, RequestState.ENDED, RequestState.FAILED)
    assert (done.status, len(done.images)) == (JobStatus.COMPLETED, 1)
    assert job.deadline_passed(LATE, now=after(2000)) is None


# -- a wish to cancel ---------------------------------------------------------------------------------------------------------------------


def test_a_job_can_be_canceled_before_anything_is_sent() -> None:
    canceled = certain(make_job(requests=(4, 1), tokens_per_image=2).cancel_requested(now=after(1)))

    assert (canceled.status, canceled.message, canceled.settlement) == (JobStatus.CANCELED, "Canceled", Settlement.DUE)
    assert (canceled.abandoned_receipts, canceled.seq, canceled.charged_micros, canceled.tokens_used) == ([], 2, 0, 0)


def test_a_wish_to_cancel_ends_nothing_that_fal_has() -> None:
    job = with_request(submitted_job(requests=(1, 1)), 1, state=RequestState.NEW, receipt=None)

    wished = certain(job.cancel_requested(now=after(5)))

    assert (wished.status, wished.message, wished.settlement) == (JobStatus.PROCESSING, CANCELING, Settlement.NONE)
    assert [request.state for request in wished.requests] == [RequestState.SUBMITTED, RequestState.CANCELED]
    assert ([request.index for request in wished.to_cancel], wished.attention_at) == ([0], after(5 + wished.timeouts.task_s))
    assert wished.cancel_requested(now=after(6)) is None


@pytest.mark.parametrize(
    ("code", "is_heard", "status"),
    [
        ("client_cancelled", False, JobStatus.CANCELED),
        ("client_cancelled", True, JobStatus.CANCELED),
        ("result_gone", True, JobStatus.CANCELED),
        ("result_gone", False, JobStatus.FAILED),
        ("content_policy_violation", True, JobStatus.FAILED),
        ("deadline_exceeded", True, JobStatus.FAILED),
    ],
)
def test_what_fal_makes_of_a_wish_is_how_the_job_ends(code: str, is_heard: bool, status: JobStatus) -> None:
    wished = certain(submitted_job().cancel_requested(now=after(2)))
    wished = certain(wished.cancel_heard(0, now=after(3))) if is_heard else wished

    ended = certain(wished.request_failed(0, Failure(code, "no"), now=after(4)))

    assert (ended.status, ended.charged_micros, ended.settlement) == (status, 0, Settlement.DUE)


def test_nobodys_wish_is_no_cancellation() -> None:
    assert certain(submitted_job().request_failed(0, STOPPED, now=after(4))).status is JobStatus.FAILED


def test_what_was_delivered_in_spite_of_a_wish_is_charged_and_only_that() -> None:
    wished = certain(submitted_job(requests=(2, 1), tokens_per_image=2).cancel_requested(now=after(2)))

    half = certain(wished.collected(0, [make_image(0), make_image(1)], make_facts(), now=after(3)))
    ended = certain(half.request_failed(1, STOPPED, now=after(4)))

    assert (half.is_terminal, ended.status, ended.message) == (False, JobStatus.COMPLETED, "2 of 3 images were delivered")
    assert (ended.charged_micros, ended.tokens_used, ended.failure) == (2 * UNIT_MICROS, 4, None)


def test_a_submit_on_its_way_is_told_of_as_soon_as_its_answer_is_here() -> None:
    wished = certain(certain(make_job().submitting(0, now=after(1))).cancel_requested(now=after(2)))

    sent = certain(wished.submitted(0, make_receipt(), now=after(3)))

    assert (wished.status, wished.to_cancel) == (JobStatus.PENDING, [])
    assert (sent.status, sent.message, sent.attention_at) == (JobStatus.PROCESSING, CANCELING, after(3))
    assert [request.index for request in sent.to_cancel] == [0]


def test_a_submit_on_its_way_that_fal_did_not_take_is_canceled() -> None:
    wished = certain(certain(make_job().submitting(0, now=after(1))).cancel_requested(now=after(2)))

    ended = certain(wished.put_back(0, retry_at=after(9), counts=True, now=after(3)))

    assert (ended.status, ended.requests[0].state, ended.charged_micros) == (JobStatus.CANCELED, RequestState.CANCELED, 0)


def test_a_wish_is_told_to_fal_again_until_it_has_heard_of_it() -> None:
    wished = certain(submitted_job(requests=(1, 1)).cancel_requested(now=after(2)))

    again = certain(wished.cancel_claimed(until=after(60), now=after(30)))
    half = certain(again.cancel_heard(0, now=after(31)))
    heard = certain(half.cancel_heard(1, now=after(32)))

    assert (wished.cancel_claimed(until=after(60), now=after(3)), again.attention_at) == (None, after(60))
    assert [request.index for request in half.to_cancel] == [1]
    assert (heard.to_cancel, heard.attention_at, heard.cancel_claimed(until=after(99), now=after(70))) == ([], heard.deadline_at, None)


def test_progress_of_a_job_being_canceled_goes_on_saying_so() -> None:
    wished = certain(submitted_job().cancel_requested(now=after(2)))

    told = certain(wished.progressed(50, "Generating", now=after(3)))

    assert (told.message, told.progress, told.progressed(51, "Generating", now=after(4))) == (CANCELING, 50, None)


def test_a_request_given_up_at_the_deadline_is_abandoned_at_fal() -> None:
    late = certain(submitted_job().deadline_passed(LATE, now=after(900)))

    assert [receipt.request_id for receipt in late.abandoned_receipts] == ["req-0"]
    assert completed_job().abandoned_receipts == []


def test_a_postponed_collection_remembers_when_fal_had_finished() -> None:
    once = certain(submitted_job().collection_postponed(0, retry_at=after(12), now=after(10)))

    twice = certain(once.collection_postponed(0, retry_at=after(16), now=after(12)))

    assert (twice.requests[0].ended_at, twice.requests[0].collect_attempts) == (after(10), 2)
