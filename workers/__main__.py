"""`python -m workers`: a parent that keeps `WORKERS` persistent RQ workers alive, and one more that brings webhooks to their receivers.

RQ's own pool always runs its scheduler and cannot recycle, hence these lines. The parent imports everything once and opens nothing; its
children inherit the warm modules by fork and build their own clients.
"""

from __future__ import annotations

import gc

# As in app/__main__.py.
gc.disable()

import contextlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import FrameType
from typing import NamedTuple, NoReturn

from redis.exceptions import RedisError
from rq import Queue
from rq.serializers import JSONSerializer

from app.bootstrap import check_addresses, check_receipts, read_models
from app.clients.outgoing import tls_context
from app.clients.queue import SHIFT_QUEUE, WEBHOOK_QUEUE, WORKER_TTL_S
from app.clients.redis import connect_worker
from app.config import BadSettings, Settings, load_settings
from app.domain.errors import StoreRefused, StoreUnavailable
from app.logs import configure_logging
from app.services.catalog.model_files import REREAD_S
from registry.loader import RegistryError
from workers import alive, tasks
from workers.worker import PersistentWorker

gc.freeze()
gc.enable()

log = logging.getLogger("workers")

PAINTER_QUEUES, COURIER_QUEUES = (SHIFT_QUEUE,), (WEBHOOK_QUEUE,)
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
RECYCLE_AFTER_TASKS = 1000
RESTART_PAUSE_S = 1.0
REDIS_PAUSE_S = 1.0
#: How often workers are told to stop until they have ended, and how soon one that died early is replaced at the latest.
AGAIN_S = 1.0
#: What a worker ends with whose database must not be used: another one would find the same.
REFUSED = 2
PARENT_LOOK_S = 2.0
REPLAY_EVERY_S = 30.0


def main() -> int:
    try:
        settings = load_settings(os.environ, for_web=False)
        # Read here, a fault ends the start, and not every worker in turn.
        tasks.inherited = read_models(settings)
        check_addresses(settings)
        check_receipts(settings)
    except (BadSettings, RegistryError) as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - for the operator, before logging is set up
        return 2
    if settings.storage_url.startswith("s3:"):
        import app.clients.bucket  # noqa: F401, PLC0415 - here once, and not in each child
    configure_logging(settings, process="worker")
    if not settings.secrets_key:
        log.warning("no webhook can be signed here: set SECRETS_KEY, or JWT_SECRET, as in the web process")
    return Parent(settings).supervise()


class Child(NamedTuple):
    queues: tuple[str, ...]
    since: float


class Parent:
    """Forks the workers, replaces the dead, and passes on the wish to stop: each worker finishes its task first.

    Signals only note what is to be done and wake the one wait, also where they come just before it; so none comes too early. A wish to
    stop is told again until the last worker has ended: one that was lost in a worker, at whatever moment it came, is only late.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._children: dict[int, Child] = {}
        self._stopping = False
        self._status = 0
        self._fork_from = 0.0
        self._woken, self._wake = socket.socketpair()

    def supervise(self) -> int:
        self._listen()
        tls_context()  # Made here, the workers share it.
        while not self._stopping or self._children:
            if self._stopping:
                self._pass_on()
            while not self._stopping and time.monotonic() >= self._fork_from and (queues := self._missing()):
                self._fork(queues)
            self._wait(AGAIN_S if self._stopping or self._missing() else None)
            self._reap()
        return self._status

    def _listen(self) -> None:
        for end in (self._woken, self._wake):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _wait(self, timeout_s: float | None) -> None:
        """Return once a signal has come since the last wait, or the time is over."""
        if select.select([self._woken], [], [], timeout_s)[0]:
            self._woken.recv(4096)

    def _missing(self) -> Sequence[str] | None:
        """Return what a worker that is missing takes; None while all are there."""
        counts = Counter(child.queues for child in self._children.values())
        wanted = {PAINTER_QUEUES: self._settings.workers, COURIER_QUEUES: 1}
        return next((queues for queues, count in wanted.items() if counts[queues] < count), None)

    def _fork(self, queues: Sequence[str]) -> None:
        # Signals are held back meanwhile, lest this parent's handlers swallow in the child what is meant for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        if (pid := os.fork()) == 0:
            self._become_worker(queues)
        self._children[pid] = Child(tuple(queues), time.monotonic())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _become_worker(self, queues: Sequence[str]) -> NoReturn:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (*STOP_SIGNALS, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            status = work(self._settings, parent=os.getppid(), queues=queues)
        except Exception:
            log.exception("a worker cannot go on")  # Nothing above this would print it: `_exit` does not.
        finally:
            logging.shutdown()
            os._exit(status)

    def _reap(self) -> None:
        """Take note of every worker that has ended."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._note_end(*ended)

    def _note_end(self, pid: int, status: int) -> None:
        lived_s = time.monotonic() - self._children.pop(pid, Child((), 0.0)).since
        if os.waitstatus_to_exitcode(status) == REFUSED:
            self._status, self._stopping = REFUSED, True
        if status and not self._stopping:
            log.error("a worker died and is replaced", extra={"worker_pid": pid, "wait_status": status})
            if lived_s < RESTART_PAUSE_S:
                self._fork_from = time.monotonic() + RESTART_PAUSE_S

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's signature
        self._stopping = True

    def _pass_on(self) -> None:
        for pid in self._children:  # None of them is waited for elsewhere: each still has its number.
            os.kill(pid, signal.SIGTERM)


