"""What `/openapi.json` says of this façade. The arguments of an app are those of its model: see `/api/images/models`."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Blueprint

from app.api.fal.errors import named
from app.api.fal.orders import tell_ignored
from app.api.http.answers import Answer
from app.api.http.requests import ApiBlueprint

JSON = "application/json"
APP = {
    "name": "app",
    "in": "path",
    "required": True,
    "description": "An endpoint of fal's that a model here has: its slashes stand as they are.",
    "schema": {"type": "string"},
    "example": "fal-ai/flux-pro/v1.1",
}
OUTPUT = {
    "type": "object",
    "description": "The model's own output, with links to the stored pictures.",
    "properties": {
        "images": {"type": "array", "items": {"type": "object"}},
        "image": {"type": "object"},
        "prompt": {"type": "string"},
        "seed": {"type": "integer", "description": "Maybe of more than 64 bits."},
        "timings": {"type": "object"},
        "has_nsfw_concepts": {"type": "array", "items": {"type": "boolean"}},
        "description": {"type": "string"},
    },
    "additionalProperties": True,
}


class FalErrorAnswer(Answer):
    """An error as fal tells it."""

    detail = ma.fields.Raw(metadata={"description": "A text, or a list of `loc`, `msg` and `type` where fields are named."})
    error_type = ma.fields.String(metadata={"description": "For programs; also in the header X-Fal-Error-Type."})
    status = ma.fields.String()


class FalRequestAnswer(Answer):
    """What fal tells of a request, when it is taken and whenever its state is asked for."""

    status = ma.fields.String(metadata={"description": "IN_QUEUE, IN_PROGRESS, or COMPLETED, which a failed request is, too."})
    request_id = ma.fields.UUID()
    queue_position = ma.fields.Integer()
    response_url = ma.fields.String()
    status_url = ma.fields.String()
    cancel_url = ma.fields.String()
    logs = ma.fields.Raw(allow_none=True)
    metrics = ma.fields.Dict()


class FalSubmitAnswer(FalRequestAnswer):
    gateway_request_id = ma.fields.UUID()


class FalStatusAnswer(FalRequestAnswer):
    error = ma.fields.String()
    error_type = ma.fields.String()


class FalCancelAnswer(Answer):
    status = ma.fields.String()


class FalTokenAnswer(Answer):
    token = ma.fields.String()
    token_type = ma.fields.String()
    base_url = ma.fields.String()
    expires_at = ma.fields.String()


class FalFileBody(ma.Schema):
    class Meta:  # noqa: D106 - marshmallow's place for options
        unknown = ma.EXCLUDE

    file_name = ma.fields.String(load_default="")
    content_type = ma.fields.String(load_default="")


class FalUploadAnswer(Answer):
    access_url = ma.fields.String()


class FalTicketAnswer(Answer):
    upload_url = ma.fields.String()
    file_url = ma.fields.String()


class FalBlueprint(ApiBlueprint):
    ERROR_SCHEMA = FalErrorAnswer


blueprint = FalBlueprint("fal", __name__, url_prefix="/fal", description="fal's own API, for fal's own clients: see docs/fal.md")
#: What clients call without knowing it, and what only refuses.
undocumented = Blueprint("fal_more", __name__, url_prefix="/fal")
proxied = FalBlueprint("fal_proxy", __name__, description="fal's own API, for fal's own clients: see docs/fal.md")

for each in (blueprint, undocumented, proxied):
    each.after_request(named)
    each.after_request(tell_ignored)


def arguments(example: dict[str, Any]) -> dict[str, Any]:
    """Return what an order's body is said to be."""
    schema = {"type": "object", "properties": {"prompt": {"type": "string"}}, "additionalProperties": True}
    return {"required": True, "content": {JSON: {"schema": schema, "examples": {"picture": {"summary": "A picture", "value": example}}}}}


def answered(kind: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"200": {"description": description, "content": {kind: {"schema": schema}}}}
