"""To which job a try of a request belongs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from app.domain import repeat
from app.domain.job import Job
from app.domain.repeat import Repeat, Try
from tests.support.factories import NOON, certain, completed_job, make_job

RETRY = Try("f", 1, NOON)


def ago(seconds: float) -> Any:
    return NOON - timedelta(seconds=seconds)


def a_job(job_id: str, *, tries: int = 0, arrived: float = 10, claimed: float = 10, answered: float | None = None) -> Job:
    """Return the job of a request that came, was claimed and was answered so many seconds ago."""
    known = Repeat(
        fingerprint="f",
        made_by=0,
        arrived_at=ago(arrived),
        tries=tries,
        claimed_at=ago(claimed),
        answered_at=None if answered is None else ago(answered),
    )
    return replace(make_job(), id=job_id, repeat=known)


def order_of(*jobs: Job, tried: Try = RETRY) -> list[str]:
    return [job.id for job in repeat.best_first(jobs, tried, NOON)]


def test_the_oldest_that_nobody_was_answered_with_comes_first_then_the_latest_answer_that_may_be_lost() -> None:
    jobs = [a_job("a", answered=30), a_job("b"), a_job("c", answered=20), a_job("d")]

    assert order_of(*jobs) == ["b", "d", "c", "a"]


def test_what_a_try_of_this_number_has_claimed_is_left_to_it_until_it_must_have_died() -> None:
    held, forgotten, free = a_job("a", tries=1, claimed=100), a_job("b", tries=1, arrived=300, claimed=121), a_job("c")

    assert order_of(held, forgotten, free) == ["c", "b"]
    assert order_of(held, tried=Try("f", 2, NOON)) == ["a"]


def test_an_answer_of_more_than_a_minute_ago_was_not_lost() -> None:
    assert order_of(a_job("a", answered=60), a_job("b", answered=61)) == ["a"]


def test_a_request_that_came_later_is_no_earlier_try() -> None:
    assert order_of(a_job("a", arrived=-0.04), a_job("b", arrived=-0.06)) == ["a"]


def test_a_try_that_comes_at_once_with_a_later_one_belongs_to_the_job_of_that_and_its_twin_does_not() -> None:
    late = certain(repeat.claimed(a_job("a", tries=3, arrived=0.01, claimed=0.01), Try("f", 2, NOON), NOON))

    assert order_of(late, tried=Try("f", 1, NOON)) == ["a"]
    assert order_of(late, tried=Try("f", 2, NOON)) == []
    assert order_of(a_job("b", tries=3, arrived=0.1, claimed=0.1), tried=Try("f", 2, NOON)) == []


def test_of_two_tries_of_one_number_one_claims() -> None:
    first = certain(repeat.claimed(a_job("a"), RETRY, NOON))

    assert first.repeat is not None
    assert (first.repeat.tries, first.repeat.claimed_at) == (1, NOON)
    assert repeat.claimed(first, RETRY, NOON) is None


def test_only_an_end_is_an_answer_and_the_first_counts() -> None:
    known = a_job("a").repeat
    ended = certain(repeat.answered(replace(completed_job(), repeat=known), NOON))

    assert ended.repeat is not None
    assert ended.repeat.answered_at == NOON
    assert repeat.answered(ended, NOON) is None
    assert repeat.answered(a_job("a"), NOON) is None
    assert repeat.answered(completed_job(), NOON) is None
