"""The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header-07): quoted as the draft says, or bare as most clients do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request

from app.api.http.auth import caller
from app.domain.errors import FieldError, InvalidRequest
from app.services.orders.order import OrderKey, order_key

HEADER = "Idempotency-Key"
MAX_KEY_CHARS = 255


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


def order_key_of(body: Mapping[str, Any]) -> OrderKey | None:
    """Return what makes this request one order with its repeats, or None where it sends no key."""
    key = idempotency_key()
    if key is None:
        return None
    return order_key(caller=caller().identity, route=f"{request.method} {request.path}", key=key, body=body)


def marked(response: Response, *, replayed: bool) -> Response:
    """Say so where the answer is an earlier request's."""
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response
