"""Whose batch goes on next: users take turns, and single orders go first."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.clients.queue import BATCH_QUEUE
from app.domain.batch import LONGEST_WAIT, BatchState
from app.domain.job import JobStatus
from app.domain.ledger import Balance
from tests.support.gateway import Gateway
from tests.support.shop import UNIT_MICROS, Shop


@pytest.fixture
def shop(gateway: Gateway) -> Shop:
    return Shop(gateway)


def test_a_batch_is_generated_stored_and_paid_like_single_orders(shop: Shop) -> None:
    shop.budget("1.00")
    batch = shop.paid(3)

    held = shop.funds()
    shop.services.fair_share.give_turns()
    for job in shop.jobs(batch):
        shop.gateway.dispatch(job)
    for job in shop.jobs(batch):
        shop.gateway.collect(job)
    view = shop.batches.view(batch.id, user_id=shop.ada)

    assert held == (Balance(700, 300), 0, 3 * UNIT_MICROS)
    assert shop.funds() == (Balance(700, 0), 3 * UNIT_MICROS, 0)
    assert (view.status, view.jobs, view.progress) == (JobStatus.COMPLETED, {JobStatus.COMPLETED: 3}, 100)
    assert view.charged_micros == 3 * UNIT_MICROS
    assert shop.services.billing.verify() == (1, [])


def test_only_so_many_jobs_of_batches_are_in_the_works_and_each_end_lets_the_next_go(shop: Shop) -> None:
    batch = shop.order(50)
    slots = shop.services.settings.batch_in_flight

    first, second = shop.services.fair_share.give_turns(), shop.services.fair_share.give_turns()
    sent = [arguments[0] for name, arguments in shop.gateway.tasks() if name == "submit"]
    shop.services.job_actions.cancel(sent[0], user_id=None)
    shop.services.recovery.settle(sent[0])
    third = shop.work()

    assert (first, second, len(sent)) == (slots, 0, slots)
    assert sent == list(batch.job_ids[:slots])
    assert len(third) == 30
    assert BatchState(shop.services.database["batches"].find_one()["state"]) in (BatchState.OPEN, BatchState.CLOSED)


def test_users_take_turns_however_much_one_of_them_ordered(shop: Shop) -> None:
    for _ in range(3):
        shop.order(40, user_id="hog")
    early = shop.services.fair_share.give_turns()
    shop.order(5, user_id="second")
    shop.order(5, user_id="third")

    came = shop.work()

    assert early == 20
    assert Counter(came) == {"hog": 120, "second": 5, "third": 5}
    after_the_first_slots = came[early:]
    assert Counter(after_the_first_slots[:15]) == {"hog": 5, "second": 5, "third": 5}


def test_turns_given_by_many_at_once_release_each_job_once(shop: Shop) -> None:
    batch = shop.order(30)

    with ThreadPoolExecutor(6) as threads:
        given = sum(threads.map(lambda _: shop.services.fair_share.give_turns(), range(6)))

    sent = [arguments[0] for name, arguments in shop.gateway.tasks() if name == "submit"]
    assert given == len(sent) == len(set(sent))
    assert 20 <= len(sent) <= len(batch.job_ids)


def test_a_single_order_stands_in_a_queue_before_those_of_batches(shop: Shop) -> None:
    batch = shop.order(2)
    shop.services.fair_share.give_turns()
    single = shop.gateway.order(user_id="somebody-else")

    tasks = [task for task in shop.gateway.tasks() if task[0] == "submit"]

    assert [arguments[0] for _, arguments in tasks] == [single.id, *batch.job_ids]


def test_a_released_job_whose_task_is_lost_is_enqueued_again_among_the_batches(shop: Shop) -> None:
    batch = shop.order(1)
    shop.services.fair_share.give_turns()
    shop.gateway.tasks()
    (job,) = shop.jobs(batch)

    shop.gateway.sweep(shop.gateway.wait(job, 20))

    assert shop.services.queue.depths()[BATCH_QUEUE][0] == 1
    assert shop.gateway.tasks() == [("submit", [job.id])]


def test_a_job_that_waits_a_day_for_its_turn_fails_and_costs_nothing(shop: Shop) -> None:
    shop.budget("1.00")
    batch = shop.paid(1)
    (job,) = shop.jobs(batch)

    waiting = shop.gateway.sweep(shop.gateway.wait(job, LONGEST_WAIT.total_seconds() - 60))
    failed = shop.gateway.sweep(shop.gateway.wait(job, 120))

    assert waiting.status is JobStatus.PENDING
    assert (failed.status, failed.failure and failed.failure.code) == (JobStatus.FAILED, "deadline_exceeded")
    assert shop.funds() == (Balance(1000, 0), 0, 0)
