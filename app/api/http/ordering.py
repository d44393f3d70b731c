"""What all routes share that take an order: its `Idempotency-Key`, and how long the web process takes to accept and to answer it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from flask import g, request

from app.api.http import services
from app.api.http.auth import caller
from app.api.schemas.fields import MAX_USER_ID_CHARS
from app.domain import clock
from app.domain.errors import FieldError, InvalidRequest
from app.domain.job import Job
from app.services.fulfilment.stages import Stage
from app.services.orders.order import OrderKey, order_key
from app.services.orders.submit import Accepted

HEADER = "Idempotency-Key"
MAX_KEY_CHARS = 255
IDEMPOTENCY_KEY = {
    "in": "header",
    "name": HEADER,
    "description": "Any text of your own for this order: the same request with the same key is one order, however often it is sent.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS},
}


def idempotency_key() -> str | None:
    """Return the request's key. Raises InvalidRequest for one that cannot be used."""
    text = request.headers.get(HEADER)
    if text is None:
        return None
    key = text.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not 1 <= len(key) <= MAX_KEY_CHARS or not key.isprintable():
        detail = f"Use 1 to {MAX_KEY_CHARS} printable characters"
        raise InvalidRequest(f"{HEADER}: {detail}", [FieldError(f"/{HEADER}", detail)])
    return key


def checked_user(user_id: str, header: str) -> str:
    """Return whom a header names. Raises InvalidRequest for what is no user's name."""
    if not (1 <= len(user_id) <= MAX_USER_ID_CHARS and user_id.isprintable()):
        detail = f"Use 1 to {MAX_USER_ID_CHARS} printable characters"
        raise InvalidRequest(f"{header}: {detail}", [FieldError(f"/{header}", detail)])
    return user_id


def order_key_of(body: Mapping[str, Any]) -> OrderKey | None:
    """Return what makes this request one order with its repeats, or None where it sends no key."""
    key = idempotency_key()
    if key is None:
        return None
    return order_key(caller=caller().identity, route=f"{request.method} {request.path}", key=key, body=body)


def replay_headers(*, replayed: bool) -> dict[str, str]:
    """Return the header that says so where the answer is an earlier request's."""
    return {"Idempotent-Replayed": "true"} if replayed else {}


def count_accept(accepted: Accepted) -> None:
    """Count how long this request's order took to be accepted; a repeated order was accepted before."""
    if not accepted.replayed:
        services().stages.took(accepted.job.model, Stage.ACCEPT, time.time() - g.received_at)


def count_answer(job: Job) -> None:
    """Count how long ago the job was done that this request is answered with."""
    services().stages.between(job.model, Stage.ANSWER, job.completed_at, clock.now())
