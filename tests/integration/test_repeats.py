"""Tries of one request, sent again by a client's library without a key: one job is bought, in whichever order they come."""

from __future__ import annotations

import copy
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from app.domain import clock
from app.domain.job import Job
from app.domain.repeat import Try
from app.services.orders.order import Order
from app.services.orders.repeats import Repeats
from app.services.orders.submit import Accepted, Orders
from tests.support.gateway import SMALL, Gateway

START = clock.now()
"""When the tries of a test begin to come: set anew by each, since what is known of a try ends after a while."""
ROUNDS = 15


@pytest.fixture(autouse=True)
def start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "START", clock.now())


def order(number: int, *, fingerprint: str = "f" * 64, arrived_at: datetime | None = None) -> Order:
    tried = Try(fingerprint, number, arrived_at or START + timedelta(seconds=number))
    return Order(model="flux-dev", inputs={"prompt": "a red bicycle"}, options={"image_size": SMALL}, user_id="user-1", tried=tried)


def bought(gateway: Gateway) -> list[str]:
    return [arguments[0] for name, arguments in gateway.tasks() if name == "submit"]


class LooksTooEarly(Repeats):
    """Finds nothing at its first look, after which another try of the same request comes."""

    comes: Accepted | None = None

    def let_come(self, orders: Orders, other: Order) -> None:
        self._other = lambda: orders.submit(other)

    def claim(self, tried: Try) -> Job | None:
        if self.comes is None:
            self.comes = self._other()
            return None
        return super().claim(tried)


def test_a_retry_attaches_to_the_job_of_the_first_try(gateway: Gateway) -> None:
    orders = gateway.services.orders

    first, second, third = (orders.submit(order(number)) for number in (0, 1, 2))

    assert [accepted.replayed for accepted in (first, second, third)] == [False, True, True]
    assert {accepted.job.id for accepted in (first, second, third)} == {first.job.id}
    assert bought(gateway) == [first.job.id]


def test_two_equal_calls_stay_two_and_each_retry_has_its_own(gateway: Gateway) -> None:
    orders = gateway.services.orders

    firsts = [orders.submit(order(0)).job.id for _ in range(2)]
    retries = [[orders.submit(order(number)).job.id for _ in range(2)] for number in (1, 2)]

    assert len(set(firsts)) == 2
    assert [sorted(jobs) for jobs in retries] == [sorted(firsts)] * 2


def test_a_first_try_that_comes_after_its_retry_belongs_to_that(gateway: Gateway) -> None:
    orders = gateway.services.orders

    retry, late = orders.submit(order(1)), orders.submit(order(0))

    assert (late.job.id, late.replayed) == (retry.job.id, True)
    assert bought(gateway) == [retry.job.id]
    assert gateway.services.database["jobs"].count_documents({}) == 1


def test_a_retry_that_looked_before_the_first_try_had_written_attaches_to_it_all_the_same(gateway: Gateway) -> None:
    orders = gateway.services.orders
    hasty, early = copy.copy(orders), LooksTooEarly(jobs=gateway.services.jobs)
    early.let_come(orders, order(0))
    hasty._repeats = early

    retry = hasty.submit(order(1))

    assert early.comes is not None
    assert (retry.job.id, retry.replayed) == (early.comes.job.id, True)
    assert bought(gateway) == [retry.job.id]
    assert gateway.services.database["jobs"].count_documents({}) == 1


def test_a_call_that_came_later_is_no_earlier_try_of_a_retry(gateway: Gateway) -> None:
    orders = gateway.services.orders

    deliberate = orders.submit(order(0, arrived_at=START + timedelta(seconds=5)))
    retry = orders.submit(order(1))

    assert retry.job.id != deliberate.job.id


def test_however_the_tries_race_one_job_is_left_and_the_retry_has_it(gateway: Gateway) -> None:
    orders, jobs = gateway.services.orders, gateway.services.database["jobs"]
    had = []

    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            _, retry = pool.map(orders.submit, [order(n, fingerprint=f"{number:064x}") for n in (0, 1)])
            had.append(retry.job.id)

    assert sorted(job["_id"] for job in jobs.find({}, {"_id": 1})) == sorted(had)
    assert set(bought(gateway)) == set(had)


def test_tries_that_a_process_finds_waiting_and_begins_at_once_buy_one(gateway: Gateway) -> None:
    orders, jobs = gateway.services.orders, gateway.services.database["jobs"]
    had = []

    with ThreadPoolExecutor(4) as pool:
        for number in range(ROUNDS):
            burst = [order(n, fingerprint=f"{number:064x}", arrived_at=START + timedelta(milliseconds=(0, 2, 1, 3)[n])) for n in range(4)]
            had.append({accepted.job.id for accepted in pool.map(orders.submit, burst)})

    assert [len(one) for one in had] == [1] * ROUNDS
    assert {job["_id"] for job in jobs.find({}, {"_id": 1})} == set().union(*had)
    assert set(bought(gateway)) == set().union(*had)


def test_of_two_equal_calls_one_alone_is_the_first_try_of_a_retry_that_came_before(gateway: Gateway) -> None:
    orders = gateway.services.orders
    retry = orders.submit(order(1)).job.id

    late, another = orders.submit(order(0)).job.id, orders.submit(order(0)).job.id

    assert late == retry
    assert another != retry


def test_an_answer_is_noted_once_and_sent_again_for_a_minute(gateway: Gateway) -> None:
    orders, repeats = gateway.services.orders, gateway.services.repeats
    job = gateway.generated(orders.submit(order(0)).job)
    repeats.answered(job.id)
    noted = gateway.job(job.id)
    repeats.answered(job.id)
    noted_again = gateway.job(job.id)

    soon = orders.submit(order(1))
    gateway.services.database["jobs"].update_one({"_id": job.id}, {"$set": {"repeat.answeredAt": clock.now() - timedelta(seconds=61)}})
    later = orders.submit(order(2))

    assert noted.repeat is not None
    assert noted.repeat.answered_at is not None
    assert noted_again.rev == noted.rev
    assert soon.job.id == job.id
    assert later.job.id != job.id
