"""Endpoints and deliveries with defaults, so that a test shows only what matters to it."""

from __future__ import annotations

import uuid
from typing import Any

from app.domain import clock
from app.domain.delivery import Delivery
from app.domain.endpoint import OPERATOR, Endpoint


def an_endpoint(**fields: Any) -> Endpoint:
    now = clock.now()
    defaults: dict[str, Any] = {
        "id": clock.new_id(),
        "owner": OPERATOR,
        "url": "https://example.com/hook",
        "events": ("*",),
        "created_at": now,
        "updated_at": now,
    }
    return Endpoint(**{**defaults, **fields})


def a_delivery(endpoint: Endpoint, **fields: Any) -> Delivery:
    """Return what is to be sent to an endpoint, or was."""
    now = clock.now()
    defaults: dict[str, Any] = {
        "id": f"msg_{uuid.uuid4().hex[:26]}",
        "owner": endpoint.owner,
        "type": "job.completed",
        "body": "{}",
        "url": endpoint.url,
        "lane": endpoint.id,
        "endpoint_id": endpoint.id,
        "created_at": now,
        "log_days": 30,
        "done_at": now,
    }
    return Delivery(**{**defaults, **fields})
