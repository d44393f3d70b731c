"""Runs the web process, and ends it gently."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import resource
import signal
import sys
from dataclasses import replace
from types import FrameType

import eventlet
import eventlet.tpool
from eventlet.greenio import GreenSocket

from app import create_app
from app.api import sockets
from app.bootstrap import Services, check_addresses
from app.clients.storage import Storage
from app.config import BadSettings, Settings
from app.domain import clock
from app.domain.errors import StorageUnavailable, StoreNotReady, StoreRefused, StoreUnavailable
from app.domain.pricing import losses
from app.logs import configure_logging
from app.services.catalog.model_files import REREAD_S
from app.stores.readiness import Readiness
from app.web import slow_clients as web_server
from app.web.slow_clients import LIMITS, Limits

log = logging.getLogger("web")

#: More than the bounds of `Limits` together let in: accepting never waits, so health checks get through. (eventlet's own is 1,024.)
MAX_CONNECTIONS = 16_000
#: Descriptors that are none of a client's: stores, files, logs.
OTHER_FILES = 200
BACKLOG = 4096
#: How often the database is looked at again, while it is fit for orders and while it is not.
LOOK_EVERY_S, LOOK_SOON_S = 15.0, 1.0
#: glibc keeps freed blocks below its threshold, which rises to 32 MB by itself: 20 password hashes of 19 MB each cost 300 MB for good.
MMAP_THRESHOLD_BYTES = 1024 * 1024
M_MMAP_THRESHOLD = -3  # malloc.h
#: A full collection stops every request for 0.1 to 0.2 s while thousands wait (measured). With Python's own (700, 10, 10) that is often.
GC_THRESHOLDS = (2_000, 20, 20)
#: How long a stopping process lets its requests finish.
DRAIN_S = 10.0


def serve(settings: Settings, limits: Limits = LIMITS) -> None:
    """Serve until told to stop. Stores may still be starting: requests that need them are answered with 503 until they are there.

    Raises StoreRefused where the database answers and is of a kind that must not be used.
    """
    configure_logging(settings, process="web")
    _give_back_large_blocks()
    check_addresses(settings)
    services = Services(settings, offload=eventlet.tpool.execute)
    _warn_of_losses(services)
    eventlet.spawn(_keep_looking, services.readiness, is_fit=_is_fit(services.readiness))
    eventlet.spawn(_prove_storage, services.storage)
    eventlet.spawn(_reread, services)
    app = create_app(settings, services)
    sockets.init_app(app, services.redis, ping_s=(limits.ping_interval_s, limits.ping_timeout_s), stranger_s=limits.stranger_s)
    _collect_less_garbage()
    listener = _listening(settings)
    log.info("listening on http://%s:%d", *listener.getsockname()[:2])
    pool, limits = eventlet.GreenPool(MAX_CONNECTIONS), _fitted(limits, anonymous=settings.allow_anonymous)
    server = eventlet.spawn(web_server.run, listener, app, pool, limits, settings.trusted_proxies)
    _wait_for_signal()
    log.info("stopping: no new connections, waiting requests are answered now")
    server.kill()
    listener.close()
    services.waiters.drain()
    with eventlet.Timeout(DRAIN_S, False):
        pool.waitall()
    services.metrics.flush()
    sys.stdout.flush()


def _listening(settings: Settings) -> GreenSocket:
    """Return the open socket. Raises BadSettings where nothing can listen there."""
    try:
        # Without SO_REUSEPORT, which would let another service that forgot to end answer every second request.
        return eventlet.listen((settings.host, settings.port), backlog=BACKLOG, reuse_port=False)
    except (OSError, TypeError, UnicodeError) as exc:  # The latter two: a name that cannot be written as one.
        raise BadSettings([f"HOST, PORT: cannot listen on {settings.host}:{settings.port} ({exc})"]) from exc


def _warn_of_losses(services: Services) -> None:
    for spec in services.registry:
        for loss in losses(spec, clock.now()):
            log.warning("may cost more than is charged: %s %s", spec.name, loss, extra={"model": spec.name})


def _fitted(limits: Limits, *, anonymous: bool) -> Limits:
    """Return the limits that this process can keep: each connection is a descriptor. Where everybody may call, nobody is a stranger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else max(100, hard - OTHER_FILES)
    # A rush of heads may take four times what waits; the rest is for requests, and a reserve.
    waiting, busy = min(limits.waiting, room // 16), min(limits.busy, room // 2)
    fitted = replace(limits, waiting=waiting, busy=busy, busy_of_one=min(limits.busy_of_one, busy * 3 // 4))
    return replace(fitted, strangers=busy, strangers_of_one=fitted.busy_of_one) if anonymous else fitted


def _give_back_large_blocks() -> None:
    """Have the C library return large blocks to the system as soon as they are freed; others than glibc do so anyway."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)


def _collect_less_garbage() -> None:
    """Leave all that was made until now, which lives as long as the process, out of every collection; and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _is_fit(readiness: Readiness) -> bool:
    """Look whether the database is fit for orders. Raises StoreRefused: that one never will be."""
    try:
        readiness.look()
    except StoreRefused:
        raise
    except StoreNotReady as exc:
        log.critical("%s", exc.message)
        return False
    except StoreUnavailable:
        log.warning("the database does not answer yet")
        return False
    return True


def _keep_looking(readiness: Readiness, *, is_fit: bool) -> None:
    """Look for ever: the database may start late, be mended, or lose an index, and a lost unique one lets one order become two."""
    while True:
        eventlet.sleep(LOOK_EVERY_S if is_fit else LOOK_SOON_S)
        try:
            is_fit = _is_fit(readiness)
        except StoreRefused as exc:
            log.critical("%s", exc.message)
            is_fit = False


def _reread(services: Services) -> None:
    """Have other model files in use soon after they are there."""
    while True:
        eventlet.sleep(REREAD_S)
        try:
            if services.model_files.look():
                _warn_of_losses(services)
        except Exception:
            log.exception("the model files could not be looked at, trying again")  # A loop's boundary: it must go on.


def _prove_storage(storage: Storage) -> None:
    """Say at the start, and not at the first picture, that none can be stored."""
    try:
        storage.ping()
    except StorageUnavailable as exc:
        log.error("no picture can be stored: %s", exc.message)  # noqa: TRY400 - what lies behind is in the line before


def _wait_for_signal() -> None:
    stopped = eventlet.Event()

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
        if not stopped.ready():
            # Not from inside the handler: it may have interrupted the hub itself.
            eventlet.hubs.get_hub().schedule_call_global(0, stopped.send)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    stopped.wait()
