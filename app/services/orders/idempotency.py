"""One order per `Idempotency-Key`: what makes two requests the same, and whose key it is. Pure.

The job itself is the record: its `orderKey` is unique, so the write that creates the job also decides who was first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

#: How long a key is kept; afterwards it may be used for a new order.
KEPT = timedelta(hours=24)


@dataclass(frozen=True)
class OrderKey:
    """`id` is unique per caller, route and key; `fingerprint` tells whether the body is the same."""

    id: str
    fingerprint: str


def order_key(*, caller: str, route: str, key: str, body: Mapping[str, Any]) -> OrderKey:
    scope = json.dumps([caller, route, key])
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
    return OrderKey(_digest(scope), _digest(canonical))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
