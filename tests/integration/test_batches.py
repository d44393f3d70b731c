"""Batches on real stores: accepted whole or not at all, paid for once, canceled, and seen by their owner only."""

from __future__ import annotations

import base64
import copy
import dataclasses
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest

from app.domain import clock
from app.domain.batch import LONGEST_WAIT, is_waiting
from app.domain.errors import (
    AlreadyFinished,
    BudgetExceeded,
    CallerError,
    IdempotencyMismatch,
    InsufficientTokens,
    InvalidRequest,
    MaxCostExceeded,
    NotFinished,
    NotFound,
)
from app.domain.job import JobStatus
from app.domain.job_filter import JobFilter
from app.domain.ledger import Balance
from app.services.orders.order import KEY_LIFETIME, Order
from tests.support.factories import picture
from tests.support.gateway import Gateway
from tests.support.shop import UNIT_MICROS, Crash, Shop, key, orders


@pytest.fixture
def shop(gateway: Gateway) -> Shop:
    return Shop(gateway)


def test_a_batch_is_jobs_that_wait_for_their_turn_and_know_their_batch(shop: Shop) -> None:
    batch = shop.order(3)

    jobs = shop.jobs(batch)
    assert [job.inputs["prompt"] for job in jobs] == ["bicycle 0", "bicycle 1", "bicycle 2"]
    assert all(is_waiting(job) and job.batch_id == batch.id and job.attention_at == job.deadline_at for job in jobs)
    assert jobs[0].deadline_at - jobs[0].created_at >= LONGEST_WAIT - timedelta(seconds=5)
    assert batch.quoted_micros == 3 * UNIT_MICROS
    assert [job.id for job in shop.services.jobs.page(JobFilter(batch_id=batch.id), before_id=None, limit=10)] == list(
        reversed(batch.job_ids)
    )
    assert shop.gateway.tasks() == [("give_turns", [])]


def test_every_bad_item_is_named_by_its_place_and_nothing_is_accepted(shop: Shop) -> None:
    wanted = orders(9)
    wanted[2] = dataclasses.replace(wanted[2], model="no-such-model")
    wanted[7] = dataclasses.replace(wanted[7], inputs={})
    wanted[8] = dataclasses.replace(wanted[8], options={"num_images": 0})

    with pytest.raises(InvalidRequest) as refused:
        shop.batches.submit(wanted, key=None, max_cost_micros=None)

    assert [error.pointer for error in refused.value.errors] == ["/items/2/model", "/items/7/inputs/prompt", "/items/8/options/num_images"]
    assert refused.value.details
    assert "flux-dev" in refused.value.details["validModels"]
    assert shop.left() == {}


def test_a_batch_above_its_highest_cost_is_refused(shop: Shop) -> None:
    with pytest.raises(MaxCostExceeded) as refused:
        shop.batches.submit(orders(3), key=None, max_cost_micros=3 * UNIT_MICROS - 1)
    accepted = shop.batches.submit(orders(3), key=None, max_cost_micros=3 * UNIT_MICROS)

    assert refused.value.details == {"cost": 0.075, "maxCost": 0.074999}
    assert len(accepted.batch.job_ids) == 3


@pytest.mark.parametrize(("monthly", "items", "kind"), [("0.05", 3, BudgetExceeded), ("9.00", 11, InsufficientTokens)])
def test_what_cannot_be_paid_for_whole_is_refused_whole(shop: Shop, monthly: str, items: int, kind: type[CallerError]) -> None:
    shop.budget(monthly)

    with pytest.raises(kind):
        shop.paid(items)

    assert shop.left() == {}
    assert shop.funds() == (Balance(1000, 0), 0, 0)


def test_batches_that_race_for_one_budget_are_accepted_whole_or_not_at_all(shop: Shop) -> None:
    shop.services.budgets.set_monthly("user:user-1", Decimal("0.25"))

    def tried(_: int) -> int:
        try:
            return len(shop.order(4).job_ids)
        except BudgetExceeded:
            return 0

    with ThreadPoolExecutor(12) as threads:
        accepted = list(threads.map(tried, range(12)))

    assert sorted(accepted) == [0] * 10 + [4] * 2
    assert shop.left() == {"batches": 2, "jobs": 8}
    (budget,) = shop.services.budgets.all()
    assert budget.held_micros == 8 * UNIT_MICROS


def test_pictures_of_items_are_kept_as_uploads_and_taken_back_with_the_batch(shop: Shop) -> None:
    good = ["data:image/png;base64," + base64.b64encode(picture(color=color)).decode() for color in ("red", "blue")]
    edits = [
        Order(model="nano-banana-edit", inputs={"prompt": "make it green", "image_urls": [uri]}, options={}, user_id="user-1")
        for uri in (*good, "data:image/png;base64,bm8gcGljdHVyZQ==")
    ]

    with pytest.raises(InvalidRequest) as refused:
        shop.batches.submit(edits, key=None, max_cost_micros=None)
    nothing = shop.left()
    batch = shop.batches.submit(edits[:2], key=None, max_cost_micros=None).batch

    assert [error.pointer for error in refused.value.errors] == ["/items/2/inputs/image_urls/0"]
    assert nothing == {}
    assert all(job.inputs["image_urls"][0].startswith("upload:") for job in shop.jobs(batch))


