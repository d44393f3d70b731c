"""`POST /mcp` in `/openapi.json`: the envelope. What the tools take and answer is asked of `tools/list`."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer

EXAMPLE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "generate_image", "arguments": {"prompt": "a red bicycle", "idempotency_key": "bicycle-1"}},
}
_MESSAGE = {
    "type": "object",
    "required": ["jsonrpc", "method"],
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "id": {"type": ["string", "integer"], "description": "Left out of notifications."},
        "method": {"type": "string", "minLength": 1},
        "params": {"type": "object"},
    },
}


class McpErrorAnswer(Answer):
    code = ma.fields.Integer()
    message = ma.fields.String()
    data = ma.fields.Raw(metadata={"description": "The one error body, where it is no fault of the protocol's."})


class McpAnswer(Answer):
    """JSON-RPC's answer: a result, or an error."""

    jsonrpc = ma.fields.String()
    id = ma.fields.Raw(allow_none=True, metadata={"type": ["string", "integer"]})
    result = ma.fields.Dict()
    error = ma.fields.Nested(McpErrorAnswer)


def message_body() -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": _MESSAGE, "example": EXAMPLE}}}
