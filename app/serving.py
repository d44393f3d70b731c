"""Runs the web process."""

from __future__ import annotations

import logging

import eventlet
import eventlet.tpool
import eventlet.wsgi

from app import create_app
from app.api import sockets
from app.bootstrap import build_services
from app.config import Settings
from app.errors import StoreUnavailable
from app.logs import configure_logging
from app.stores.database import ensure_indexes

log = logging.getLogger("web")

#: eventlet's own defaults hold 1,024 connections and 50 waiting to be accepted: a burst of waiting requests needs more.
MAX_CONNECTIONS = 10_000
BACKLOG = 2048


def serve(settings: Settings) -> None:
    """Serve until told to stop. Stores may still be starting: requests that need them are answered with 503 until they are there."""
    configure_logging(settings, process="web")
    services = build_services(settings, offload=eventlet.tpool.execute)
    try:
        ensure_indexes(services.database)
    except StoreUnavailable:
        log.warning("the database does not answer yet")
    app = create_app(settings, services)
    sockets.init_app(app, settings)
    listener = eventlet.listen((settings.host, settings.port), backlog=BACKLOG)
    log.info("listening on http://%s:%d", *listener.getsockname()[:2])
    eventlet.wsgi.server(listener, app, log_output=False, debug=False, max_size=MAX_CONNECTIONS, url_length_limit=16384)
