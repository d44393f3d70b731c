"""Batches on real stores: all or nothing, through every crash, cheaply, and in turn with other users."""

from __future__ import annotations

import base64
import copy
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app import clock
from app.account import Balance
from app.batch import LONGEST_WAIT, Batch, BatchState, is_waiting
from app.clients.queue import BATCH_QUEUE
from app.errors import (
    AlreadyFinished,
    BudgetExceeded,
    CallerError,
    IdempotencyMismatch,
    InsufficientTokens,
    InvalidRequest,
    MaxCostExceeded,
    NotFinished,
    NotFound,
    StoreUnavailable,
)
from app.job import Job, JobStatus
from app.job_filter import JobFilter
from app.services import batches as service
from app.services.batches import ACCEPT_PATIENCE, Batches
from app.services.idempotency import KEPT, OrderKey, order_key
from app.services.orders import Order
from app.stores.batch_jobs import BatchJobStore
from tests.support.factories import picture
from tests.support.gateway import SMALL, Gateway

UNIT_MICROS = 25_000
"""What one picture of flux-dev costs."""


class Crash(BaseException):
    """The process dies here: nothing that would run after an error runs."""


class Shop:
    """Batches, a user of 1,000 tokens, and what is left when something goes wrong."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.services = gateway.services
        self.batches = gateway.services.batches
        self.ada = gateway.services.accounts.register("ada@example.com", "correct horse").id

    def order(self, items: int = 3, *, user_id: str = "user-1", key: OrderKey | None = None, **fields: Any) -> Batch:
        return self.batches.submit(orders(items, user_id=user_id, **fields), key=key, max_cost_micros=None).batch

    def paid(self, items: int = 3, *, key: OrderKey | None = None) -> Batch:
        """Order what costs Ada 100 tokens an item and draws on her budget."""
        return self.order(items, user_id=self.ada, tokens_per_image=100, key=key)

    def budget(self, monthly: str) -> None:
        self.services.budgets.set_monthly(f"user:{self.ada}", Decimal(monthly))

    def funds(self) -> tuple[Balance, int, int]:
        """Return Ada's tokens, and her budget's spent and held micro-USD."""
        (budget,) = self.services.budgets.all()
        return self.services.billing.balance(self.ada), budget.spent_micros, budget.held_micros

    def left(self) -> dict[str, int]:
        names = ("batches", "jobs", "uploads", "usage")
        return {name: found for name in names if (found := self.services.database[name].count_documents({}))}

    def with_crash(self, part: str, method: str, *, after: bool) -> Batches:
        """Return the service as it is in a process that dies at one step, before or after it is done."""
        crashing = copy.copy(self.batches)
        whole = getattr(crashing, part)
        crippled = copy.copy(whole)

        def dies(*args: Any, **kwargs: Any) -> Any:
            if after:
                getattr(whole, method)(*args, **kwargs)
            raise Crash

        setattr(crippled, method, dies)
        setattr(crashing, part, crippled)
        return crashing

    def time_passes(self, by: timedelta = ACCEPT_PATIENCE + timedelta(seconds=1)) -> None:
        for batch in self.services.database["batches"].find({"attentionAt": {"$ne": None}}):
            self.services.database["batches"].update_one({"_id": batch["_id"]}, {"$set": {"attentionAt": batch["attentionAt"] - by}})

    def jobs(self, batch: Batch) -> list[Job]:
        return [self.gateway.job(job_id) for job_id in batch.job_ids]

    def work(self, *, fails: Sequence[str] = ()) -> list[str]:
        """Do what a worker does until nothing is queued; every job is ended at once. Returns whose jobs came in which order."""
        order: list[str] = []
        while tasks := self.gateway.tasks():
            for name, arguments in tasks:
                if name == "give_turns":
                    self.services.turns.give()
                elif name == "submit":
                    job = self.gateway.job(arguments[0])
                    order.append(job.user_id)
                    self.services.jobs.change(job, lambda j: j.canceled(now=clock.now()))
                    self.services.recovery.settle(job.id)
                elif name == "settle":
                    self.services.recovery.settle(arguments[0])
        return order


@pytest.fixture
def shop(gateway: Gateway) -> Shop:
    return Shop(gateway)


def orders(items: int, *, user_id: str = "user-1", **fields: Any) -> list[Order]:
    return [
        Order(**{"model": "flux-dev", "inputs": {"prompt": f"bicycle {n}"}, "options": {"image_size": SMALL}, "user_id": user_id, **fields})
        for n in range(items)
    ]


def key(text: str = "k-1", body: object = 1) -> OrderKey:
    return order_key(caller="anonymous", route="POST /api/images/batch", key=text, body={"body": body})


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


def test_a_batch_is_generated_stored_and_paid_like_single_orders(shop: Shop) -> None:
    shop.budget("1.00")
    batch = shop.paid(3)

    held = shop.funds()
    shop.services.turns.give()
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


STEPS: list[tuple[str, str, bool]] = [
    ("_batches", "insert", True),
    ("_batch_jobs", "insert_all", False),
    ("_batch_jobs", "insert_all", True),
    ("_funds", "hold", False),
    ("_funds", "hold", True),
    ("_batches", "move", False),
]


@pytest.mark.parametrize(("part", "method", "after"), STEPS)
def test_a_crash_before_a_batch_is_accepted_leaves_nothing(shop: Shop, part: str, method: str, after: bool) -> None:
    shop.budget("1.00")
    wanted = orders(3, user_id=shop.ada, tokens_per_image=100)
    with pytest.raises(Crash):
        shop.with_crash(part, method, after=after).submit(wanted, key=key(), max_cost_micros=None)

    shop.batches.sweep()
    before = shop.left()
    shop.gateway.services.recovery.sweep()
    shop.time_passes()
    shop.batches.sweep()

    assert before["batches"] == 1
    assert shop.left() == {}
    assert shop.funds() == (Balance(1000, 0), 0, 0)
    assert shop.gateway.tasks() == []
    assert shop.services.billing.verify() == (1, [])
    again = shop.batches.submit(wanted, key=key(), max_cost_micros=None)
    assert not again.replayed
    assert shop.funds() == (Balance(700, 300), 0, 3 * UNIT_MICROS)


def test_jobs_of_which_a_crash_let_only_some_be_written_are_never_sent(shop: Shop) -> None:
    crippled = copy.copy(shop.services.batches)
    whole = crippled._batch_jobs

    class Half(BatchJobStore):
        def insert_all(self, jobs: Sequence[Job]) -> None:
            whole.insert_all(jobs[:2])
            raise Crash

    crippled._batch_jobs = Half.__new__(Half)
    with pytest.raises(Crash):
        crippled.submit(orders(5), key=None, max_cost_micros=None)

    for job in shop.services.jobs.page(JobFilter(), before_id=None, limit=10):
        shop.gateway.wait(job, 3600)
    shop.services.recovery.sweep()
    shop.batches.sweep()
    half = (shop.left(), shop.gateway.tasks())
    shop.time_passes()
    shop.batches.sweep()

    assert half == ({"batches": 1, "jobs": 2}, [])
    assert shop.left() == {}


def test_a_crash_after_a_batch_is_accepted_loses_nothing(shop: Shop) -> None:
    crashing = shop.with_crash("_turns", "ask", after=False)
    with pytest.raises(Crash):
        crashing.submit(orders(3), key=key(), max_cost_micros=None)

    again = shop.batches.submit(orders(3), key=key(), max_cost_micros=None)
    shop.batches.sweep()

    assert again.replayed
    assert shop.gateway.tasks() == [("submit", [job_id]) for job_id in again.batch.job_ids]


@pytest.mark.parametrize(
    ("part", "method", "after"),
    [("_batches", "move", True), ("_batch_jobs", "remove_unstarted", True), ("_funds", "take_back", True), ("_batches", "remove", False)],
)
def test_an_undoing_that_is_cut_off_is_finished(shop: Shop, part: str, method: str, after: bool) -> None:
    shop.budget("1.00")
    with pytest.raises(Crash):
        shop.with_crash("_funds", "hold", after=True).submit(
            orders(3, user_id=shop.ada, tokens_per_image=100), key=None, max_cost_micros=None
        )
    shop.time_passes()
    with pytest.raises(Crash):
        shop.with_crash(part, method, after=after).sweep()

    shop.batches.sweep()

    assert shop.left() == {}
    assert shop.funds() == (Balance(1000, 0), 0, 0)


def test_a_batch_that_the_sweep_undoes_under_a_slow_process_is_not_accepted(shop: Shop) -> None:
    shop.budget("1.00")
    slow = copy.copy(shop.batches)
    whole = slow._funds

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(whole, name)

        def hold(self, jobs: Sequence[Job]) -> bool:
            shop.time_passes()
            shop.batches.sweep()
            return whole.hold(jobs)

    slow._funds = Slow()  # type: ignore[assignment]
    with pytest.raises(StoreUnavailable):
        slow.submit(orders(3, user_id=shop.ada, tokens_per_image=100), key=None, max_cost_micros=None)

    shop.services.funds.take_back(shop.ada, [f"user:{shop.ada}"], list(shop.services.database["accounts"].find_one()["holds"]))
    assert shop.left() == {}
    assert shop.funds() == (Balance(1000, 0), 0, 0)


def test_the_same_key_gives_the_same_batch_and_another_body_is_refused(shop: Shop) -> None:
    first = shop.batches.submit(orders(3), key=key(), max_cost_micros=None)

    again = shop.batches.submit(orders(3), key=key(), max_cost_micros=None)
    with pytest.raises(IdempotencyMismatch):
        shop.batches.submit(orders(4), key=key(body=2), max_cost_micros=None)
    shop.services.database["batches"].update_one({}, {"$set": {"createdAt": clock.now() - KEPT - timedelta(seconds=1)}})
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


def test_a_repeat_waits_for_the_first_and_then_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Crash):
        shop.with_crash("_funds", "hold", after=True).submit(orders(3), key=key(), max_cost_micros=None)
    monkeypatch.setattr(service, "REPEAT_WAIT_S", 0.15)

    with pytest.raises(NotFinished):
        shop.batches.submit(orders(3), key=key(), max_cost_micros=None)


def test_five_hundred_orders_are_accepted_within_two_seconds(shop: Shop) -> None:
    shop.services.database["accounts"].update_one({"_id": shop.ada}, {"$inc": {"tokens": 100_000}})
    shop.budget("100")

    began = time.monotonic()
    batch = shop.paid(500)
    took = time.monotonic() - began

    assert len(batch.job_ids) == 500
    assert shop.funds() == (Balance(51_000, 50_000), 0, 500 * UNIT_MICROS)
    assert took < 2, f"{took:.2f} s"


def test_only_so_many_jobs_of_batches_are_in_the_works_and_each_end_lets_the_next_go(shop: Shop) -> None:
    batch = shop.order(50)
    slots = shop.services.settings.batch_in_flight

    first, second = shop.services.turns.give(), shop.services.turns.give()
    sent = [arguments[0] for name, arguments in shop.gateway.tasks() if name == "submit"]
    shop.services.lifecycle.cancel(sent[0], user_id=None)
    shop.services.recovery.settle(sent[0])
    third = shop.work()

    assert (first, second, len(sent)) == (slots, 0, slots)
    assert sent == list(batch.job_ids[:slots])
    assert len(third) == 30
    assert BatchState(shop.services.database["batches"].find_one()["state"]) in (BatchState.OPEN, BatchState.CLOSED)


def test_users_take_turns_however_much_one_of_them_ordered(shop: Shop) -> None:
    for _ in range(3):
        shop.order(40, user_id="hog")
    early = shop.services.turns.give()
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
        given = sum(threads.map(lambda _: shop.services.turns.give(), range(6)))

    sent = [arguments[0] for name, arguments in shop.gateway.tasks() if name == "submit"]
    assert given == len(sent) == len(set(sent))
    assert 20 <= len(sent) <= len(batch.job_ids)


def test_a_single_order_stands_in_a_queue_before_those_of_batches(shop: Shop) -> None:
    batch = shop.order(2)
    shop.services.turns.give()
    single = shop.gateway.order(user_id="somebody-else")

    tasks = [task for task in shop.gateway.tasks() if task[0] == "submit"]

    assert [arguments[0] for _, arguments in tasks] == [single.id, *batch.job_ids]


def test_a_released_job_whose_task_is_lost_is_enqueued_again_among_the_batches(shop: Shop) -> None:
    batch = shop.order(1)
    shop.services.turns.give()
    shop.gateway.tasks()
    (job,) = shop.jobs(batch)

    shop.gateway.sweep(shop.gateway.wait(job, 20))

    assert shop.services.queue.depths()[BATCH_QUEUE][0] == 1
    assert shop.gateway.tasks() == [("submit", [job.id])]


@pytest.mark.parametrize("after", [False, True])
def test_a_turn_that_is_cut_off_is_not_lost(shop: Shop, after: bool) -> None:
    batch = shop.order(2)
    turns = copy.copy(shop.services.turns)
    whole = turns._batches

    class Crashing:
        def __getattr__(self, name: str) -> Any:
            return getattr(whole, name)

        def had_turn(self, *args: Any, **kwargs: Any) -> None:
            if after:
                whole.had_turn(*args, **kwargs)
            raise Crash

    turns._batches = Crashing()  # type: ignore[assignment]
    with pytest.raises(Crash):
        turns.give()
    shop.gateway.tasks()

    shop.services.turns.give()
    shop.gateway.sweep(shop.gateway.wait(shop.jobs(batch)[0], 20))

    assert sorted(arguments[0] for _, arguments in shop.gateway.tasks()) == sorted(batch.job_ids)


def test_canceling_ends_what_has_not_finished_and_gives_back_what_it_held(shop: Shop) -> None:
    shop.budget("1.00")
    batch = shop.paid(4)
    shop.services.turns.give()
    done = shop.gateway.generated(shop.jobs(batch)[0])
    shop.gateway.tasks()

    view = shop.batches.cancel(batch.id, user_id=shop.ada)
    shop.work()

    assert done.status is JobStatus.COMPLETED
    assert (view.status, view.progress, view.jobs) == (JobStatus.CANCELED, 100, {JobStatus.COMPLETED: 1, JobStatus.CANCELED: 3})
    assert shop.funds() == (Balance(900, 0), UNIT_MICROS, 0)
    with pytest.raises(AlreadyFinished):
        shop.batches.cancel(batch.id, user_id=shop.ada)


def test_a_cancel_that_is_cut_off_is_finished_by_the_sweep(shop: Shop) -> None:
    batch = shop.order(5)
    crashing = shop.with_crash("_batch_jobs", "open_after", after=False)
    with pytest.raises(Crash):
        crashing.cancel(batch.id, user_id=None)

    shop.batches.sweep()

    assert shop.batches.view(batch.id, user_id=None).jobs == {JobStatus.CANCELED: 5}


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


def test_a_job_that_waits_a_day_for_its_turn_fails_and_costs_nothing(shop: Shop) -> None:
    shop.budget("1.00")
    batch = shop.paid(1)
    (job,) = shop.jobs(batch)

    waiting = shop.gateway.sweep(shop.gateway.wait(job, LONGEST_WAIT.total_seconds() - 60))
    failed = shop.gateway.sweep(shop.gateway.wait(job, 120))

    assert waiting.status is JobStatus.PENDING
    assert (failed.status, failed.failure and failed.failure.code) == (JobStatus.FAILED, "deadline_exceeded")
    assert shop.funds() == (Balance(1000, 0), 0, 0)
