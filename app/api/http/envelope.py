"""The web-app API's success bodies: `{success, message, data}`."""

from __future__ import annotations

import functools
from typing import Any

import marshmallow as ma
from flask import Response, jsonify


def enveloped(message: str, data: dict[str, Any], status: int = 200) -> Response:
    response = jsonify({"success": True, "message": message, "data": data})
    response.status_code = status
    return response


@functools.cache
def envelope_of(schema: type[ma.Schema]) -> type[ma.Schema]:
    """Return the documented schema of an envelope around `schema`."""
    fields: dict[str, Any] = {
        "success": ma.fields.Boolean(),
        "message": ma.fields.String(),
        "data": ma.fields.Nested(schema),
    }
    return ma.Schema.from_dict(fields, name=f"{schema.__name__}Envelope")
