"""A wish to cancel, on real stores: written down before fal is asked, and ended by what fal makes of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.domain.batch import BatchView
from app.domain.errors import AlreadyFinished
from app.domain.job import CANCELING, Job, JobStatus, Settlement
from app.domain.ledger import Balance
from tests.support.fal_calls import wait_until
from tests.support.gateway import Gateway
from tests.support.shop import UNIT_MICROS, Crash, Shop

TOKENS = 100


@pytest.fixture
def shop(gateway: Gateway) -> Shop:
    shop = Shop(gateway)
    shop.budget("1.00")
    return shop


@pytest.fixture
def running(shop: Shop) -> Job:
    """Return a job that costs Ada 100 tokens and draws on her budget; fal is working on it, and never ends by itself."""
    shop.gateway.fal.outcome("never")
    return at_fal(shop, shop.single())


def at_fal(shop: Shop, job: Job) -> Job:
    sent = shop.gateway.dispatch(job)
    shop.gateway.tasks()
    wait_until(lambda: shop.gateway.fal.requests()[-1]["state"] != "IN_QUEUE")
    return sent


def canceled(shop: Shop, job: Job) -> Job:
    return shop.services.job_actions.cancel(job.id, user_id=shop.ada)


def work(shop: Shop, job: Job) -> Job:
    """Do what workers do with the tasks that wait."""
    for name, arguments in shop.gateway.tasks():
        run: dict[str, Callable[..., Any]] = {
            "cancel": shop.services.cancellation.ask_fal,
            "settle": shop.services.recovery.settle,
            "collect": lambda job_id, index, *_: shop.services.collector.collect(job_id, index),
        }
        run[name](*arguments)
    return shop.gateway.job(job.id)


HELD = (Balance(900, TOKENS), 0, UNIT_MICROS)
FREE = (Balance(1000, 0), 0, 0)
PAID = (Balance(900, 0), UNIT_MICROS, 0)


# -- one job ----------------------------------------------------------------------------------------------------------------------------


def test_what_was_not_sent_is_canceled_and_free_at_once(shop: Shop) -> None:
    job = shop.single()
    shop.gateway.tasks()

    ended = canceled(shop, job)
    settled = work(shop, job)

    assert (ended.status, settled.settlement, shop.gateway.fal.requests(), shop.funds()) == (JobStatus.CANCELED, Settlement.DONE, [], FREE)
    assert shop.gateway.dispatch(job).status is JobStatus.CANCELED
    assert shop.gateway.fal.requests() == []
    with pytest.raises(AlreadyFinished):
        canceled(shop, job)


def test_what_fal_stops_is_canceled_and_free_and_held_until_then(shop: Shop, running: Job) -> None:
    shop.gateway.fal.fault("cancel", "stop")

    wished = canceled(shop, running)
    asked = work(shop, running)
    held = shop.funds()
    ended = shop.gateway.collect(asked)

    assert (wished.status, wished.message, asked.status, held) == (JobStatus.PROCESSING, CANCELING, JobStatus.PROCESSING, HELD)
    assert (ended.status, ended.charged_micros, ended.settlement, shop.funds()) == (JobStatus.CANCELED, 0, Settlement.DONE, FREE)
    assert [entry.message for entry in ended.history][-2:] == [CANCELING, "Canceled"]
    assert not shop.gateway.folder_of(ended).exists()


def test_what_waits_in_fals_queue_is_canceled_and_free(shop: Shop) -> None:
    job = shop.gateway.dispatch(shop.single(prompt="a bicycle [emulator: queue=600]"))
    shop.gateway.tasks()

    canceled(shop, job)
    ended = shop.gateway.collect(work(shop, job))

    assert (ended.status, shop.funds()) == (JobStatus.CANCELED, FREE)


def test_what_fal_finishes_all_the_same_is_delivered_and_charged(shop: Shop) -> None:
    job = at_fal(shop, shop.single(prompt="a bicycle [emulator: seconds=0.3]"))

    wished = canceled(shop, job)
    ended = shop.gateway.collect(work(shop, job))

    assert (wished.status, ended.status, len(ended.images), ended.charged_micros) == (
        JobStatus.PROCESSING,
        JobStatus.COMPLETED,
        1,
        UNIT_MICROS,
    )
    assert shop.gateway.stored(ended)
    assert shop.funds() == PAID
    with pytest.raises(AlreadyFinished):
        canceled(shop, job)


def test_what_fal_had_finished_before_it_was_asked_is_collected_and_charged(shop: Shop) -> None:
    job = at_fal(shop, shop.single())
    wait_until(lambda: shop.gateway.fal.requests()[-1]["state"] == "COMPLETED")

    canceled(shop, job)
    asked = work(shop, job)
    tasks = shop.gateway.tasks()
    ended = shop.gateway.collect(asked)

    assert tasks == [("collect", [job.id, 0])]
    assert (ended.status, shop.funds()) == (JobStatus.COMPLETED, PAID)


@pytest.mark.parametrize("silence", ["drop", "error_503", "html", "bad_key_401"])
def test_while_fal_does_not_answer_it_is_asked_again_and_the_hold_stays(shop: Shop, running: Job, silence: str) -> None:
    shop.gateway.fal.fault("cancel", silence, times=2)
    shop.gateway.fal.fault("cancel", "stop")
    canceled(shop, running)
    between = []

    for _ in range(3):
        between.append((work(shop, running).status, shop.funds()))
        shop.gateway.wait(running, 40)
        shop.services.recovery.sweep()
    ended = shop.gateway.collect(running)

    assert between == [(JobStatus.PROCESSING, HELD)] * 3
    assert shop.gateway.fal.stats()["cancels"] == 3
    assert (ended.status, shop.funds()) == (JobStatus.CANCELED, FREE)


def test_a_wish_that_fal_does_not_answer_ends_at_the_deadline_as_any_job(shop: Shop, running: Job) -> None:
    shop.gateway.fal.fault("cancel", "drop", times=1)
    canceled(shop, running)
    work(shop, running)

    shop.gateway.wait(running, 2000)
    ended = shop.gateway.sweep(running)

    assert (ended.status, ended.failure and ended.failure.code, shop.funds()) == (JobStatus.FAILED, "deadline_exceeded", FREE)


def test_a_request_that_fal_no_longer_knows_after_it_was_told_was_canceled(shop: Shop, running: Job) -> None:
    shop.gateway.fal.fault("cancel", "not_found")
    shop.gateway.fal.fault("result", "not_found", times=None)
    canceled(shop, running)
    asked = work(shop, running)

    shop.services.collector.collect(running.id, 0)
    ended = shop.gateway.job(running.id)

    assert (asked.status, ended.status, shop.funds()) == (JobStatus.PROCESSING, JobStatus.CANCELED, FREE)


def test_of_a_job_of_several_requests_what_came_is_charged_and_nothing_else(shop: Shop) -> None:
    shop.gateway.fal.outcome("never")
    job = at_fal(shop, shop.single(num_images=6))
    shop.gateway.fal.fault("cancel", "stop")

    canceled(shop, job)
    work(shop, job)
    ended = shop.gateway.collect(job)

    assert (ended.status, ended.message, ended.charged_micros) == (
        JobStatus.COMPLETED,
        "2 of 6 images were delivered",
        2 * UNIT_MICROS,
    )
    assert shop.funds() == (Balance(800, 0), 2 * UNIT_MICROS, 0)


def test_repeated_and_simultaneous_wishes_are_one(shop: Shop, running: Job) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: canceled(shop, running), range(16)))

    job = shop.gateway.job(running.id)
    assert {answer.status for answer in answers} == {JobStatus.PROCESSING}
    assert [entry.message for entry in job.history].count(CANCELING) == 1
    assert [name for name, _ in shop.gateway.tasks()] == ["cancel"]


def test_a_wish_and_a_collection_that_race_leave_a_picture_that_is_paid_for(shop: Shop) -> None:
    for _ in range(5):
        job = at_fal(shop, shop.single())
        wait_until(lambda: shop.gateway.fal.requests()[-1]["state"] == "COMPLETED")

        with ThreadPoolExecutor(2) as threads:
            racers = [threads.submit(shop.services.collector.collect, job.id, 0), threads.submit(quietly, shop, job)]
        for racer in racers:
            racer.result()
        work(shop, job)
        ended = shop.gateway.collect(job)

        assert (ended.status, len(ended.images), len(list(shop.gateway.folder_of(ended).glob("*")))) == (JobStatus.COMPLETED, 1, 1)


# -- a process dies ---------------------------------------------------------------------------------------------------------------------


def test_a_wish_whose_task_was_lost_is_told_to_fal_by_the_sweep(shop: Shop, running: Job) -> None:
    shop.gateway.fal.fault("cancel", "stop")
    canceled(shop, running)
    shop.gateway.tasks()

    shop.gateway.wait(running, 20)
    shop.services.recovery.sweep()
    ended = shop.gateway.collect(work(shop, running))

    assert (ended.status, shop.funds()) == (JobStatus.CANCELED, FREE)


@pytest.mark.parametrize("after", [False, True])
def test_a_worker_that_dies_while_it_asks_fal_is_followed_by_another(shop: Shop, running: Job, after: bool) -> None:
    shop.gateway.fal.fault("cancel", "stop")
    canceled(shop, running)
    crashing = copy.copy(shop.services.cancellation)
    fal = copy.copy(crashing._fal)

    def dies(receipt: Any) -> Any:
        if after:
            crashing_fal.cancel(receipt)
        raise Crash

    crashing_fal = crashing._fal
    fal.cancel = dies  # type: ignore[method-assign]
    crashing._fal = fal
    with pytest.raises(Crash):
        crashing.ask_fal(running.id)

    shop.gateway.tasks()
    shop.gateway.wait(running, 20)
    shop.services.recovery.sweep()
    ended = shop.gateway.collect(work(shop, running))

    assert (ended.status, shop.funds()) == (JobStatus.CANCELED, FREE)


def test_a_submit_on_its_way_is_canceled_once_its_answer_is_here(shop: Shop) -> None:
    shop.gateway.fal.fault("submit", "slow", seconds=0.5)
    shop.gateway.fal.outcome("never")
    shop.gateway.fal.fault("cancel", "stop")
    job = shop.single()
    shop.gateway.tasks()

    with ThreadPoolExecutor(1) as pool:
        posting = pool.submit(shop.services.dispatcher.post, job.id)
        wait_until(shop.gateway.fal.requests)
        wished = canceled(shop, job)
        posting.result()
    work(shop, job)
    shop.services.recovery.sweep()
    ended = shop.gateway.collect(work(shop, job))

    assert (wished.status, ended.status, shop.funds()) == (JobStatus.PENDING, JobStatus.CANCELED, FREE)


# -- a batch ----------------------------------------------------------------------------------------------------------------------------


def test_a_batch_is_canceled_job_by_job(shop: Shop) -> None:
    batch = shop.paid(4)
    shop.services.fair_share.give_turns()
    shop.gateway.tasks()
    stopped, finished, waiting, delivered = shop.jobs(batch)
    delivered = shop.gateway.generated(delivered)
    shop.gateway.fal.outcome("never")
    at_fal(shop, stopped)
    at_fal(shop, finished)
    shop.gateway.fal.fault("cancel", "stop")

    view = cancel_batch(shop, batch.id)
    again = cancel_batch(shop, batch.id)
    for job in (stopped, waiting):
        work(shop, job)
    for job in (stopped, finished):
        shop.gateway.collect(job)

    ends = [shop.gateway.job(job.id).status for job in (stopped, finished, waiting, delivered)]
    assert ends == [JobStatus.CANCELED, JobStatus.COMPLETED, JobStatus.CANCELED, JobStatus.COMPLETED]
    assert (view.is_over, again.is_over, view.batch.canceled_at is not None) == (False, False, True)
    over = shop.batches.view(batch.id, user_id=None)
    assert (over.is_over, over.status, over.charged_micros) == (True, JobStatus.CANCELED, 2 * UNIT_MICROS)
    assert shop.funds() == (Balance(800, 0), 2 * UNIT_MICROS, 0)


def cancel_batch(shop: Shop, batch_id: str) -> BatchView:
    return shop.batches.cancel(batch_id, user_id=shop.ada)


def quietly(shop: Shop, job: Job) -> None:
    try:
        canceled(shop, job)
    except AlreadyFinished:
        return
