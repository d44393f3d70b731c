"""The one place where errors get MCP's shapes: a tool's result that says what to do next, or a JSON-RPC error."""

from __future__ import annotations

from flask import Response, g, jsonify
from werkzeug.exceptions import HTTPException

from app.api.http.errors import Fault, body_of, fault_of
from app.api.mcp.protocol import Code, Refusal, refusal_body
from app.api.mcp.tool import Result
from app.domain.errors import GatewayError

AGAIN = "Wait a few seconds and call again with the same arguments; with the same idempotency_key nothing is bought twice."
#: By the error's code: what whoever reads it can do.
NEXT = {
    "unknown_model": "list_models shows the models.",
    "missing_inputs": "get_model shows what the model takes; give the rest in options.",
    "invalid_request": "Correct the arguments and call again; get_model shows what a model takes.",
    "invalid_image": "Give another picture.",
    "max_cost_exceeded": "estimate_cost tells prices: ask for fewer or smaller pictures, or for a cheaper model.",
    "budget_exceeded": "Nothing was ordered. Tell the user: the month's budget is spent, and only the operator can raise it.",
    "insufficient_tokens": "Nothing was ordered. Tell the user that more tokens are needed.",
    "idempotency_mismatch": "Use a new idempotency_key for another picture.",
    "not_found": "list_jobs shows your jobs.",
    "gone": "It was deleted; order a new one if it is needed.",
    "rate_limited": "Wait a minute, then call again with the same arguments.",
    "already_finished": "get_job shows how it ended.",
    "forbidden": "Another key is needed for this; tell the user.",
    "quota_exceeded": "Pass the picture with the order instead, or tell the user to delete uploads.",
    "payload_too_large": "Give a smaller picture.",
    "content_policy_violation": "Say it in other words.",
}


def result_of(error: GatewayError | HTTPException) -> Result:
    """Return the result of a call that was refused."""
    fault = fault_of(error)
    return Result(text=told(fault), error=body_of(fault))


def told(fault: Fault) -> str:
    """Return what went wrong, and what can be done."""
    usual = AGAIN if fault.retryable or fault.status >= 500 else "Correct the call, or tell the user."
    return f"{fault.code}: {fault.message} {NEXT.get(fault.code, usual)}"


def rpc_error(fault: Fault) -> Response:
    """Tell of an error before there was a tool to call: JSON-RPC's error, the one error body in its data, and HTTP's status."""
    code = Code.INVALID_REQUEST if fault.status < 500 else Code.INTERNAL
    return refuse(Refusal(code, fault.message, data=body_of(fault), status=fault.status))


def refuse(refusal: Refusal) -> Response:
    response = jsonify(refusal_body(refusal, g.get("message_id")))
    response.status_code = refusal.status
    return response
