"""The service on many machines, while the network between them is slow, cut, half-open or late."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from tests.acceptance.service import a_prompt, wait_until
from tests.faults.customers import Customer
from tests.faults.machines import HAPROXY, MONGO, REDIS, STORES, Machines, running_machines
from tests.faults.soundness import problems
from workers.alive import silent_s

pytestmark = [
    pytest.mark.skipif(HAPROXY is None, reason="no haproxy on this machine: apt-get install haproxy"),
    pytest.mark.timeout(240),
]
#: How long a process may believe in a connection whose other end is gone.
NOTICED_WITHIN_S = 60.0
LATENCY_S = 0.05
WATCHERS, WORKERS = ("watcher", "watcher2"), ("worker", "worker2")
#: A worker's write before it posts. That its answer is lost is the worst that can happen to it: nothing was sent, and who knows that?
CLAIM = b"submitting"
T = TypeVar("T")


@pytest.fixture(scope="module")
def running() -> Iterator[Machines]:
    with running_machines() as machines:
        yield machines


@pytest.fixture
def place(running: Machines) -> Iterator[Machines]:
    """The service on a whole network; whatever a test did to it, the promise holds when it is done."""
    running.calm()
    yield running
    running.network.heal()
    running.settle_down(90)
    running.fetch_storage()
    assert problems(running) == []


def orders(customer: Customer, count: int) -> list[str]:
    return [customer.order(a_prompt()) for _ in range(count)]


def ends_of(place: Machines, job_ids: list[str], within_s: float) -> Counter[str]:
    """Return how these jobs ended, looked up in MongoDB itself, which no fault is played on."""
    ended = {"_id": {"$in": job_ids}, "settlement": "done"}
    wait_until(lambda: place.database["jobs"].count_documents(ended) == len(job_ids), within_s, f"the end of {len(job_ids)} jobs")
    return Counter(job["status"] for job in place.database["jobs"].find(ended))


def test_fifty_milliseconds_to_every_store_cost_only_time(place: Machines) -> None:
    for way in place.ways():
        way.latency_s = LATENCY_S
    customer = place.customer()

    ended = ends_of(place, orders(customer, 4), within_s=40)

    assert ended == {"completed": 4}
    assert customer.balance() == (600, 0)
    assert [name for name in (*WORKERS, *WATCHERS) if silent_s(place.machines.alive_file(name)) > 30] == []


def test_half_open_connections_to_every_store_are_noticed_within_a_minute(place: Machines) -> None:
    customer = place.customer()
    ends_of(place, orders(customer, 2), within_s=20)
    ways = [way for store in STORES for way in place.ways(store=store)]
    claims = [way for worker in WORKERS for way in place.ways(worker, MONGO)]
    for way in ways:
        if way in claims:
            way.fatal_words = CLAIM
        else:
            way.silence()

    ended = ends_of(place, orders(customer, 6), within_s=NOTICED_WITHIN_S)

    wait_until(lambda: not believed_in(place), NOTICED_WITHIN_S, "the last half-open connection to be given up")
    assert ended == {"completed": 6}
    assert any(way.fatal_words is None for way in claims)
    slowest = max(link.noticed_in_s(time.monotonic()) for way in ways for link in way.links)
    assert 0 < slowest < NOTICED_WITHIN_S


def test_one_side_that_hears_no_store_is_taken_out_and_the_other_goes_on(place: Machines) -> None:
    """Its commands still arrive: what it takes out of the queue is gone, and what it claims is claimed."""
    customer = place.customer()
    for machine in ("web", "worker"):
        for store in STORES:
            place.ways(machine, store)[0].cut.add("down")
    wait_until(lambda: is_out(place, "web"), 30, "the balancer to take the deaf web process out")

    took_s, job_ids = timed(lambda: orders(customer, 6))
    place.network.heal()

    assert took_s < 10
    assert ends_of(place, job_ids, within_s=90) == {"completed": 6}
    wait_until(lambda: not is_out(place, "web"), 30, "the balancer to take it in again")


def test_stores_that_answer_after_their_client_has_given_up_cost_no_order_and_no_second_picture(place: Machines) -> None:
    customer = place.customer()
    for worker in WORKERS:
        place.ways(worker, MONGO)[0].cut.add("down")
    job_ids = orders(customer, 4)
    before = time.monotonic()
    wait_until(lambda: all(given_up(place, worker, before) for worker in WORKERS), 60, "the workers to give up")
    place.network.heal()

    ended = ends_of(place, job_ids, within_s=90)

    assert ended == {"completed": 4}


def test_a_leading_watcher_without_redis_is_joined_by_the_other_and_every_picture_is_still_bought_once(place: Machines) -> None:
    leader, other = leading(place)
    place.ways(leader, REDIS)[0].refuses = True
    place.ways(leader, REDIS)[0].cut.update({"up", "down"})
    customer = place.customer()
    logged = len(place.log(other))
    job_ids = orders(customer, 2)
    wait_until(lambda: '"watching"' in place.log(other)[logged:], 40, "the other watcher to take over")
    job_ids += orders(customer, 4)

    assert ends_of(place, job_ids, within_s=60) == {"completed": 6}
    logged = len(place.log(leader))
    place.network.heal()
    wait_until(lambda: "standing by" in place.log(leader)[logged:], 40, "one of the two to stand by")


def timed(call: Callable[[], T]) -> tuple[float, T]:
    started = time.monotonic()
    found = call()
    return time.monotonic() - started, found


def is_out(place: Machines, name: str) -> bool:
    """Tell whether the balancer has taken a web process out."""
    told = re.findall(rf"Server web/{name} is (UP|DOWN)", place.log("balancer"))
    return bool(told) and told[-1] == "DOWN"


def given_up(place: Machines, worker: str, since: float) -> bool:
    """Tell whether a worker has closed a connection to MongoDB on which it had waited."""
    return any(link.last_way == "up" and (link.left_at or 0) > since for link in place.ways(worker, MONGO)[0].links)


def leading(place: Machines) -> tuple[str, str]:
    """Return which watcher is at work, and which stands by."""
    last = {name: [line for line in place.log(name).splitlines() if '"watching"' in line or "standing by" in line] for name in WATCHERS}
    first = [name for name in WATCHERS if last[name] and '"watching"' in last[name][-1]]
    assert len(first) == 1, last
    return first[0], next(name for name in WATCHERS if name != first[0])


def believed_in(place: Machines) -> list[str]:
    """Name the ways on which a client still waits for a connection whose other end is gone."""
    return [
        f"{machine} to {store}"
        for (machine, store), way in place.network.proxies.items()
        for link in way.links
        if link.asked_at is not None and link.left_at is None
    ]
