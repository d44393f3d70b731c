"""`python -m workers.watcher`: one asyncio process that polls every request in flight at fal, and sweeps what crashes leave behind.

A lease in Redis keeps a second watcher idle; should two ever run, every effect is a compare-and-set, so only polls are wasted.
"""

from __future__ import annotations

import gc

# As in app/__main__.py.
gc.disable()

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from redis.exceptions import RedisError

from app.bootstrap import Services, check_addresses
from app.clients.events import IN_FLIGHT_CHANNEL, listen
from app.clients.fal.status import STATUS_TIMEOUT_S, FalStatusClient
from app.clients.lease import Lease
from app.config import BadSettings, load_settings
from app.domain.errors import GatewayError, StoreRefused
from app.logs import configure_logging
from app.services.catalog.model_files import REREAD_S
from registry.loader import RegistryError
from workers import alive
from workers.watcher.polling import FLOOR_S, TROUBLE_PAUSE_S, WEBHOOK_FLOOR_S, Poller
from workers.watcher.tracking import Tracker

gc.freeze()
gc.enable()

log = logging.getLogger("watcher")

RELOAD_S = 15.0
SWEEP_S = 1.0
#: The database looks for deliveries for one part of the time in so many.
LOOKED_SHARE = 20
#: Likewise with counting for reports.
TALLY_SHARE = 4
TRUST_S = 2.0
INDEX_PAUSE_S = 1.0
FORGET_S = 5.0
STORE_THREADS = 8
T = TypeVar("T")


