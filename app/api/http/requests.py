"""What every request gets: an id, a log line, headers; and how bodies and preferences are read."""

from __future__ import annotations

import functools
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import marshmallow as ma
import structlog
from flask import Flask, Request, Response, g, request
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MultiDict

from app.api.http.access import with_security
from app.api.http.answers import SharedSchema
from app.api.http.bodies import UnsupportedMediaType, json_body, parse_json, read_body
from app.api.http.deferred import Deferred
from app.api.http.errors import ErrorAnswer
from app.domain import clock
from app.domain.errors import FieldError, InvalidRequest

F = TypeVar("F", bound=Callable[..., Any])

log = logging.getLogger("http")

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


#: Below these no answer may be kept by a proxy or a browser, unless it says so itself.
UNKEPT = ("/api/", "/v1/", "/openai/")


def init_app(app: Flask) -> None:
    app.before_request(_begin)
    app.url_value_preprocessor(_spell_ids)
    app.after_request(_finish)


def _spell_ids(endpoint: str | None, values: dict[str, Any] | None) -> None:  # noqa: ARG001 - Flask's signature
    """Let an id in a path be written in any case, as RFC 9562 asks of whoever reads UUIDs."""
    for name, value in (values or {}).items():
        # A script's own users may be named by anything.
        if values is not None and name != "user_id" and isinstance(value, str) and clock.is_id(value):
            values[name] = value.lower()


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
    for name, value in [pair for pair in response.headers.items() if not pair[1].isascii()]:
        # Words of fal's may be in it. The server would break the connection off, each time the same answer is asked for.
        response.headers[name] = value.encode("ascii", "replace").decode()
    if response.status_code == 204:
        response.headers.pop("Content-Type", None)  # There is nothing of any type.
    if request.path.startswith(UNKEPT):
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

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        refuse_repeated(req.args, schema)
        return super().load_querystring(req, schema)

    def load_json(self, req: Request, schema: ma.Schema) -> Any:  # noqa: ARG002 - webargs' signature
        if req.mimetype != "application/json":
            raise UnsupportedMediaType("Send the body as JSON, with the header Content-Type: application/json")
        return json_body(req, parse_json)

    def handle_error(self, error: ma.ValidationError, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002
        raise refusal_of(error)


class ApiBlueprint(Blueprint):  # type: ignore[misc]
    """The base of every documented blueprint."""

    ARGUMENTS_PARSER = StrictParser()
    ERROR_SCHEMA: type[ma.Schema] = ErrorAnswer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks.append(with_security)

    def register_views_in_doc(self, api: Any, *args: Any, **kwargs: Any) -> None:
        """Document the routes once somebody asks for the document."""
        api.parts.append(functools.partial(super().register_views_in_doc, api, *args, **kwargs))

    def arguments(self, schema: type[ma.Schema] | ma.Schema, **kwargs: Any) -> Callable[[F], F]:
        """As flask-smorest's, with one schema for all requests: it keeps nothing of them, and takes as long to make as to use."""
        made: Callable[[F], F] = super().arguments(schema() if isinstance(schema, type) else schema, **kwargs)
        return made

    def errors(self, *statuses: int) -> Callable[[F], F]:
        """Document with which statuses the error body may be answered."""

        def documented(view: F) -> F:
            for status in statuses:
                # Of 499, which fal has for what was cancelled, no standard knows a name.
                view = self.alt_response(status, schema=self.ERROR_SCHEMA, description="Cancelled" if status == 499 else None)(view)
            return view

        return documented

    def optional_body(self, schema: type[ma.Schema], examples: Mapping[str, Any]) -> Callable[[F], F]:
        """Give the view what a JSON body says, if there is one."""

        def given(view: F) -> F:
            @functools.wraps(view)
            def called(*args: Any, **kwargs: Any) -> Any:
                return view(_optional_json(schema()), *args, **kwargs)

            content = {"application/json": {"schema": schema, "examples": examples}}
            return self.doc(requestBody={"required": False, "content": content})(called)  # type: ignore[no-any-return]

        return given

    @classmethod
    def _prepare_response_doc(cls, doc: Any, doc_info: Any, **kwargs: Any) -> Any:
        """Leave out the error body that flask-smorest documents everywhere, where it has another shape."""
        prepared = Blueprint._prepare_response_doc(doc, doc_info, **kwargs)  # noqa: SLF001 - overridden as the library says
        if cls.ERROR_SCHEMA is not ErrorAnswer:
            prepared.get("responses", {}).pop("default", None)
        return prepared


def _optional_json(schema: ma.Schema) -> Any:
    if not read_body(request):
        return schema.load({})
    try:
        return schema.load(StrictParser().load_json(request, schema))
    except ma.ValidationError as exc:
        raise refusal_of(ma.ValidationError({"json": exc.messages})) from exc


#: More than any list of a body may hold: the field's own limit is looked at only once each item has been.
MAX_ITEMS = 1000


class BodySchema(SharedSchema):
    """A request body or query: unknown names are refused, and the refusal lists the known ones."""

    class Meta:  # noqa: D106 - marshmallow's place for options
        unknown = ma.RAISE

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        known = ", ".join(sorted(field.data_key or name for name, field in self.fields.items()))
        self.error_messages = {**self.error_messages, "unknown": f"Unknown field. Allowed: {known}."}

    @ma.pre_load
    def _refuse_endless_lists(self, data: Any, **_: Any) -> Any:
        long = (
            [name for name, value in data.items() if isinstance(value, list) and len(value) > MAX_ITEMS] if isinstance(data, dict) else []
        )
        if long:
            raise ma.ValidationError({name: [f"Longer than {MAX_ITEMS} items."] for name in long})
        return data


def refuse_repeated(given: MultiDict[str, str], schema: ma.Schema) -> None:
    """Raise InvalidRequest where a parameter or a form's field is given twice, and is no list: which one is meant nobody knows."""
    lists = {field.data_key or name for name, field in schema.fields.items() if isinstance(field, ma.fields.List)}
    twice = [name for name, values in given.lists() if len(values) > 1 and name not in lists]
    if twice:
        detail = "Given more than once."
        raise InvalidRequest("; ".join(f"{name}: {detail}" for name in twice[:5]), [FieldError(f"/{name}", detail) for name in twice])


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
