"""When each request in flight is asked for: often while there are few, within a fixed budget when there are thousands.

Those whose state fal streams (`streams`) are hardly asked for.

A budget that does not suffice goes to those that may be done: a request younger than 0.7 of its model's usual duration (learned, see
`durations`) gets a fourth of the polls. While there are few, all are asked equally often: in measurements, sleeping on a learned duration
made the next, shorter generation wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Iterable

from app.clients.fal.status import FalState, FalStatusClient
from app.domain.errors import ProviderBusy
from workers.watcher.streams import FIRST_WORD_S, Streams
from workers.watcher.tracking import Tracked, Tracker

log = logging.getLogger("watcher")

FLOOR_S = 0.1
#: While fal's webhooks arrive, polling is only there for what they miss.
WEBHOOK_FLOOR_S = 5.0
MAX_POLLS_AT_ONCE = 64
TROUBLE_PAUSE_S = 2.0
TICK_S = 0.02
TICKS_PER_INTERVAL = 50
#: A look at all requests costs more the more there are: so long after the last one comes the next, for each of them, up to a tick.
LOOK_S = 0.0004
#: How long nobody is looked at while nobody is due.
IDLE_S = 0.2
#: How much less often a request is asked for while it can hardly be done.
EARLY_FACTOR = 4.0
#: How often a request with a stream is looked at, so that its progress is told.
STREAMED_S = 1.0
#: How much of the budget may be spent at once by requests that come together: those of a few orders are, those of a restart are spread.
BURST_S = 0.1


class Poller:
    """Asks for each tracked request again and again, spread by jitter, over a bounded number of connections."""

    def __init__(
        self, client: FalStatusClient, tracker: Tracker, *, polls_per_second: float, trouble_pause_s: float = TROUBLE_PAUSE_S
    ) -> None:
        self._client = client
        self._trouble_pause_s = trouble_pause_s
        self.floor_s = FLOOR_S
        self._tracker = tracker
        self._budget = polls_per_second
        self._slots = asyncio.Semaphore(MAX_POLLS_AT_ONCE)
        self._asking: set[asyncio.Task[None]] = set()
        self._needed = 0.0
        self._next_due_at = float("-inf")
        self._free_at = float("-inf")
        self._loop = asyncio.get_running_loop()
        self._streams = Streams(client, tracker)

    async def poll(self) -> None:
        while True:
            if not self._tracker.requests:
                await self._tracker.changed.wait()
            self._tracker.changed.clear()  # Before the look: what comes after it is new.
            self._streams.tidy()
            for tracked in self._due():
                if self.floor_s < WEBHOOK_FLOOR_S and self._streams.follow(tracked):
                    tracked.due_at = self._loop.time() + FIRST_WORD_S
                    continue
                if not self._is_affordable():
                    break
                await self._slots.acquire()
                tracked.due_at = self._loop.time() + self._interval_of(tracked) * random.uniform(0.9, 1.1)  # noqa: S311
                tracked.is_asked = True
                task = asyncio.create_task(self._ask(tracked))
                self._asking.add(task)
                task.add_done_callback(self._done)
            await self._pause()

    async def _pause(self) -> None:
        """Return when somebody may be due; a request that is new is, after a moment."""
        tick_s = self._tick_s()
        idle_s = min(IDLE_S, self._next_due_at - self._loop.time())
        if idle_s <= tick_s:
            await asyncio.sleep(tick_s)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(idle_s):
                await self._tracker.changed.wait()
        await asyncio.sleep(min(tick_s, LOOK_S * len(self._tracker.requests)))

    def interval_s(self) -> float:
        """Return the seconds between two polls of a request that may be done."""
        return max(self.floor_s, self._needed / self._budget)

    def _tick_s(self) -> float:
        return max(TICK_S, self.interval_s() / TICKS_PER_INTERVAL)

    def _is_affordable(self) -> bool:
        """Take one poll out of the budget; False while it is spent. Intervals keep to it only once requests are spread over them."""
        now = self._loop.time()
        if self._free_at > now:
            return False
        self._free_at = max(self._free_at, now - max(BURST_S, self._tick_s())) + 1 / self._budget
        return True

    def _interval_of(self, tracked: Tracked) -> float:
        if tracked.is_streamed:
            return STREAMED_S
        interval_s, early_s = self.interval_s(), tracked.late_at - self._loop.time()
        if early_s <= 0:
            return interval_s
        return min(max(self.floor_s, EARLY_FACTOR * self._needed / self._budget), max(early_s, interval_s))

    def _due(self) -> Iterable[Tracked]:
        """Return who is to be asked now, longest due first; and count how many polls an interval all together need."""
        now = self._loop.time()
        due, early, streamed, next_due_at = list[Tracked](), 0, 0, float("inf")
        for tracked in self._tracker.requests.values():
            if tracked.is_streamed:
                streamed += 1
            else:
                early += tracked.late_at > now
            if tracked.is_asked:
                continue
            if tracked.due_at <= now:
                due.append(tracked)
            next_due_at = min(next_due_at, tracked.due_at)
        self._next_due_at = next_due_at
        self._needed = len(self._tracker.requests) - streamed - early + early / EARLY_FACTOR
        return sorted(due, key=lambda tracked: tracked.due_at)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        self._slots.release()

    async def _ask(self, tracked: Tracked) -> None:
        try:
            await self._asked_once(tracked)
        except Exception:
            # As at a task's boundary: it is asked again, more slowly, and the deadline ends it.
            tracked.due_at = self._loop.time() + max(self._trouble_pause_s, self.interval_s())
            log.exception("our own code fails at what fal answered", extra={"job_id": tracked.job.id, "index": tracked.index})
        finally:
            tracked.is_asked = False

    async def _asked_once(self, tracked: Tracked) -> None:
        receipt = tracked.request.receipt
        if receipt is None:
            return
        if known := self._streams.known(tracked):
            await self._tracker.tell(tracked, known)
            return
        try:
            status = await self._client.status(receipt)
        except ProviderBusy:
            tracked.due_at = self._loop.time() + max(self._trouble_pause_s, self.interval_s())
            return
        if status.state is FalState.COMPLETED:
            self._streams.beaten(tracked)
        if self._tracker.requests.get(tracked.key) is tracked:
            await self._tracker.take(tracked, status)
