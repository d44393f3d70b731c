"""Is the process alive, and can it work. Neither needs a credential nor reveals anything."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, jsonify

from app.api.context import services
from app.clients import queue
from app.errors import GatewayError
from app.stores import database

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def alive() -> Response:
    """Answer 200 without touching anything."""
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
def ready() -> Response:
    """Answer 200 where every store answers, else 503; trouble at fal degrades, but jobs wait for it and are accepted."""
    checks = {
        "mongo": _check(lambda: database.ping(services().database)),
        "redis": _check(lambda: queue.ping(services().redis)),
        "storage": _check(services().storage.ping),
    }
    pause = services().breaker.reason()
    body = {"checks": checks, "details": {"provider": f"submits are paused: {pause}" if pause else "ok"}}
    response = jsonify(body)
    response.status_code = 200 if all(check == "ok" for check in checks.values()) else 503
    return response


def _check(ping: Callable[[], None]) -> str:
    try:
        ping()
    except GatewayError as exc:
        return exc.message
    return "ok"
