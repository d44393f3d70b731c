"""What every request gets: an id, a log line, headers; and how bodies and preferences are read."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any, NoReturn

import marshmallow as ma
import structlog
from flask import Flask, Request, Response, g, request
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser

from app.api.bodies import json_body
from app.api.deferred import Deferred
from app.errors import CallerError, FieldError, InvalidRequest

log = logging.getLogger("http")

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
MAX_JSON_DEPTH = 32
#: 500 orders with all their options are some 20,000.
MAX_JSON_VALUES = 100_000
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


class UnsupportedMediaType(CallerError):
    code = "unsupported_media_type"


def init_app(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_finish)


def _begin() -> None:
    offered = request.headers.get("X-Request-Id", "")
    g.request_id = offered if REQUEST_ID.fullmatch(offered) else str(uuid.uuid4())
    g.started_at, g.received_at = time.perf_counter(), time.time()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if request.path.startswith("/api/"):
        # Bodies hold links that expire, and other people's words.
        response.headers.setdefault("Cache-Control", "private, no-store")
    if isinstance(response, Deferred):
        return response  # Its answer comes here too.
    if "caller" in g and (visit := request.environ.get("imagegw.visit")):
        visit.is_caller = True  # Its connection may be kept for longer than a stranger's.
    g.seconds = round(time.perf_counter() - g.started_at, 4)
    if request.path not in ("/healthz", "/readyz", "/metrics"):
        log.info(
            "%s %s %d",
            request.method,
            request.path,
            response.status_code,
            extra={"method": request.method, "status": response.status_code, "seconds": g.seconds, "address": request.remote_addr},
        )
    return response


class StrictParser(FlaskParser):
    """Reads JSON bodies strictly, and says where in the body something is wrong."""

    DEFAULT_VALIDATION_STATUS = 400
    #: webargs would drop unknown query parameters: with a typo in `userId` a list would be everybody's. The schema decides.
    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": None}  # noqa: RUF012 - webargs' own attribute

    def load_json(self, req: Request, schema: ma.Schema) -> Any:  # noqa: ARG002 - webargs' signature
        if req.mimetype != "application/json":
            raise UnsupportedMediaType("Send the body as JSON, with the header Content-Type: application/json")
        return json_body(req, parse_json)

    def handle_error(self, error: ma.ValidationError, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002
        raise refusal_of(error)


class ApiBlueprint(Blueprint):  # type: ignore[misc]
    """The base of every documented blueprint."""

    ARGUMENTS_PARSER = StrictParser()


class BodySchema(ma.Schema):
    """A request body or query: unknown names are refused, and the refusal lists the known ones."""

    class Meta:  # noqa: D106 - marshmallow's place for options
        unknown = ma.RAISE

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        known = ", ".join(sorted(field.data_key or name for name, field in self.fields.items()))
        self.error_messages = {**self.error_messages, "unknown": f"Unknown field. Allowed: {known}."}


def parse_json(content: bytes) -> Any:
    """Return the parsed body. Raises InvalidRequest for broken JSON, NaN, doubled names, absurd depth and too many values."""
    # Counted before they are made: each takes some 100 bytes and the loop's time, and a byte of text can be one.
    if sum(content.count(mark) for mark in b",[{") > MAX_JSON_VALUES:
        raise InvalidRequest(f"The body has more than {MAX_JSON_VALUES} values")
    try:
        body = json.loads(content, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except RecursionError as exc:
        raise InvalidRequest("The body is nested too deeply") from exc
    except (ValueError, UnicodeDecodeError) as exc:
        raise InvalidRequest(f"The body is not valid JSON: {exc}") from exc
    if _depth(body) > MAX_JSON_DEPTH:
        raise InvalidRequest("The body is nested too deeply")
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object")
    return body


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [item for node in level if isinstance(node, dict | list) for item in (node.values() if isinstance(node, dict) else node)]
    return depth


def refusal_of(error: ma.ValidationError) -> InvalidRequest:
    """Turn marshmallow's nested messages into one sentence and a list of JSON pointers."""
    messages = error.messages if isinstance(error.messages, dict) else {"json": error.messages}
    errors = [entry for part in messages.values() for entry in _flattened(part, "")]
    text = "; ".join(f"{e.pointer.lstrip('/') or 'body'}: {e.detail}" for e in errors[:5])
    return InvalidRequest(text or "The request is not valid", errors)


def _flattened(messages: Any, pointer: str) -> list[FieldError]:
    if isinstance(messages, dict):
        parts = [(f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}", inner) for name, inner in messages.items()]
        return [entry for where, inner in parts for entry in _flattened(inner, where.removesuffix("/_schema"))]
    if isinstance(messages, list):
        return [FieldError(pointer, str(message)) for message in messages]
    return [FieldError(pointer, str(messages))]


@dataclass(frozen=True)
class Preference:
    """What `Prefer` (RFC 7240) asks for; unknown preferences are ignored, never an error."""

    respond_async: bool = False
    wait_s: float | None = None
    applied: str | None = None


def preference_of(req: Request, *, longest_s: float) -> Preference:
    """Read `Prefer: respond-async, wait=N`; both together mean: answer async unless done within N seconds."""
    wanted: dict[str, str] = {}
    for item in ",".join(req.headers.getlist("Prefer")).split(","):
        name, _, value = item.partition(";")[0].partition("=")
        wanted.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = wanted.get("wait")
    if wait is not None and ((wait.isascii() and wait.isdigit()) or wait == ""):
        seconds = min(float(wait), longest_s) if wait else longest_s
        return Preference("respond-async" in wanted, seconds, f"wait={seconds:g}" if wait else "wait")
    if "respond-async" in wanted:
        return Preference(respond_async=True, wait_s=0.0, applied="respond-async")
    return Preference()
