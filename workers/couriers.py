"""The threads that bring deliveries, in a process of their own: pictures never wait for receivers, nor receivers for one another.

A lane, which is one endpoint, or one owner's orders at one host, is attended to by a few threads at most; each sends one delivery after the
other until nothing is due. A lane that is full is not waited for: those of its threads that go on, or the sweep, find what is left.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from app.clients.bounds import LANE_PLACES
from app.services.deliveries.courier import Courier

log = logging.getLogger("workers")

THREADS = 64


class Couriers:
    def __init__(self, courier: Courier, *, threads: int = THREADS) -> None:
        self._courier = courier
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="courier")
        self._free = threading.Semaphore(threads)
        self._at_work: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stopping = False

    def attend(self, lane: str) -> None:
        """Have a thread begin with a lane, unless it has as many as it may; waits while all are taken."""
        self._courier.begin(lane)
        self._start(lane, wait=True)

    def close(self) -> None:
        """Begin nothing more, and wait for what is on its way."""
        self._stopping = True
        self._pool.shutdown(wait=True)

    def _start(self, lane: str, *, wait: bool) -> None:
        with self._lock:
            if self._at_work[lane] >= LANE_PLACES:
                return
            self._at_work[lane] += 1
        if self._free.acquire(blocking=wait):
            self._pool.submit(self._work, lane)
        else:
            self._leave(lane)

    def _work(self, lane: str) -> None:
        try:
            while not self._stopping and self._courier.deliver_next(lane, claimed=lambda: self._help(lane)):
                pass
        except Exception:
            # A thread's boundary: what was claimed is sent again when its claim has run out.
            log.exception("deliveries interrupted, the sweep repeats them", extra={"lane": lane})
        finally:
            self._free.release()
            self._leave(lane)

    def _help(self, lane: str) -> None:
        """Have another thread begin where there is more to send: what was just claimed may take a while."""
        if not self._stopping and self._at_work[lane] < LANE_PLACES and self._courier.has_more(lane):
            self._start(lane, wait=False)

    def _leave(self, lane: str) -> None:
        with self._lock:
            self._at_work[lane] -= 1
            if not self._at_work[lane]:
                del self._at_work[lane]
