"""Answers in fal's own words, the right ones and the ordered failures."""

import asyncio
import json
import socket
import struct
from typing import Any

from aiohttp import web

from scripts.fal_emulator.faults import Fault

HANG_SECONDS = 3_600
SLOW_SECONDS = 5.0
HUGE_BYTES = 64 * 1024 * 1024
HTML = "<!doctype html><html><head><title>Welcome</title></head><body><h1>Sign in to the network</h1></body></html>"
NGINX = (
    "<html><head><title>503 Service Temporarily Unavailable</title></head><body>"
    "<center><h1>503 Service Temporarily Unavailable</h1></center><hr><center>nginx</center></body></html>"
)
_CHUNK = b"x" * 65_536

# kind -> status, body. An error_type is repeated in the header X-Fal-Error-Type, as fal does.
_FIXED: dict[str, tuple[int, Any]] = {
    "refuse_429": (429, {"detail": "Too many requests, try again later", "error_type": "concurrent_requests_limit"}),
    "error_500": (500, {"detail": "Internal server error", "error_type": "internal_error"}),
    "error_503": (503, {"detail": "No runner is available", "error_type": "runner_scheduling_failure"}),
    "error_504": (504, {"detail": "Request timed out", "error_type": "request_timeout"}),
    "locked_403": (
        403,
        {"detail": "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."},
    ),
    "restricted_403": (403, {"detail": "Access to this application is restricted"}),
    "bad_key_401": (401, {"detail": "No user found for Key ID and Secret"}),
    "bad_input_422": (422, {"detail": [{"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}]}),
    "html": (200, HTML),
    "error_503_nginx": (503, NGINX),
    "too_early": (400, {"detail": "Request is still in progress"}),
    "not_found": (404, {"status": "NOT_FOUND"}),
}


def answer(body: Any, status: int = 200, request_id: str | None = None, **headers: str) -> web.Response:
    """Return JSON, or a text as HTML; a request id stands in `x-fal-request-id`, on failures too (it stops fal-client's nginx rule)."""
    if isinstance(body, str):
        return web.Response(text=body, status=status, content_type="text/html")
    all_headers = {"x-fal-request-id": request_id} if request_id else {}
    all_headers.update(headers)
    return web.Response(body=json.dumps(body).encode(), status=status, headers=all_headers, content_type="application/json")


def json_object(raw: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a body, None when it is something else."""
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


async def misbehave(request: web.Request, fault: Fault | None, request_id: str) -> web.StreamResponse | None:
    """Carry out a failure of an answer; None when there is none of that kind. `answer` gives its `value`: a status, and a body."""
    kind = fault.kind if fault else ""
    if fault and kind == "answer" and isinstance(fault.value, dict):
        return answer(fault.value.get("body"), int(fault.value.get("status", 200)), request_id)
    if kind == "hang":
        await asyncio.sleep(HANG_SECONDS)
    if kind in {"hang", "drop", "drop_before_read", "drop_after_read"}:
        return drop(request)
    if kind == "huge":
        return await send_huge(request, b'{"request_id": "', b'"}', HUGE_BYTES, "application/json")
    if kind not in _FIXED:
        return None
    status, body = _FIXED[kind]
    response = answer(body, status, request_id)
    if "error_type" in body:
        response.headers["X-Fal-Error-Type"] = body["error_type"]
    return response


def drop(request: web.Request) -> web.Response:
    """Reset the connection; the response returned is for aiohttp only, nobody gets it."""
    if request.transport is not None:
        wire = request.transport.get_extra_info("socket")
        # Zero linger turns the close into a reset, with which a crashed host or a firewall answers.
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


async def send_huge(request: web.Request, head: bytes, tail: bytes, size: int, content_type: str) -> web.StreamResponse:
    """Answer with so many bytes between head and tail, without a declared length: whoever reads must count."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    await response.prepare(request)
    await response.write(head)
    for _ in range(size // len(_CHUNK)):
        await response.write(_CHUNK)
    await response.write(tail)
    return response
