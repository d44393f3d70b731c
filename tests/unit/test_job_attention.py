"""When the sweep must look at a job if nothing has happened to it by then."""

from __future__ import annotations

from app.domain.fal_request import RequestState
from app.domain.job import Settlement, SweepTimeouts
from tests.support.factories import (
    after,
    certain,
    completed_job,
    make_job,
    submitted_job,
    with_request,
)


def test_attention_comes_when_the_task_counts_as_lost() -> None:
    assert make_job(timeouts=SweepTimeouts(task_s=15)).attention_at == after(15)


def test_attention_comes_at_the_earliest_of_all_open_requests() -> None:
    job = with_request(make_job(requests=(1, 1, 1)), 1, next_at=after(7))
    closed = with_request(job, 1, state=RequestState.FAILED)

    assert (job.attention_at, closed.attention_at) == (after(7), after(15))


def test_a_request_that_the_watcher_polls_wants_attention_at_the_deadline() -> None:
    assert submitted_job().attention_at == after(900)


def test_a_finished_request_wants_attention_however_late_it_is() -> None:
    job = certain(submitted_job().collection_postponed(0, retry_at=after(5000), now=after(10)))

    assert job.attention_at == after(5000)


def test_an_open_job_always_wants_attention_some_time() -> None:
    job = with_request(submitted_job(), 0, state=RequestState.ENDED, next_at=None)

    assert job.attention_at == after(1 + 15)


def test_an_ended_job_wants_attention_until_it_is_settled() -> None:
    job = completed_job(timeouts=SweepTimeouts(settle_s=10))

    settled = certain(job.settled(now=after(6)))

    assert job.attention_at == after(5 + 10)
    assert (settled.attention_at, settled.settlement, settled.seq) == (None, Settlement.DONE, job.seq)
