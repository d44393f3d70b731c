"""A small stand-in for fal's platform API: bills, prices and descriptions in fal's own shapes, over HTTPS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from app.clients.fal.platform import FalPlatform
from scripts.fal_emulator.descriptions import IMAGE_SIZE, openapi
from tests.support.https_server import Call, Server, https_server

KEY = "an-admin-id:an-admin-secret"
BILLING, PRICING, OPENAPI = "/v1/models/billing-events", "/v1/models/pricing", "/openapi.json"


class PlatformServer:
    """`events`, `prices` and `documents` are what fal knows; `page` entries come in one answer."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.events: list[dict[str, Any]] = []
        self.prices: list[dict[str, Any]] = []
        self.documents: dict[str, Any] = {}
        self.page = 10_000
        self.refusals: list[tuple[int, Any]] = []
        server.call(BILLING, lambda call: self._list(call, "billing_events", "request_id", self.events))
        server.call(PRICING, lambda call: self._list(call, "prices", "endpoint_id", self.prices))
        server.call(OPENAPI, self._openapi)

    @property
    def environment(self) -> dict[str, str]:
        base = f"https://{self.server.host}"
        return {"FAL_API_URL": f"{base}/v1", "FAL_OPENAPI_URL": f"{base}{OPENAPI}", "FAL_ADMIN_KEY": KEY}

    @property
    def client(self) -> FalPlatform:
        env = self.environment
        return FalPlatform(api_url=env["FAL_API_URL"], openapi_url=env["FAL_OPENAPI_URL"], admin_key=KEY, pause_s=0.001, timeout_s=5)

    def queries(self, path: str) -> list[dict[str, list[str]]]:
        """Return the queries of every call to a path, oldest first."""
        return [parse_qs(urlsplit(seen[1]).query) for seen in self.server.seen if urlsplit(seen[1]).path == path]

    def bill(self, request_id: str, nano_usd: int | None, *, at: str = "2026-11-02T10:00:09Z", **more: Any) -> None:
        total = None if nano_usd is None else nano_usd / 1e9
        self.events.append(
            {
                "request_id": request_id,
                "endpoint_id": "fal-ai/flux/dev",
                "timestamp": at,
                "output_units": 1,
                "unit_price": 0.025,
                "percent_discount": None,
                "cost_subtotal": total,
                "cost_discount": 0,
                "cost_total": total,
                "cost_estimate_nano_usd": nano_usd,
                **more,
            }
        )

    def price(self, endpoint: str, amount: float, unit: str = "images", currency: str = "USD") -> None:
        self.prices.append({"endpoint_id": endpoint, "unit_price": amount, "unit": unit, "currency": currency})

    def _list(self, call: Call, key: str, id_key: str, entries: list[dict[str, Any]]) -> None:
        query = parse_qs(urlsplit(call.path).query)
        if self._refused(call):
            return
        if call.headers["Authorization"] != f"Key {KEY}":
            _answer(call, 403, {"error": {"type": "authorization_error", "message": "Admin API key required"}})
            return
        wanted = [entry for entry in entries if entry[id_key] in query[id_key] and _is_within(entry, query)]
        first = int(query.get("cursor", ["0"])[0])
        more = first + self.page < len(wanted)
        page = {key: wanted[first : first + self.page], "next_cursor": str(first + self.page) if more else None, "has_more": more}
        _answer(call, 200, page)

    def _openapi(self, call: Call) -> None:
        if self._refused(call):
            return
        document = self.documents.get(parse_qs(urlsplit(call.path).query)["endpoint_id"][0])
        _answer(call, 200 if document else 404, document)

    def _refused(self, call: Call) -> bool:
        if not self.refusals:
            return False
        _answer(call, *self.refusals.pop(0))
        return True


def _is_within(entry: dict[str, Any], query: dict[str, list[str]]) -> bool:
    if "timestamp" not in entry:
        return True
    start, end = (datetime.fromisoformat(query[name][0]) for name in ("start", "end"))
    return start <= datetime.fromisoformat(entry["timestamp"]) < end and (end - start).days < 90


def _answer(call: Call, status: int, body: Any) -> None:
    call.answer(status, body if isinstance(body, bytes) else json.dumps(body).encode(), Content_Type="application/json")


@contextmanager
def platform_server(tls_dir: Path) -> Iterator[PlatformServer]:
    with https_server(tls_dir) as server:
        yield PlatformServer(server)


def flux_dev(**changes: Any) -> dict[str, Any]:
    """Return the document of fal-ai/flux/dev; `changes` replace properties, None removes one."""
    properties = {
        "prompt": {
            "type": "string",
            "title": "Prompt",
            "description": "The prompt to generate an image from.",
            "examples": ['A "cat" in a hat\nat noon'],
        },
        "image_size": IMAGE_SIZE,
        "num_inference_steps": {
            "type": "integer",
            "minimum": 1,
            "maximum": 50,
            "default": 28,
            "description": "The number of inference steps.",
        },
        "seed": {
            "anyOf": [{"type": "integer"}, {"type": "null"}],
            "description": "The same seed\n            and prompt give the same image.",
        },
        "guidance_scale": {"type": "number", "minimum": 1.0, "maximum": 20.0, "default": 3.5},
        "sync_mode": {"type": "boolean", "default": False},
        "num_images": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1},
        "enable_safety_checker": {"type": "boolean", "default": True},
        "output_format": {"type": "string", "enum": ["jpeg", "png"], "default": "jpeg"},
        "acceleration": {"type": "string", "enum": ["none", "regular", "high"], "default": "none"},
        **changes,
    }
    return openapi("fal-ai/flux/dev", {name: value for name, value in properties.items() if value is not None}, ["prompt"])
