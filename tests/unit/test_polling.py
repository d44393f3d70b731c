"""When requests in flight are asked for: the timing rules alone, against a fal that only counts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import selectors
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace
from typing import Any, cast

from app.clients.fal.status import FalState, FalStatus
from app.domain.errors import ProviderBusy
from app.domain.fal_request import Receipt, RequestState
from tests.support.factories import make_job, make_receipt
from workers.watcher.polling import FLOOR_S, MAX_POLLS_AT_ONCE, Poller
from workers.watcher.tracking import Tracked

EARLY_TIMER_S = 0.005
#: Seconds from now, by a request's index.
Seconds = Callable[[int], float]


class Skipping(selectors.DefaultSelector):
    """Skips the time that a loop would wait."""

    skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.skipped_s += timeout or 0.0
        return super().select(0 if timeout else timeout)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock goes on only while it has nothing to do: a busy machine makes nothing late."""

    def __init__(self) -> None:
        self._skipping = Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.skipped_s


class Fal:
    """Answers that a request is being worked on, after `takes_s`; remembers when each was asked for, and how many at once."""

    def __init__(self, *, takes_s: float = 0.0, is_down: bool = False) -> None:
        self.takes_s = takes_s
        self.is_down = is_down
        self.asked: list[tuple[float, str]] = []
        self.now_at_once: Counter[str] = Counter()
        self.most_at_once = self.most_of_one = 0

    async def status(self, receipt: Receipt) -> FalStatus:
        self.asked.append((asyncio.get_running_loop().time(), receipt.request_id))
        self.now_at_once[receipt.request_id] += 1
        self.most_at_once = max(self.most_at_once, self.now_at_once.total())
        self.most_of_one = max(self.most_of_one, self.now_at_once[receipt.request_id])
        await asyncio.sleep(self.takes_s)
        self.now_at_once[receipt.request_id] -= 1
        if self.is_down:
            raise ProviderBusy("fal is down")
        return FalStatus(FalState.IN_PROGRESS)

    async def states(self, receipt: Receipt) -> AsyncGenerator[FalStatus]:
        """Stream nothing."""
        raise ProviderBusy(receipt.request_id)
        yield

    def times_of(self, request_id: str) -> list[float]:
        return [at for at, asked in self.asked if asked == request_id]

    def gaps(self, *, without: str = "") -> list[float]:
        """Return the seconds between any two polls of one request; of all but one, if it is named."""
        ids = {asked for _, asked in self.asked} - {without}
        return [later - earlier for one in ids for earlier, later in itertools.pairwise(self.times_of(one))]

    def rate(self, since_s: float, until_s: float) -> float:
        """Return the polls a second in a part of the run, counted from its first poll."""
        first = self.asked[0][0]
        return sum(since_s <= at - first < until_s for at, _ in self.asked) / (until_s - since_s)


def tracked_requests(count: int, due_at: Seconds, late_at: Seconds) -> list[Tracked]:
    """Return requests by when they are to be asked for first, and from when on they may be done."""
    job = make_job(requests=[1] * count)
    requests = [
        dataclasses.replace(request, state=RequestState.SUBMITTED, receipt=make_receipt(f"req-{request.index}")) for request in job.requests
    ]
    job = dataclasses.replace(job, requests=tuple(requests))
    now = asyncio.get_running_loop().time()
    return [Tracked(job, index, due_at=now + due_at(index), late_at=now + late_at(index)) for index in range(count)]


