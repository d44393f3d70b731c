"""Is the process alive, and can it work. Neither needs a credential nor reveals anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Blueprint, Response, jsonify

from app.api.http.access import open_to_all
from app.api.http.context import services
from app.clients import redis as redis_connection
from app.clients.fal.breaker import ACCOUNT
from app.domain.errors import GatewayError

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@open_to_all
def alive() -> Response:
    """Answer 200 without touching anything."""
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
@open_to_all
def ready() -> Response:
    """Answer 200 where every store can be worked with, else 503; trouble at fal degrades, but jobs wait for it and are accepted."""
    checks = {
        "mongo": _check(services().readiness.check),
        "redis": _check(lambda: redis_connection.ping(services().redis)),
        "storage": _check(services().storage.ping),
    }
    body = {"checks": checks, "details": {"provider": _provider(services().breaker.pauses())}}
    response = jsonify(body)
    response.status_code = 200 if all(check == "ok" for check in checks.values()) else 503
    return response


def _provider(pauses: Mapping[str, str]) -> str:
    """Say what pauses and why: the reason alone for the whole account, else with each endpoint's name."""
    if not pauses:
        return "ok"
    told = [reason if name == ACCOUNT else f"{reason} ({name})" for name, reason in pauses.items()]
    return f"submits are paused: {', '.join(told)}"


def _check(ping: Callable[[], None]) -> str:
    try:
        ping()
    except GatewayError as exc:
        return exc.message
    return "ok"