def work(settings: Settings, *, parent: int, queues: Sequence[str] = PAINTER_QUEUES) -> int:
    """Run one worker until it is recycled or told to stop; Redis may come and go meanwhile."""
    redis = connect_worker(settings.redis_url)
    taken = [Queue(name, connection=redis, serializer=JSONSerializer) for name in queues]
    try:
        tasks.services().readiness.prove()
    except StoreRefused as exc:
        log.critical("%s", exc.message)
        return REFUSED
    except StoreUnavailable:
        log.warning("the database does not answer yet")  # Proven before the first order is sent.
    threading.Thread(target=_follow, args=(parent,), name="parent", daemon=True).start()
    if WEBHOOK_QUEUE not in queues:
        threading.Thread(target=_replay, name="receipts", daemon=True).start()
    threading.Thread(target=_reread, name="models", daemon=True).start()
    done = 0
    while done < RECYCLE_AFTER_TASKS and os.getppid() == parent:
        tasks.hand = worker = PersistentWorker(taken, connection=redis, serializer=JSONSerializer, worker_ttl=WORKER_TTL_S)
        worker.alive_file, worker.recycle_after = settings.alive_file, RECYCLE_AFTER_TASKS - done
        try:
            worker.work(logging_level="WARNING")
            break
        except RedisError:
            log.warning("Redis does not answer, the worker tries again", exc_info=True)
            alive.show(settings.alive_file)
            if worker.is_told_to_stop:
                break
            time.sleep(REDIS_PAUSE_S)
        done += worker.tasks_run
    if WEBHOOK_QUEUE in queues:
        tasks.couriers().close()
    tasks.services().metrics.flush()
    return 0


def _replay() -> None:
    """Take in, at the start and for ever, what was bought while the database was away, by this worker or by one that was killed."""
    while True:
        try:
            tasks.services().dispatcher.replay()
        except Exception:
            log.exception("receipts could not be taken in, trying again")  # A thread's boundary: it must not end with one bad receipt.
        time.sleep(REPLAY_EVERY_S)


def _reread() -> None:
    """Have other model files in use soon after they are there."""
    while True:
        time.sleep(REREAD_S)
        try:
            tasks.services().model_files.look()
        except Exception:
            log.exception("the model files could not be looked at, trying again")  # A thread's boundary.


def _follow(parent: int) -> None:
    """End this worker, after its task, when its parent is gone: nobody would recycle or stop it any more."""
    while True:
        time.sleep(PARENT_LOOK_S)
        if os.getppid() != parent:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)  # Again and again, as the parent would.


if __name__ == "__main__":
    raise SystemExit(main())
