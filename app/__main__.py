"""`python -m app`: serve the application. The only place that monkey-patches, before anything else is imported."""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import logging
import os
import sys

import eventlet.wsgi

from app import create_app
from app.bootstrap import build_services
from app.config import BadSettings, Settings, load_settings
from app.errors import StoreUnavailable
from app.logs import configure_logging
from app.stores.database import ensure_indexes
from registry.loader import RegistryError

log = logging.getLogger("web")

#: eventlet's own defaults hold 1,024 connections and 50 waiting to be accepted: a burst of waiting requests needs more.
MAX_CONNECTIONS = 10_000
BACKLOG = 2048


def main() -> int:
    try:
        settings = load_settings(os.environ)
        serve(settings)
    except (BadSettings, RegistryError) as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - for the operator
        return 2
    return 0


def serve(settings: Settings) -> None:
    """Serve until told to stop. Stores may still be starting: requests that need them are answered with 503 until they are there."""
    services = build_services(settings)
    configure_logging(settings, process="web")
    try:
        ensure_indexes(services.database)
    except StoreUnavailable:
        log.warning("the database does not answer yet")
    app = create_app(settings, services)
    listener = eventlet.listen((settings.host, settings.port), backlog=BACKLOG)
    log.info("listening on http://%s:%d", *listener.getsockname()[:2])
    eventlet.wsgi.server(
        listener,
        app,
        log_output=False,
        debug=False,
        max_size=MAX_CONNECTIONS,
        url_length_limit=16384,
        socket_timeout=None,
    )


if __name__ == "__main__":
    raise SystemExit(main())
