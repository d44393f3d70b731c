"""The box that finds jobs: what is typed, and which jobs need somebody's attention."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from app.domain.errors import InvalidRequest
from app.domain.fal_request import RequestState
from app.domain.job import Job, JobStatus, Settlement
from app.domain.job_filter import JobFilter
from app.domain.job_search import MAX_TERMS, JobSearch, parsed
from app.domain.trouble import Trouble, trouble_of
from tests.support.factories import NOON, completed_job, make_job


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("red bicycle", JobSearch(words=("red", "bicycle"))),
        ('"red bicycle" red red', JobSearch(words=("red bicycle", "red"))),
        ("user:ada@example.com model:flux-pro", JobSearch({"user": "ada@example.com", "model": "flux-pro"})),
        ('USER:"two words" Status:FAILED', JobSearch({"user": "two words"}, (JobStatus.FAILED,))),
        ("status:failed status:canceled status:failed", JobSearch(statuses=(JobStatus.FAILED, JobStatus.CANCELED))),
        ("a poster 16:9 https://example.com note:this", JobSearch(words=("a", "poster", "16:9", "https://example.com", "note:this"))),
        (
            "fal:req-1 code:content_policy_violation key:k batch:b",
            JobSearch({"fal": "req-1", "code": "content_policy_violation", "key": "k", "batch": "b"}),
        ),
        ("   ", JobSearch()),
        ("$where:1 {$ne:1}", JobSearch(words=("$where:1", "{$ne:1}"))),
    ],
)
def test_what_is_typed_is_taken_apart_into_names_and_words(text: str, found: JobSearch) -> None:
    assert parsed(text) == found


@pytest.mark.parametrize("text", ["status:broken", "user:", 'user:""', "user:a user:b", " ".join(map(str, range(MAX_TERMS + 1)))])
def test_a_search_that_cannot_be_meant_is_refused_at_its_field(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(text)

    assert refused.value.errors[0].pointer == "/q"


def with_request(job: Job, **change: Any) -> Job:
    return dataclasses.replace(job, requests=(dataclasses.replace(job.requests[0], **change), *job.requests[1:]))


LATE = NOON + timedelta(minutes=5)
FRESH = make_job(now=NOON)
TROUBLES: list[tuple[Job, Any]] = [
    (FRESH, Trouble.UNATTENDED),
    (with_request(FRESH, next_at=LATE), None),
    (with_request(FRESH, state=RequestState.UNKNOWN, next_at=LATE), Trouble.UNKNOWN_OUTCOME),
    (with_request(FRESH, state=RequestState.ENDED, next_at=LATE, bad_tries=1), Trouble.UNCOLLECTED),
    (with_request(FRESH, state=RequestState.ENDED, next_at=LATE, collect_attempts=3), Trouble.UNCOLLECTED),
    (with_request(FRESH, state=RequestState.ENDED, next_at=LATE, collect_attempts=2), None),
    (dataclasses.replace(with_request(FRESH, next_at=LATE), deadline_at=NOON), Trouble.OVERDUE),
    (dataclasses.replace(with_request(FRESH, next_at=LATE), cancel_requested_at=NOON - timedelta(hours=1)), Trouble.CANCEL_UNANSWERED),
    (dataclasses.replace(completed_job(), settlement=Settlement.DUE, settle_at=NOON), Trouble.UNSETTLED),
    (dataclasses.replace(completed_job(), settlement=Settlement.DUE, settle_at=LATE), None),
    (dataclasses.replace(completed_job(), settlement=Settlement.DONE, settle_at=None), None),
]


@pytest.mark.parametrize(("job", "trouble"), TROUBLES)
def test_a_job_that_does_not_go_on_by_itself_needs_attention_and_says_why(job: Job, trouble: Trouble | None) -> None:
    assert trouble_of(job, LATE) is trouble
    assert JobFilter(troubled_at=LATE).accepts(job) is (trouble is not None)


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (JobFilter(words=("RED", "bicycle")), True),
        (JobFilter(words=("red", "car")), False),
        (JobFilter(key_ids=("other", "k")), True),
        (JobFilter(key_ids=("other",)), False),
        (JobFilter(code="content_policy_violation"), False),
        (JobFilter(min_micros=1), True),
        (JobFilter(min_micros=10_000_000), False),
        (JobFilter(job_id=completed_job().id), False),
        (JobFilter(job_id="none"), False),
    ],
)
def test_a_filter_accepts_what_a_search_names(wanted: JobFilter, passes: bool) -> None:
    job = dataclasses.replace(completed_job(), inputs={"prompt": "a red bicycle"}, caller_key="k", charged_micros=50_000)

    assert wanted.accepts(job) is passes


def test_pages_of_one_search_share_their_cursors_whenever_they_are_asked_for() -> None:
    assert JobFilter(troubled_at=NOON).digest == JobFilter(troubled_at=LATE).digest != JobFilter().digest
