"""Batches and crashes: whatever is cut off between two steps is finished or undone, never half done."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest

from app.domain.errors import (
    StoreUnavailable,
)
from app.domain.job import Job, JobStatus
from app.domain.job_filter import JobFilter
from app.domain.ledger import Balance
from app.stores.jobs import BatchJobStore
from tests.support.gateway import Gateway
from tests.support.shop import UNIT_MICROS, Crash, Shop, key, orders


@pytest.fixture
def shop(gateway: Gateway) -> Shop:
    return Shop(gateway)


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
    wanted = orders(3, user_id=shop.ada, pays_tokens=True)
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
    crashing = shop.with_crash("_fair_share", "ask_for_turns", after=False)
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
        shop.with_crash("_funds", "hold", after=True).submit(orders(3, user_id=shop.ada, pays_tokens=True), key=None, max_cost_micros=None)
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
        slow.submit(orders(3, user_id=shop.ada, pays_tokens=True), key=None, max_cost_micros=None)

    assert shop.left() == {}
    assert shop.funds() == (Balance(1000, 0), 0, 0)


@pytest.mark.parametrize("after", [False, True])
def test_a_turn_that_is_cut_off_is_not_lost(shop: Shop, after: bool) -> None:
    batch = shop.order(2)
    turns = copy.copy(shop.services.fair_share)
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
        turns.give_turns()
    shop.gateway.tasks()

    shop.services.fair_share.give_turns()
    shop.gateway.sweep(shop.gateway.wait(shop.jobs(batch)[0], 20))

    assert sorted(arguments[0] for _, arguments in shop.gateway.tasks()) == sorted(batch.job_ids)


def test_a_cancel_that_is_cut_off_is_finished_by_the_sweep(shop: Shop) -> None:
    batch = shop.order(5)
    crashing = shop.with_crash("_batch_jobs", "open_after", after=False)
    with pytest.raises(Crash):
        crashing.cancel(batch.id, user_id=None)

    shop.batches.sweep()

    assert shop.batches.view(batch.id, user_id=None).jobs == {JobStatus.CANCELED: 5}
