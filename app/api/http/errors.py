"""The one error body, and the one place where domain errors get an HTTP status."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import marshmallow as ma
from flask import Flask, Response, current_app, g, jsonify, request
from werkzeug.exceptions import HTTPException

from app.api.http.answers import Answer
from app.api.http.bodies import UnsupportedMediaType
from app.domain import errors
from app.domain.errors import FieldError, GatewayError, InvalidRequest, ProviderError
from app.domain.job import Job

log = logging.getLogger("http")

#: The first class an error is an instance of decides, so narrow classes stand first.
STATUSES: tuple[tuple[type[GatewayError], int], ...] = (
    (errors.NotFound, 404),
    (errors.Gone, 410),
    (errors.BeingDeleted, 409),
    (errors.AlreadyFinished, 409),
    (errors.NotFinished, 409),
    (errors.AlreadyRunning, 409),
    (errors.EmailTaken, 409),
    (errors.LastAdministrator, 409),
    (errors.Unauthorized, 401),
    (errors.Forbidden, 403),
    (errors.RateLimited, 429),
    (errors.MisdirectedRequest, 421),
    (errors.BudgetExceeded, 402),
    (errors.ReferenceNotFound, 500),  # The contract's own status for it.
    (errors.TooLarge, 413),
    (errors.QuotaExceeded, 413),
    (errors.SlowBody, 408),
    (UnsupportedMediaType, 415),
    (errors.CallerError, 400),
    (errors.ProviderError, 500),
    (errors.Misconfigured, 500),
    (errors.ServiceError, 503),
)
HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
}


class FieldErrorAnswer(Answer):
    pointer = ma.fields.String()
    detail = ma.fields.String()


class ErrorAnswer(Answer):
    """The one error body."""

    success = ma.fields.Boolean(metadata={"description": "Always false.", "example": False})
    status = ma.fields.Integer()
    code = ma.fields.String(metadata={"description": "Stable: switch on this, not on the message."})
    message = ma.fields.String()
    retryable = ma.fields.Boolean()
    request_id = ma.fields.String(data_key="requestId")
    details = ma.fields.Dict()
    errors = ma.fields.List(ma.fields.Nested(FieldErrorAnswer))
    job_id = ma.fields.UUID(data_key="jobId")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is told of an error, in whatever shape."""

    status: int
    code: str
    message: str
    retryable: bool = False
    errors: Sequence[FieldError] = ()
    details: Mapping[str, Any] | None = None
    job_id: str | None = None


Shape = Callable[[Fault], Response]
SHAPES = "error_shapes"


def init_app(app: Flask) -> None:
    app.extensions[SHAPES] = {}
    app.register_error_handler(GatewayError, _domain_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _bug)


def status_of(error: GatewayError) -> int:
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def shape_errors(app: Flask, shape: Shape, *prefixes: str) -> None:
    """Let every error below these paths be told in another shape: those of routes that do not exist, and of bad credentials, too."""
    app.extensions[SHAPES].update(dict.fromkeys(prefixes, shape))


def job_fault(job: Job) -> Fault:
    """Return what is told of a job that ended without pictures."""
    failure = job.failure
    code, message = (failure.code, failure.message) if failure else (job.status.value, job.message)
    details = failure.details if failure else None
    return Fault(status=status_of(ProviderError(message)), code=code, message=message, details=details, job_id=job.id)


def told(fault: Fault) -> Response:
    """Return the answer that tells of an error, in the shape that the clients of this path know."""
    return (_other_shape() or _usual)(fault)


def is_of_another_shape() -> bool:
    """Tell whether errors of this path are told in the shape of somebody else's API."""
    return _other_shape() is not None


def _other_shape() -> Shape | None:
    shapes: Mapping[str, Shape] = current_app.extensions[SHAPES]
    return next((shape for prefix, shape in shapes.items() if request.path.startswith(prefix)), None)


def body_of(fault: Fault) -> dict[str, Any]:
    """Return the one error body."""
    said = {**vars(fault), "success": False, "request_id": g.get("request_id")}
    optional = ("details", "errors", "job_id")
    return ErrorAnswer.of({name: value for name, value in said.items() if value or name not in optional})


def _usual(fault: Fault) -> Response:
    response = jsonify(body_of(fault))
    response.status_code = fault.status
    return response


def fault_of(error: GatewayError | HTTPException) -> Fault:
    """Return what is told of an error, and log what is not its caller's fault."""
    if isinstance(error, HTTPException):
        return _http_fault(error)
    status = status_of(error)
    if isinstance(error, errors.Busy):
        log.warning("%s", error.message)
    elif status >= 500:
        log.error("%s: %s", error.code, error.message, exc_info=error)
    wrong = error.errors if isinstance(error, InvalidRequest) else ()
    return Fault(status=status, code=error.code, message=error.message, retryable=error.retryable, errors=wrong, details=error.details)


def _domain_error(error: GatewayError) -> Response:
    fault = fault_of(error)
    response = told(fault)
    if fault.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.RateLimited):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if fault.status == 503:
        response.headers["Retry-After"] = "2"
    return response


def _http_error(error: HTTPException) -> Response:
    if (error.code or 500) < 400:
        return error.get_response()  # type: ignore[return-value]
    response = told(fault_of(error))
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            response.headers[name] = value
    return response


def _http_fault(error: HTTPException) -> Fault:
    status = error.code or 500
    if status == 429:
        return Fault(status=status, code="rate_limited", message="Too many requests; wait as long as Retry-After says", retryable=True)
    code = HTTP_CODES.get(status, "internal_error" if status >= 500 else "bad_request")
    return Fault(status=status, code=code, message=error.description or error.name)


def _bug(error: Exception) -> Response:
    log.error("unhandled error", exc_info=error)
    return told(Fault(status=500, code="internal_error", message="Something went wrong here; the operator's log has the details"))
