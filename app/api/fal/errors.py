"""Everything that goes wrong here, in the shapes of fal's answers: the one place where that is said.

A caller's fault is `detail`, a list of `loc`, `msg` and `type` where fields are named, else a text. Two rules come from how fal's clients
retry. Nothing final is 408, 409 or 429. And where an order may stand although its answer is lost it is 500: after a 503 the JavaScript
client would post it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Response, g, jsonify, request

from app.api.http.errors import Fault
from app.domain.errors import CallerError, NotFound, TooLarge
from app.domain.fal_answer import failed_answer
from app.domain.job import Job

#: The text by which clients know that there is no money; what there is to know follows it.
LOCKED = "User is locked. Reason: Exhausted balance."
NO_MONEY = frozenset({"budget_exceeded", "insufficient_tokens"})
#: Where an error has another status here than elsewhere.
STATUSES = {
    "gone": 404,
    "unknown_model": 404,
    **dict.fromkeys(NO_MONEY, 403),
    "max_cost_exceeded": 403,
    "already_finished": 400,
    "not_finished": 400,
    "idempotency_mismatch": 422,
    "invalid_request": 422,
    "missing_inputs": 422,
    "invalid_image": 422,
}
#: Nothing was ordered, for sure: it may be asked again.
UNDONE = frozenset({"store_not_ready", "busy"})
#: fal's words for what a request is.
STATES = {"request_not_found": "NOT_FOUND", "already_finished": "ALREADY_COMPLETED"}


class RequestNotFound(NotFound):
    """There is no such request, or it is somebody else's, or was deleted."""

    code = "request_not_found"


class StillInProgress(CallerError):
    code = "request_in_progress"

    def __init__(self) -> None:
        super().__init__("Request is still in progress")


class FileTooLarge(TooLarge):
    def __init__(self) -> None:
        super().__init__("The file is too large: an image may have 10MB, and is not uploaded in parts")


def shaped(fault: Fault) -> Response:
    """Return what went wrong as fal would say it."""
    status = STATUSES.get(fault.code, fault.status)
    if status == 503 and request.method == "POST" and fault.code not in UNDONE:
        status = 500
    if status == 422:
        return refused(status, list(_problems(fault)))
    detail = f"{LOCKED} {fault.message}" if fault.code in NO_MONEY else fault.message
    return refused(status, detail, fault.code, state=STATES.get(fault.code))


def failed(job: Job) -> Response:
    """Return how a job ended that brought no picture: with fal's own status and words, where fal has said them."""
    status, error_type, detail = failed_answer(job)
    response = refused(status, detail, error_type)
    response.headers["X-Fal-Retryable"] = "true" if status >= 500 else "false"
    return response


def refused(status: int, detail: Any, error_type: str | None = None, *, state: str | None = None) -> Response:
    """Return an error's answer. `error_type` is for programs, in the body and in fal's header; `state` is fal's word for a request."""
    body = {"detail": detail} | ({"error_type": error_type} if error_type else {}) | ({"status": state} if state else {})
    response = jsonify(body)
    response.status_code = status
    if error_type:
        response.headers["X-Fal-Error-Type"] = error_type
    return named(response)


def named(response: Response) -> Response:
    """Name the request in every answer: by it fal's clients know that a gateway's error is not some proxy's, and do not retry blindly."""
    response.headers.setdefault("X-Fal-Request-Id", g.get("fal_request_id") or g.get("request_id", ""))
    response.headers.setdefault("Cache-Control", "private, no-store")  # Bodies hold links that expire, and other people's words.
    return response


def _problems(fault: Fault) -> Iterator[dict[str, Any]]:
    """Yield what is wrong in the way of pydantic, which fal's models speak; arguments have no `inputs` and `options` here."""
    missing = (fault.details or {}).get("missingInputs", ())
    for entry in fault.errors:
        _, *steps = [step.replace("~1", "/").replace("~0", "~") for step in entry.pointer.split("/")]
        steps = steps[1:] if steps[:1] in (["inputs"], ["options"]) else steps
        loc = [int(step) if step.isdecimal() else step for step in steps]
        is_missing = len(steps) == 1 and steps[0] in missing
        told = ("field required", "missing") if is_missing else (entry.detail, "value_error")
        yield {"loc": ["body", *loc], "msg": told[0], "type": told[1]}
    if not fault.errors:
        yield {"loc": ["body"], "msg": fault.message, "type": "value_error"}