class Watcher:
    """Loops beside each other: polling, sweeping, mending, and hearing of new requests. None waits for another."""

    def __init__(
        self,
        services: Services,
        stop: asyncio.Event,
        *,
        status_timeout_s: float = STATUS_TIMEOUT_S,
        trouble_pause_s: float = TROUBLE_PAUSE_S,
    ) -> None:
        self._services = services
        self._status_timeout_s = status_timeout_s
        self._trouble_pause_s = trouble_pause_s
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store")
        self._lease = Lease(services.redis)
        self.is_refused = False
        self._tracker = Tracker(services, self.in_thread)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run a blocking store or queue call beside the event loop."""
        return await self._loop.run_in_executor(self._threads, call)

    async def watch(self) -> None:
        settings = self._services.settings
        async with FalStatusClient(settings.fal_key, timeout_s=self._status_timeout_s) as client:
            poller = Poller(client, self._tracker, polls_per_second=settings.polls_per_second, trouble_pause_s=self._trouble_pause_s)
            threading.Thread(target=self._hear, name="in-flight", daemon=True).start()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(loop)
                    for loop in (
                        self._index(),
                        self._keep_lease(),
                        self._reload(),
                        self._sweep(),
                        self._deliver(),
                        self._mend(),
                        self._tally(),
                        self._forget(),
                        self._reread(),
                        self._trust(poller),
                        poller.poll(),
                    )
                ]
                await self._stop.wait()
                for task in tasks:
                    task.cancel()
        with contextlib.suppress(RedisError):
            self._lease.release()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._services.metrics.flush()

    async def _index(self) -> None:
        """Have the database proven and its indexes made once it answers; it may start after this process."""
        done = False
        while not done:
            with _surviving("indexes not checked"):
                try:
                    await self.in_thread(self._services.readiness.look)
                    done = True
                except StoreRefused as exc:
                    log.critical("%s", exc.message)
                    self.is_refused = True
                    self._stop.set()
            await asyncio.sleep(INDEX_PAUSE_S)

    async def _keep_lease(self) -> None:
        while True:
            held = await self.in_thread(self._lease.renew)
            if held != self._tracker.active:
                log.info("watching" if held else "another watcher is at work, standing by")
                self._tracker.activate(active=held)
                if held:
                    await self._reloaded()
            await asyncio.sleep(self._lease.renew_every_s)

    async def _reload(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_S)
            if self._tracker.active:
                await self._reloaded()

    async def _reloaded(self) -> None:
        with _surviving("in-flight requests could not be read"):
            await self._tracker.reload()

    async def _sweep(self) -> None:
        """Attend to due jobs every second, in bounded batches; a full batch is followed by the next at once."""
        while True:
            done = 0
            if self._tracker.active:
                with _surviving("sweep failed"):
                    done = await self.in_thread(self._services.recovery.sweep)
                    await self.in_thread(self._services.queue.mend)
            alive.show(self._services.settings.alive_file)
            await asyncio.sleep(SWEEP_S * random.uniform(0.8, 1.2) if done < 100 else 0)  # noqa: S311

    async def _deliver(self) -> None:
        """Have couriers told every second of what is due; where the database takes long to say so, less often: pictures come first."""
        while True:
            began = time.monotonic()
            if self._tracker.active:
                with _surviving("deliveries not looked after"):
                    await self.in_thread(self._services.courier.sweep)
            pause_s = max(SWEEP_S, LOOKED_SHARE * (time.monotonic() - began))
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311

    async def _mend(self) -> None:
        while True:
            with _surviving("no picture can be stored"):
                await self.in_thread(self._services.storage.ping)
            await asyncio.sleep(RELOAD_S)
            if self._tracker.active:
                with _surviving("mending failed"):
                    await self.in_thread(self._services.mend)
                with _surviving("durations not written"):
                    await self.in_thread(self._tracker.durations.flush)

    async def _tally(self) -> None:
        """Count every second what has ended, for the operator's reports; what takes long leaves the database to the pictures."""
        while True:
            began = time.monotonic()
            if self._tracker.active:
                with _surviving("reports fall behind"):
                    await self.in_thread(self._services.usage.confirm)
                    await self.in_thread(self._services.spend.advance)
                    await self.in_thread(self._tracker.measure)
            await asyncio.sleep(max(SWEEP_S, TALLY_SHARE * (time.monotonic() - began)) * random.uniform(0.8, 1.2))  # noqa: S311

    async def _forget(self) -> None:
        """Delete what has been kept long enough every few seconds, more often while there is much; the mending must not wait for it."""
        done = 0
        while True:
            await asyncio.sleep(SWEEP_S if done else FORGET_S)
            done = 0
            if self._tracker.active:
                with _surviving("what is to be deleted stays for now"):
                    done = await self.in_thread(self._services.forget)

    async def _reread(self) -> None:
        """Have other model files in use soon after they are there, standing by, too."""
        while True:
            await asyncio.sleep(REREAD_S)
            with _surviving("the model files could not be looked at"):
                await self.in_thread(self._services.model_files.look)

    async def _trust(self, poller: Poller) -> None:
        """Poll slowly while webhooks work; take over when they do not."""
        while self._services.settings.public_url:
            works = await self.in_thread(self._services.webhook_arrivals.are_recent)
            poller.floor_s = WEBHOOK_FLOOR_S if works else FLOOR_S
            await asyncio.sleep(TRUST_S)

    def _hear(self) -> None:
        """Hear of each submit as it happens; what is missed while Redis is away, the reload finds."""
        while not self._stop.is_set():
            try:
                for message in listen(self._services.redis, IN_FLIGHT_CHANNEL, on_subscribed=lambda: None, stop=self._stop.is_set):
                    if isinstance(job_id := message.get("jobId"), str):
                        asyncio.run_coroutine_threadsafe(self._heard(job_id), self._loop)
            except RedisError:
                log.warning("Redis does not answer, new requests are found by the reload meanwhile")
                threading.Event().wait(1)

    async def _heard(self, job_id: str) -> None:
        with _surviving("a new request could not be read"):
            await self._tracker.add(job_id)


@contextlib.contextmanager
def _surviving(what: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Log our own and the stores' failures and go on: the next round does it again. No loop ends the others by what one job holds."""
    try:
        yield
    except (GatewayError, RedisError):
        log.warning("%s, trying again", what, exc_info=True)
    except Exception:
        log.exception("%s: our own code fails, trying again", what)


async def watch(services: Services) -> int:
    """Watch until told to stop; return the exit status, 2 where the database must not be used."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watcher = Watcher(services, stop)
    await watcher.watch()
    return 2 if watcher.is_refused else 0


def main() -> int:
    try:
        settings = load_settings(os.environ, for_web=False)
        check_addresses(settings)
        services = Services(settings)
    except (BadSettings, RegistryError) as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - for the operator, before logging is set up
        return 2
    configure_logging(settings, process="watcher")
    return asyncio.run(watch(services))


if __name__ == "__main__":
    raise SystemExit(main())
