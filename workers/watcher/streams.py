"""News of requests in flight without asking: fal streams the state of each one, which is believed as long as it is prompt.

Whether it is, is learned: a few streams are opened beside the usual polls, and once they were first to tell of the end a few times in a
row, every request has one, up to a bound. All are still asked for, seldom, so that nothing is lost where a stream tells nothing; and every
so many as often as without a stream, which shows whether they are late. Then all are, and the streams are tried again a while later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from app.clients.fal.status import MAX_STREAMS, FalState, FalStatus, FalStatusClient
from app.domain import clock
from app.domain.errors import ProviderBusy
from workers.watcher.tracking import Tracked, Tracker

log = logging.getLogger("watcher")

#: Streams that are open while it is not known yet whether they are prompt.
PROBES = 4
TRUSTED_AFTER = 3
DISTRUSTED_S = 60.0
#: How long a stream may say nothing at first; how often a request with a stream is asked for all the same.
FIRST_WORD_S = 1.0
CHECK_S = 3.0
#: How much later than a poll a stream may tell of the end. Both at the same moment is no delay.
GRACE_S = 0.5
#: One of so many is asked for as if it had no stream.
SAMPLE = 20


@dataclass(eq=False)
class Following:
    """A stream that is open. Loop times: `asked_at` when fal was last asked, `gone_at` when the request was no longer tracked."""

    tracked: Tracked
    task: asyncio.Task[None]
    asked_at: float
    is_sample: bool
    told: FalStatus | None = None
    gone_at: float | None = None
    is_beaten: bool = False


class Streams:
    def __init__(self, client: FalStatusClient, tracker: Tracker) -> None:
        self._client = client
        self._tracker = tracker
        self._loop = asyncio.get_running_loop()
        self._open: dict[tuple[str, int], Following] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened = 0
        self._prompt = 0
        self._again_at = float("-inf")

    @property
    def are_trusted(self) -> bool:
        return self._prompt >= TRUSTED_AFTER

    def follow(self, tracked: Tracked) -> bool:
        """Open a request's stream, unless it had one or there are enough; tell whether it may do without a poll meanwhile."""
        room = (MAX_STREAMS if self.are_trusted else PROBES) - len(self._open)
        if tracked.was_followed or room <= 0 or self._loop.time() < self._again_at:
            return False
        tracked.was_followed = True
        task = self._loop.create_task(self._hear(tracked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._opened += 1
        self._open[tracked.key] = Following(tracked, task, asked_at=self._loop.time(), is_sample=self._opened % SAMPLE == 0)
        return self.are_trusted and self._opened % SAMPLE > 0

    def known(self, tracked: Tracked) -> FalStatus | None:
        """Return the last word of the stream that is relied on; None where fal has to be asked now."""
        following = self._of(tracked) if tracked.is_streamed else None
        if following is None:
            return None
        if self._loop.time() < following.asked_at + CHECK_S:
            return following.told
        following.asked_at = self._loop.time()
        return None

    def beaten(self, tracked: Tracked) -> None:
        """Note that a poll told of the end: the stream has a moment to tell of it too."""
        if following := self._of(tracked):
            following.is_beaten = True

    def tidy(self) -> None:
        """Close the streams of requests that are no longer tracked; one that should have told of the end by now is late."""
        now = self._loop.time()
        for key, following in list(self._open.items()):
            if self._tracker.requests.get(key) is following.tracked:
                continue
            following.gone_at = following.gone_at or now
            if now >= following.gone_at + GRACE_S:
                self._close(following)
                if following.is_beaten:
                    self._distrust("fal's streams are late")
                    break

    def _of(self, tracked: Tracked) -> Following | None:
        following = self._open.get(tracked.key)
        return following if following and following.tracked is tracked else None

    def _close(self, following: Following) -> None:
        self._forget(following)
        following.task.cancel()

    def _forget(self, following: Following) -> None:
        following.tracked.is_streamed = False
        self._open.pop(following.tracked.key, None)

    def _distrust(self, why: str) -> None:
        if self.are_trusted:
            log.warning("%s: requests are asked for as often as without them", why)
        for following in list(self._open.values()):
            self._ask_soon(following.tracked)
            self._close(following)
        self._prompt, self._again_at = 0, self._loop.time() + DISTRUSTED_S

    def _ask_soon(self, tracked: Tracked) -> None:
        if self.are_trusted:
            tracked.due_at = min(tracked.due_at, self._loop.time())
            self._tracker.changed.set()

    async def _hear(self, tracked: Tracked) -> None:
        try:
            await self._heard(tracked)
        except Exception:
            log.exception("our own code fails at what fal streamed", extra={"job_id": tracked.job.id, "index": tracked.index})
        finally:
            if following := self._of(tracked):
                self._forget(following)
                self._ask_soon(tracked)

    async def _heard(self, tracked: Tracked) -> None:
        receipt = tracked.request.receipt
        if receipt is None:
            return
        try:
            async with contextlib.aclosing(self._client.states(receipt)) as states:
                async for status in states:
                    await self._take(tracked, status)
        except ProviderBusy:
            following = self._of(tracked)
            if following and following.told is None:
                self._distrust("fal streams nothing")

    async def _take(self, tracked: Tracked, status: FalStatus) -> None:
        following = self._of(tracked)
        if following is None:
            return
        following.told = status
        tracked.is_streamed = self.are_trusted and not following.is_sample
        if status.state is FalState.COMPLETED:
            self._prompt += 1
            self._forget(following)  # What follows must not be cut off by `tidy`.
            tracked.at_work_at = clock.now()  # It was at work until this moment, as far as anybody can tell.
        if self._tracker.requests.get(tracked.key) is tracked:
            await self._tracker.take(tracked, status)