def test_the_same_key_gives_the_same_batch_and_another_body_is_refused(shop: Shop) -> None:
    first = shop.batches.submit(orders(3), key=key(), max_cost_micros=None)

    again = shop.batches.submit(orders(3), key=key(), max_cost_micros=None)
    with pytest.raises(IdempotencyMismatch):
        shop.batches.submit(orders(4), key=key(body=2), max_cost_micros=None)
    shop.services.database["batches"].update_one({}, {"$set": {"createdAt": clock.now() - KEY_LIFETIME - timedelta(seconds=1)}})
    much_later = shop.batches.submit(orders(4), key=key(body=2), max_cost_micros=None)

    assert (first.replayed, again.replayed, again.batch.job_ids) == (False, True, first.batch.job_ids)
    assert not much_later.replayed
    assert shop.left() == {"batches": 2, "jobs": 7}


def test_of_many_requests_with_one_key_one_orders(shop: Shop) -> None:
    with ThreadPoolExecutor(10) as threads:
        made = list(threads.map(lambda _: shop.batches.submit(orders(3), key=key(), max_cost_micros=None), range(10)))

    assert len({accepted.batch.id for accepted in made}) == 1
    assert Counter(accepted.replayed for accepted in made) == {True: 9, False: 1}
    assert shop.left() == {"batches": 1, "jobs": 3}


def test_a_repeat_waits_for_the_first_and_then_says_so(shop: Shop) -> None:
    with pytest.raises(Crash):
        shop.with_crash("_funds", "hold", after=True).submit(orders(3), key=key(), max_cost_micros=None)
    impatient = copy.copy(shop.batches)
    impatient._repeat_wait_s = 0.15

    with pytest.raises(NotFinished):
        impatient.submit(orders(3), key=key(), max_cost_micros=None)


def test_five_hundred_orders_are_accepted_and_held_for_at_once(shop: Shop) -> None:
    shop.services.database["accounts"].update_one({"_id": shop.ada}, {"$inc": {"tokens": 100_000}})
    shop.budget("100")

    batch = shop.paid(500)

    assert len(batch.job_ids) == 500
    assert shop.funds() == (Balance(51_000, 50_000), 0, 500 * UNIT_MICROS)


def test_canceling_ends_what_has_not_finished_and_gives_back_what_it_held(shop: Shop) -> None:
    shop.budget("1.00")
    batch = shop.paid(4)
    shop.services.fair_share.give_turns()
    done = shop.gateway.generated(shop.jobs(batch)[0])
    shop.gateway.tasks()

    view = shop.batches.cancel(batch.id, user_id=shop.ada)
    shop.work()

    assert done.status is JobStatus.COMPLETED
    assert (view.status, view.progress, view.jobs) == (JobStatus.CANCELED, 100, {JobStatus.COMPLETED: 1, JobStatus.CANCELED: 3})
    assert shop.funds() == (Balance(900, 0), UNIT_MICROS, 0)
    with pytest.raises(AlreadyFinished):
        shop.batches.cancel(batch.id, user_id=shop.ada)


def test_somebody_elses_batch_and_one_that_was_never_accepted_are_not_found(shop: Shop) -> None:
    batch = shop.order(1, user_id="somebody-else")
    with pytest.raises(Crash):
        shop.with_crash("_funds", "hold", after=True).submit(orders(1), key=None, max_cost_micros=None)
    unknown = shop.services.database["batches"].find_one({"state": "accepting"})["_id"]

    tries: list[Callable[[], object]] = [
        lambda: shop.batches.view(batch.id, user_id=shop.ada),
        lambda: shop.batches.cancel(batch.id, user_id=shop.ada),
        lambda: shop.batches.view(unknown, user_id=None),
        lambda: shop.batches.view("nonsense", user_id=None),
        lambda: shop.batches.view(clock.new_id(), user_id=None),
    ]
    for tried in tries:
        with pytest.raises(NotFound):
            tried()


def test_a_batch_counts_its_deleted_jobs_as_they_ended(shop: Shop) -> None:
    batch = shop.order(3)
    shop.services.batches.cancel(batch.id, user_id=None)
    for job_id in batch.job_ids:
        shop.services.recovery.settle(job_id)
    before = shop.services.batches.view(batch.id, user_id=None)

    shop.services.job_actions.delete(batch.job_ids[0], user_id=None)
    one_gone = shop.services.batches.view(batch.id, user_id=None)
    for job_id in batch.job_ids[1:]:
        shop.services.job_actions.delete(job_id, user_id=None)

    assert before.jobs == {JobStatus.CANCELED: 3}
    assert [one_gone, shop.services.batches.view(batch.id, user_id=None)] == [before, before]
