"""When a job's time is up, when it may go, and what its tombstone keeps."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from app.domain.costs import ActualCost, CostSource
from app.domain.fal_request import RequestState
from app.domain.job import Job, JobStatus, Settlement
from app.domain.tombstone import Reason, is_past, may_be_deleted, tombstone_of, uploads_in
from tests.support.factories import NOON, after, canceled_job, certain, completed_job, make_image, make_job, submitted_job, with_request

ENDED_AT = after(5)


def settled(job: Job) -> Job:
    return certain(job.settled(now=after(6)))


@pytest.mark.parametrize(
    ("settings", "order", "days", "past"),
    [
        (0, None, 9999, False),
        (30, None, 30, True),
        (30, None, 29.999, False),
        (0, 3, 3, True),
        (0, 3, 2.999, False),
        (30, 3, 3, True),
        (3, 30, 3, True),
        (3, 30, 2.999, False),
    ],
)
def test_a_jobs_time_is_up_so_many_days_after_its_end_whichever_number_is_smaller(
    settings: int, order: int | None, days: float, past: bool
) -> None:
    job = settled(completed_job(retain_days=order))

    assert is_past(job, retention_days=settings, now=ENDED_AT + timedelta(days=days)) is past


def test_a_job_that_has_not_ended_has_no_time_that_could_be_up() -> None:
    assert not is_past(submitted_job(retain_days=1), retention_days=1, now=NOON + timedelta(days=9999))


def test_only_a_job_with_which_nothing_is_to_happen_any_more_may_go() -> None:
    unknown = with_request(settled(completed_job()), 0, state=RequestState.UNKNOWN)

    assert not any(may_be_deleted(job) for job in (make_job(), submitted_job(), completed_job(), canceled_job(), unknown))
    assert all(may_be_deleted(settled(job)) for job in (completed_job(), canceled_job()))


def test_an_order_has_its_own_end_only_once_it_is_settled() -> None:
    job = completed_job(retain_days=2)

    assert (job.retain_until, settled(job).retain_until) == (None, ENDED_AT + timedelta(days=2))
    assert settled(completed_job()).retain_until is None


def test_a_tombstone_keeps_what_was_paid_and_what_is_to_be_removed_and_no_words() -> None:
    arguments = {"prompt": "a secret prompt", "image_urls": ["upload:u-1", "https://example.com/x.png", "upload:u-1"], "face": "upload:u-2"}
    pointers = ("/image_urls/0", "/image_urls/1", "/image_urls/2", "/face")
    job = completed_job(requests=(2,), arguments=arguments, image_pointers=pointers, batch_id="b-1")
    one = make_image(1, upload_id="i-1")
    job = dataclasses.replace(settled(job), images=(one,), actual=ActualCost(71_000, CostSource.INVOICE), charged_micros=25_000)

    stone = tombstone_of(job, Reason.RETENTION, now=after(9), attention_at=after(69))

    assert (stone.user_id, stone.batch_id, stone.status, stone.charged_micros) == ("user-1", "b-1", JobStatus.COMPLETED, 25_000)
    assert (stone.actual_micros, stone.cost_source, stone.completed_at) == (71_000, CostSource.INVOICE, ENDED_AT)
    assert (stone.image_ids, stone.upload_ids, stone.fal_request_ids) == (("i-1",), ("u-1", "u-2"), ("req-0",))
    assert stone.kept_files == (f"unreadable/2026-10-01/{job.id}_0.bin",), "in the place of the picture that is missing"
    assert "secret" not in repr(stone)


def test_a_job_that_fal_never_had_left_no_files_of_fals() -> None:
    job = certain(make_job().cancel_requested(now=after(1)))

    assert tombstone_of(job, Reason.ASKED, now=NOON, attention_at=NOON).kept_files == ()


def test_only_inputs_that_are_pictures_name_uploads() -> None:
    assert list(uploads_in(make_job(arguments={"prompt": "upload:of-words"}))) == []


def test_every_reason_has_its_words() -> None:
    told = {reason: tombstone_of(make_job(), reason, now=NOON, attention_at=NOON).told for reason in Reason}

    assert told[Reason.ASKED] == told[Reason.USER_DATA] == "This job was deleted"
    assert "for as long as was agreed" in told[Reason.RETENTION]
    assert Settlement.NONE is make_job().settlement
