"""Reading bodies: after the credential, never more than the route takes, and where they are large, off the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, request
from werkzeug.exceptions import RequestEntityTooLarge

from app.api.http.auth import caller
from app.api.http.context import services
from app.api.http.strict_json import PACKED, UnsupportedMediaType
from app.domain.errors import InvalidRequest
from app.domain.places import Places

SMALL_BYTES = 16 * 1024
PROMPT_BYTES = 64 * 1024
ORDER_BYTES = 32 * 1024 * 1024
WEBHOOK_BYTES = 8 * 1024 * 1024
#: What a route takes, where that is more than a few fields. Orders may carry pictures as data URIs; a form with a file has its own limit.
ROUTE_BYTES = {
    "images.generate": ORDER_BYTES,
    "images.estimate_cost": ORDER_BYTES,
    "batches.create_batch": ORDER_BYTES,
    "generations.text_to_image": PROMPT_BYTES,
    "generations.image_reference": PROMPT_BYTES,
    "webhooks.fal_called": WEBHOOK_BYTES,
}
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})

#: A body above this is parsed in a thread of its own; so many at once, since each takes several times its size in memory.
LARGE_BYTES = 256 * 1024
LARGE_AT_ONCE, LARGE_OF_ONE, LARGE_IN_LINE, LARGE_WAIT_S = 6, 4, 200, 20.0
large_bodies = Places(LARGE_AT_ONCE, each=LARGE_OF_ONE, waiting=LARGE_IN_LINE)


def init_app(app: Flask) -> None:
    app.before_request(_bounded)


def _bounded() -> None:
    """Bound what may be read of the body; the credential has been asked for by now."""
    if request.endpoint is None or request.method not in METHODS_WITH_BODY:
        return
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(PACKED)
    request.max_content_length = ROUTE_BYTES.get(request.endpoint, SMALL_BYTES)


def json_body(req: Request, parse: Callable[[bytes], Any]) -> Any:
    """Return what `parse` makes of a request's body. Raises Busy while too many large ones are read."""
    if not _is_large(req):
        return parse(read_body(req))
    with large_bodies.taken(caller().identity, wait_s=LARGE_WAIT_S):
        return services().offload(parse, read_body(req))


def read_body(req: Request) -> bytes:
    """Return a body whole, announced or chunked. Raises InvalidRequest for one that breaks off."""
    if is_chunked(req):
        return _chunked(req, req.max_content_length or SMALL_BYTES)
    body = req.get_data(cache=True)
    if req.content_length is not None and len(body) < req.content_length:
        raise InvalidRequest("The body is shorter than its Content-Length")
    return body


def end_chunked_body(req: Request) -> None:
    """Let a chunked body be read to its end: the server knows it, but does not say so, and werkzeug would take it for an empty one."""
    if is_chunked(req):
        req.environ["wsgi.input_terminated"] = True


def is_chunked(req: Request) -> bool:
    return "eventlet.input" in req.environ and "HTTP_TRANSFER_ENCODING" in req.environ


def _chunked(req: Request, limit: int) -> bytes:
    """Read a chunked body; werkzeug's own reader would cut a longer one short, and say nothing."""
    body: bytes = req.environ["wsgi.input"].read(limit + 1)
    if len(body) > limit:
        raise RequestEntityTooLarge
    return body


def _is_large(req: Request) -> bool:
    """Tell whether a body is, or may be, large; a chunked one on a route with room for it may."""
    expected = req.max_content_length if is_chunked(req) else req.content_length
    return (expected or 0) > LARGE_BYTES
