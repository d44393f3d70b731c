"""The one place where errors get OpenAI's shape: `{"error": {message, type, param, code}}`."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from app.api.http.errors import Fault
from app.domain.errors import InvalidRequest, NotFound

#: Ours, in OpenAI's words; any other code stays what it is.
CODES = {
    "unauthorized": "invalid_api_key",
    "unknown_model": "model_not_found",
    "rate_limited": "rate_limit_exceeded",
    "insufficient_tokens": "insufficient_quota",
    "budget_exceeded": "insufficient_quota",
    "content_policy_violation": "moderation_blocked",
    "invalid_request": "invalid_value",
    "missing_inputs": "missing_required_parameter",
}
#: The status of these is another one here than at /api.
STATUSES = {"model_not_found": 404, "insufficient_quota": 429, "moderation_blocked": 400}
TYPES = {"insufficient_quota": "insufficient_quota", "moderation_blocked": "image_generation_user_error"}
#: What the caller calls what the models call so.
PARAMETERS = {"num_images": "n", "width": "size", "height": "size", "image_size": "size", "aspect_ratio": "size"}


class UnknownParameter(InvalidRequest):
    code = "unknown_parameter"


class UnsupportedEndpoint(NotFound):
    code = "unsupported_endpoint"


def shape(fault: Fault) -> Response:
    code, status = _spelled(fault)
    response = jsonify(envelope_of(fault))
    response.status_code = status
    if code == "insufficient_quota" or fault.job_id is not None:
        # SDKs send again whatever failed with 429 or 500: here nothing would come of it, or another job.
        response.headers["x-should-retry"] = "false"
    return response


def envelope_of(fault: Fault) -> dict[str, Any]:
    """Return the body that tells of an error, and the event of a stream."""
    code, status = _spelled(fault)
    kind = TYPES.get(code, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": fault.message, "type": kind, "param": _parameter(fault, code), "code": code}}


def _spelled(fault: Fault) -> tuple[str, int]:
    """Return an error's code and status in OpenAI's words."""
    code = CODES.get(fault.code, fault.code)
    return code, STATUSES.get(code, fault.status)


def _parameter(fault: Fault, code: str) -> str | None:
    """Return which parameter is wrong, as the caller knows it."""
    if code == "model_not_found":
        return "model"
    if not fault.errors:
        return None
    steps = [step for step in fault.errors[0].pointer.split("/") if step and step not in ("inputs", "options")]
    name = steps[0] if steps else ""
    if "mask" in name:
        return "mask"
    if name.endswith(("image_url", "image_urls")):
        return "image"
    return PARAMETERS.get(name, name) or None
