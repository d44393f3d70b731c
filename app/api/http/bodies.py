"""Reading bodies: after the credential, never more than the route takes, and where they are large, off the event loop."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from flask import Flask, Request, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from app.api.http import services
from app.api.http.auth import caller
from app.domain.errors import CallerError, FieldError, InvalidRequest, TooLarge
from app.domain.places import Places
from app.services.people.uploads import MAX_UPLOAD_BYTES

SMALL_BYTES = 16 * 1024
PROMPT_BYTES = 64 * 1024
ORDER_BYTES = 32 * 1024 * 1024
WEBHOOK_BYTES = 8 * 1024 * 1024
#: What a route takes, where that is more than a few fields. Orders may carry pictures as data URIs; a form with a file has its own limit.
ROUTE_BYTES = {
    "images.generate": ORDER_BYTES,
    "images.estimate_cost": ORDER_BYTES,
    "jobs.retry_job": PROMPT_BYTES,
    "jobs.note_job": PROMPT_BYTES,
    "pictures.archive_pictures": PROMPT_BYTES,
    "admin-jobs.retry_jobs": PROMPT_BYTES,
    "deliveries.create_webhook": PROMPT_BYTES,
    "deliveries.change_webhook": PROMPT_BYTES,
    "batches.create_batch": ORDER_BYTES,
    "batches.estimate_batch": ORDER_BYTES,
    "generations.text_to_image": PROMPT_BYTES,
    "generations.image_reference": ORDER_BYTES,
    "webhooks.fal_called": WEBHOOK_BYTES,
    "fal.submit": ORDER_BYTES,
    "fal.run": ORDER_BYTES,
    "fal.stream": ORDER_BYTES,
    "fal.upload": MAX_UPLOAD_BYTES,
    "fal_more.put_file": MAX_UPLOAD_BYTES,
    "openai.create_image": ORDER_BYTES,
    "openai.edit_image": ORDER_BYTES,
    "openai_also.create_image": ORDER_BYTES,
    "openai_also.edit_image": ORDER_BYTES,
    "mcp.called": ORDER_BYTES,
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


MAX_JSON_DEPTH = 32
#: 500 orders with all their options are some 20,000.
MAX_JSON_VALUES = 100_000
#: Of one object. Every unknown name is an error of its own, and 90,000 of them kept the loop busy for ten seconds.
MAX_JSON_NAMES = 1000
MAX_PROBLEMS = 50
_HALF = re.compile("[\ud800-\udfff]")
PACKED = "Send the body as it is, without Content-Encoding: it is not unpacked here"


class UnsupportedMediaType(CallerError):
    code = "unsupported_media_type"


class NotJson(InvalidRequest):
    """The body cannot be parsed; an InvalidRequest of another class is JSON, but not what is taken."""


def parse_json(content: bytes) -> Any:
    """Return the parsed body.

    Raises InvalidRequest for broken JSON, NaN and what is as large, doubled names, halves of characters, absurd depth, too many values
    and too many names; UnsupportedMediaType for a packed one.
    """
    # Counted before they are made: each takes some 100 bytes and the loop's time, and a byte of text can be one.
    if sum(content.count(mark) for mark in b",[{") > MAX_JSON_VALUES:
        raise InvalidRequest(f"The body has more than {MAX_JSON_VALUES} values")
    if content.startswith(b"\x1f\x8b"):
        raise UnsupportedMediaType(PACKED)
    try:
        text = content.decode(json.detect_encoding(content))
        body = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique)
    except RecursionError as exc:
        raise InvalidRequest("The body is nested too deeply") from exc
    except (ValueError, UnicodeDecodeError) as exc:
        raise NotJson(f"The body is not valid JSON: {exc}") from exc
    if _depth(body) > MAX_JSON_DEPTH:
        raise InvalidRequest("The body is nested too deeply")
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object")
    if "\\u" in text and (halves := list(islice(_halves(body, ""), MAX_PROBLEMS))):
        raise InvalidRequest("; ".join(f"{error.pointer}: {error.detail}" for error in halves[:5]), halves)
    return body


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is larger than any number can be")
    return number


def _halves(value: Any, pointer: str) -> Iterator[FieldError]:
    """Yield where a text, or a name, holds half of a surrogate pair: no store and no client can take it."""
    if isinstance(value, str):
        if _HALF.search(value):
            yield FieldError(pointer, "Must not contain half of a surrogate pair.")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _halves(item, f"{pointer}/{number}")
    elif isinstance(value, dict):
        for name, item in value.items():
            shown = name.encode("ascii" if _HALF.search(name) else "utf-8", "backslashreplace").decode()
            below = pointer + "/" + shown.replace("~", "~0").replace("/", "~1")
            if _HALF.search(name):
                yield FieldError(below, f"The name {shown!r} must not contain half of a surrogate pair.")
            yield from _halves(item, below)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_JSON_NAMES:
        raise InvalidRequest(f"An object of the body has more than {MAX_JSON_NAMES} names")
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


#: Room for the other fields and the parts' headers.
MAX_MULTIPART_BYTES = MAX_UPLOAD_BYTES + 1024 * 1024


def uploaded_file(request: Request, *names: str) -> FileStorage | None:
    """Return the one file in a multipart body under any of the names; None where there is none, or the body is of another kind.

    Call it before anything else reads the body: it is what keeps a too large one from being read whole. Raises TooLarge above 11 MB, and
    InvalidRequest naming the fields where more than one file is given. A file field left empty in a browser counts as none.
    """
    if request.mimetype != "multipart/form-data":
        return None
    limit_body(request)
    try:
        given = [(name, file) for name in names for file in request.files.getlist(name) if not _is_empty(file)]
        texts = [name for name in names if request.form.get(name)]
    except RequestEntityTooLarge as exc:
        raise TooLarge("The request is too large: an image may have 10MB") from exc
    if texts:
        detail = "Send the image as a file, not as text."
        raise InvalidRequest(f"{texts[0]}: {detail}", [FieldError(f"/{name}", detail) for name in texts])
    if len(given) > 1:
        detail = "Send one image only."
        fields = dict.fromkeys(name for name, _ in given)
        raise InvalidRequest(f"{', '.join(fields)}: {detail}", [FieldError(f"/{name}", detail) for name in fields])
    return given[0][1] if given else None


def limit_body(request: Request) -> None:
    """Let reading this request's body end with RequestEntityTooLarge above 11 MB, whether or not its length is announced."""
    request.max_content_length = MAX_MULTIPART_BYTES
    end_chunked_body(request)


def _is_empty(file: FileStorage) -> bool:
    if file.filename:
        return False
    empty = not file.stream.read(1)
    file.stream.seek(0)
    return empty
