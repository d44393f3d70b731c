"""What the OpenAI Images API's clients are answered, and what may be asked, for the API's document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import marshmallow as ma

from app.api.http import examples
from app.api.http.answers import Answer
from registry.schema import value_schema
from registry.spec import ModelSpec, Param

OWNER = "fal-ai"
PICTURE = {"type": "string", "format": "binary"}


class ErrorDetailAnswer(Answer):
    message = ma.fields.String()
    type = ma.fields.String()
    param = ma.fields.String(allow_none=True)
    code = ma.fields.String(allow_none=True)


class OpenAIErrorAnswer(Answer):
    """OpenAI's error body."""

    error = ma.fields.Nested(ErrorDetailAnswer)


class PictureAnswer(Answer):
    url = ma.fields.String()
    b64_json = ma.fields.String()


class GatewayAnswer(Answer):
    job_id = ma.fields.UUID(data_key="jobId")
    cost = ma.fields.Float()
    cost_currency = ma.fields.String(data_key="costCurrency")
    status_url = ma.fields.String(data_key="statusUrl")


class PicturesAnswer(Answer):
    created = ma.fields.Integer()
    data = ma.fields.List(ma.fields.Nested(PictureAnswer))
    output_format = ma.fields.String()
    size = ma.fields.String()
    gateway = ma.fields.Nested(GatewayAnswer)


class OpenAIModelAnswer(Answer):
    id = ma.fields.String()
    object = ma.fields.String()
    created = ma.fields.Integer(metadata={"description": "When the model was last checked against fal."})
    owned_by = ma.fields.String()


class OpenAIModelsAnswer(Answer):
    object = ma.fields.String()
    data = ma.fields.List(ma.fields.Nested(OpenAIModelAnswer))


def model_entry(name: str, spec: ModelSpec) -> dict[str, Any]:
    checked = spec.checked or date(2025, 1, 1)
    seconds = int(datetime(checked.year, checked.month, checked.day, tzinfo=UTC).timestamp())
    return {"id": name, "object": "model", "created": seconds, "owned_by": OWNER}


def generation_body(parameters: Sequence[Param]) -> dict[str, Any]:
    """Describe the body of a generation. What else the model has, such as `seed`, may stand beside."""
    return {
        "required": True,
        "content": {"application/json": {"schema": _schema(parameters, {}, ["prompt"]), "examples": examples.OPENAI_GENERATION}},
    }


def edit_body(parameters: Sequence[Param]) -> dict[str, Any]:
    address = {"type": "string", "description": "An https:// URL or a data URI."}
    images = {"oneOf": [address, {"type": "array", "items": address, "minItems": 1, "maxItems": 16}]}
    files = {"image[]": {"type": "array", "items": PICTURE, "description": "Or `image`, for one picture."}, "mask": PICTURE}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _schema(parameters, files, ["prompt", "image[]"])},
            "application/json": {
                "schema": _schema(parameters, {"image": images, "mask": address}, ["prompt", "image"]),
                "examples": examples.OPENAI_EDIT,
            },
        },
    }


def _schema(parameters: Sequence[Param], more: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {param.name: _nullable(param, required) for param in parameters} | more,
        "required": required,
    }


def _nullable(param: Param, required: list[str]) -> dict[str, Any]:
    """Return a parameter's schema; OpenAI's clients send null for what their user leaves out."""
    schema = value_schema(param)
    return schema if param.name in required else {"anyOf": [schema, {"type": "null"}]}
