"""`POST /mcp`: each request is whole in itself. No session is kept and no stream opened, so any web process may answer any of them."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, current_app, g, jsonify, request
from werkzeug.exceptions import HTTPException, NotAcceptable

from app.api.http.access import needs_caller
from app.api.http.auth import caller
from app.api.http.bodies import NotJson, UnsupportedMediaType, json_body, parse_json
from app.api.http.deferred import Deferred
from app.api.http.errors import shape_errors
from app.api.http.requests import ApiBlueprint
from app.api.mcp.document import McpAnswer, message_body
from app.api.mcp.faults import refuse, result_of, rpc_error
from app.api.mcp.protocol import (
    HANDSHAKE,
    LISTS_LAST_MS,
    SERVER,
    SPOKEN,
    VERSION_HEADER,
    Code,
    Message,
    Refusal,
    check_headers,
    id_of,
    message_of,
    spoken_version,
)
from app.api.mcp.tool import Result, Wait
from app.api.mcp.tools import TOOLS
from app.domain.errors import Forbidden, GatewayError
from app.domain.job import Job
from registry.table import did_you_mean

INSTRUCTIONS = """Makes pictures with many models, for money: prices are USD. Call generate_image with a prompt; list_models and get_model
show what else can be asked for, estimate_cost what it would cost. Give each order a new idempotency_key, and the same one when you call
again after an error: nothing is bought twice then. Where a job is not completed yet, get_job with wait_seconds has its pictures later.
Show the user the links: the preview is only for you to look at."""
CAPABILITIES: dict[str, Any] = {"tools": {}}


class McpBlueprint(ApiBlueprint):
    ERROR_SCHEMA = McpAnswer


blueprint = McpBlueprint("mcp", __name__, description="Agents: the Model Context Protocol")
blueprint.register_error_handler(Refusal, refuse)


def init_app(app: Flask) -> None:
    shape_errors(app, rpc_error, "/mcp")


@blueprint.post("/mcp")
@needs_caller
@blueprint.doc(requestBody=message_body())
@blueprint.response(200, McpAnswer)
@blueprint.alt_response(202, description="A notification was taken.")
@blueprint.errors(400, 401, 403, 404, 406, 413, 415, 429, 500, 503)
def called() -> Response:
    """Speak the Model Context Protocol: one JSON-RPC message, one JSON answer; 202 for a notification.

    For agents and their programs, which know the protocol; `tools/list` describes each tool. A tool that is refused or fails says so in
    its result, with what to do next.
    """
    _check_origin()
    version = spoken_version(request.headers.get(VERSION_HEADER))
    if request.accept_mimetypes and not request.accept_mimetypes["application/json"]:
        raise NotAcceptable("The answer is application/json")
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the message as JSON, with the header Content-Type: application/json")
    try:
        body = json_body(request, parse_json)
    except NotJson as exc:
        raise Refusal(Code.NOT_JSON, exc.message) from exc
    g.message_id = id_of(body)
    message = message_of(body, version)
    if message is None or message.id is None:
        return Response(status=202)
    check_headers(message, request.headers)
    return _answered(message)


def _check_origin() -> None:
    """Raise Forbidden for pages of others, which may have a browser send what they like. Programs send no Origin."""
    if not current_app.extensions["origins"].accepts(request.headers.get("Origin"), request.environ):
        raise Forbidden("Pages of this origin may not call; have it added to CORS_ORIGINS")


def _answered(message: Message) -> Response:
    if message.method == "tools/call":
        return _called(message)
    if message.method == "tools/list":
        return jsonify(message.result(_listed(message), lasts_ms=LISTS_LAST_MS))
    if message.is_modern and message.method == "server/discover":
        found = {"supportedVersions": list(SPOKEN), "capabilities": CAPABILITIES, "instructions": INSTRUCTIONS}
        return jsonify(message.result(found, lasts_ms=LISTS_LAST_MS))
    if not message.is_modern and message.method == "initialize":
        return jsonify(message.result(_initialized(message)))
    if not message.is_modern and message.method == "ping":
        return jsonify(message.result({}))
    raise message.refusal(Code.UNKNOWN_METHOD, f"There is no method {message.method[:100]!r} here; this server has tools only")


def _initialized(message: Message) -> dict[str, Any]:
    """Agree to the revision that the client names, or name the latest that begins in this way: the client decides."""
    wanted = message.params.get("protocolVersion")
    if not isinstance(wanted, str):
        raise message.refusal(Code.INVALID_PARAMS, "initialize names a protocolVersion")
    agreed = wanted if wanted in HANDSHAKE else HANDSHAKE[-1]
    return {"protocolVersion": agreed, "capabilities": CAPABILITIES, "serverInfo": SERVER, "instructions": INSTRUCTIONS}


def _listed(message: Message) -> dict[str, Any]:
    if message.params.get("cursor") is not None:
        raise message.refusal(Code.INVALID_PARAMS, "cursor: the tools are one page")
    return {"tools": [tool.description for tool in TOOLS.values() if tool.is_for(caller())]}


def _called(message: Message) -> Response:
    name, arguments = message.params.get("name"), message.params.get("arguments")
    arguments = {} if arguments is None else arguments
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise message.refusal(Code.INVALID_PARAMS, "tools/call has the name of a tool, and its arguments as an object")
    if name not in TOOLS:
        known = [each.name for each in TOOLS.values() if each.is_for(caller())]
        raise message.refusal(Code.INVALID_PARAMS, f"Unknown tool: {name[:100]}.{did_you_mean(name, known)} Tools: {', '.join(known)}")
    outcome = _outcome(name, arguments)
    if isinstance(outcome, Result):
        return jsonify(message.result(outcome.as_answer()))

    def answer(found: Job | GatewayError) -> Response:
        result = result_of(found) if isinstance(found, GatewayError) else outcome.result(found)
        return jsonify(message.result(result.as_answer()))

    return Deferred(outcome.quietly, answer)


def _outcome(name: str, arguments: dict[str, Any]) -> Result | Wait:
    tool = TOOLS[name]
    try:
        caller().require_scope(tool.scope)
        return tool.call(tool.loaded(arguments))
    except (GatewayError, HTTPException) as exc:
        return result_of(exc)