def polled(
    fal: Fal,
    count: int,
    *,
    for_s: float,
    budget: float = 1_000_000.0,
    due_at: Seconds = lambda index: 0.0,
    late_at: Seconds = lambda index: -1.0,
    trouble_pause_s: float = 2.0,
) -> Fal:
    """Poll so many requests for so long; without `due_at` they have all just come in."""

    async def take(tracked: Tracked, status: FalStatus) -> None:
        """What fal says changes nothing here."""

    async def poll() -> None:
        in_flight = {tracked.key: tracked for tracked in tracked_requests(count, due_at, late_at)}
        tracker = SimpleNamespace(requests=in_flight, changed=asyncio.Event(), take=take)
        poller = Poller(cast("Any", fal), cast("Any", tracker), polls_per_second=budget, trouble_pause_s=trouble_pause_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(poller.poll(), for_s)

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(poll())
    return fal


def test_few_requests_are_each_asked_for_every_floor() -> None:
    fal = polled(Fal(), 5, for_s=0.7)

    assert min(fal.gaps()) >= FLOOR_S * 0.9 - EARLY_TIMER_S
    assert all(len(fal.times_of(f"req-{n}")) >= 4 for n in range(5))


def test_many_requests_share_the_budget_evenly() -> None:
    fal = polled(Fal(), 60, for_s=1.4, budget=100)

    times = Counter(asked for _, asked in fal.asked)
    assert len(times) == 60
    assert max(times.values()) - min(times.values()) <= 2
    assert 50 <= fal.rate(0.2, 1.3) <= 115


def test_requests_that_come_together_do_not_break_the_budget() -> None:
    fal = polled(Fal(), 2000, for_s=1.2, budget=400)

    assert len({asked for _, asked in fal.asked}) == len(fal.asked), "one was asked for again before all were asked for once"
    assert all(fal.rate(start, start + 0.5) <= 400 * 1.3 for start in (0.0, 0.2, 0.4, 0.6))
    assert fal.rate(0.0, 1.0) >= 400 * 0.5


def test_requests_that_came_together_are_not_asked_for_in_lockstep() -> None:
    fal = polled(Fal(), 20, for_s=1.0)

    last = [fal.times_of(f"req-{n}")[-1] for n in range(20)]
    assert max(last) - min(last) > FLOOR_S / 4


def test_requests_that_can_hardly_be_done_get_a_fourth_of_the_polls() -> None:
    fal = polled(Fal(), 60, for_s=1.6, budget=200, late_at=lambda index: 100.0 if index % 2 else -1.0)

    times = Counter(int(asked.removeprefix("req-")) % 2 for _, asked in fal.asked)
    # All are asked once at first, whatever their age.
    late, early = times[0] - 30, times[1] - 30
    assert 2.5 <= late / early <= 6.0


def test_few_young_requests_are_asked_for_as_often_as_others() -> None:
    fal = polled(Fal(), 4, for_s=0.8, late_at=lambda index: 100.0 if index % 2 else -1.0)

    times = Counter(int(asked.removeprefix("req-")) % 2 for _, asked in fal.asked)
    assert abs(times[0] - times[1]) <= 4


def test_a_young_request_is_asked_for_again_when_it_may_be_done() -> None:
    """The interval of the young is 1 second, that of those that may be done 0.25; the first one may be done after 0.6."""
    fal = polled(Fal(), 30, for_s=1.2, budget=30, due_at=lambda index: index / 30, late_at=lambda index: 100.0 if index else 0.6)

    first, second = fal.times_of("req-0")[:2]
    assert 0.5 <= second - first <= 1.0
    assert min(fal.gaps(without="req-0")) >= 0.9 - EARLY_TIMER_S


def test_a_request_is_never_asked_for_twice_at_once_and_all_not_by_more_than_the_bound() -> None:
    fal = polled(Fal(takes_s=0.25), 200, for_s=0.7)

    assert fal.most_of_one == 1
    assert fal.most_at_once == MAX_POLLS_AT_ONCE


def test_what_fal_did_not_answer_is_asked_for_again_after_a_pause() -> None:
    fal = polled(Fal(is_down=True), 5, for_s=1.3, trouble_pause_s=0.5)

    assert min(fal.gaps()) >= 0.5 - EARLY_TIMER_S
    assert len(fal.asked) >= 10
