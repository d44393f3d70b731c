"""Bodies and answers of the web app's generations."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.http import examples
from app.api.http.answers import Answer, DownloadLink, Link, ThumbnailLink, shows
from app.api.http.paging import CursorAnswer, cursor_field, limit_field
from app.api.http.requests import BodySchema
from app.api.schemas.fields import WholeNumber, no_nul, retain_days_field
from app.api.schemas.hooks import URL_HELP, HookBody
from app.api.schemas.jobs import processing_ms
from app.domain.endpoint import JOB_EVENTS
from app.domain.job import Job, JobStatus
from app.services.orders.web_generation import ASPECT_RATIOS
from registry.prompts import FOCUS_MODES
from registry.values import DATA_PATTERN, MAX_DATA_LENGTH

MAX_IMAGES = 4
BAD_DATA_URI = "In JSON this is data:image/<type>;base64,<data>; a file is sent as multipart/form-data."
BAD_REFERENCE_TYPE = f"Invalid reference type. Allowed: {', '.join(FOCUS_MODES)}"


def _prompt() -> ma.fields.String:
    return ma.fields.String(required=True, validate=no_nul, metadata={"description": "5 to 2000 characters; script tags are removed."})


def _aspect_ratio() -> ma.fields.String:
    return ma.fields.String(data_key="aspectRatio", load_default="1:1", validate=ma.validate.OneOf(ASPECT_RATIOS))


def _count() -> ma.fields.Integer:
    return WholeNumber(data_key="numberOfImages", load_default=1, validate=ma.validate.Range(1, MAX_IMAGES))


def _uuid(key: str) -> ma.fields.UUID:
    return ma.fields.UUID(data_key=key, load_default=None, allow_none=True)


class TextToImageBody(HookBody):
    prompt = _prompt()
    aspect_ratio = _aspect_ratio()
    number_of_images = _count()
    project_id = _uuid("projectId")
    retain_days = retain_days_field()
    template_id = ma.fields.String(data_key="promptTemplateId", load_default=None, validate=ma.validate.Length(1, 100))
    model = ma.fields.String(load_default=None, validate=ma.validate.Length(1, 200))


class ImageReferenceBody(HookBody):
    """The fields of both forms. `image` is a data URI here; in multipart it is a file, which is read before these."""

    prompt = _prompt()
    reference_type = ma.fields.String(
        data_key="referenceType",
        required=True,
        validate=ma.validate.OneOf(FOCUS_MODES, error=BAD_REFERENCE_TYPE),
        error_messages=dict.fromkeys(("required", "null", "invalid"), BAD_REFERENCE_TYPE),
    )
    image = ma.fields.String(
        load_default=None,
        allow_none=True,
        validate=[ma.validate.Length(max=MAX_DATA_LENGTH), ma.validate.Regexp(DATA_PATTERN, error=BAD_DATA_URI)],
    )
    reference_image_id = _uuid("referenceImageId")
    aspect_ratio = _aspect_ratio()
    number_of_images = _count()
    project_id = _uuid("projectId")
    retain_days = retain_days_field()


class GenerationsQuery(BodySchema):
    limit = limit_field()
    cursor = cursor_field()
    include_failed = ma.fields.Boolean(data_key="includeFailed", load_default=False)


def _own(job: Job, name: str) -> Any:
    """Return what only orders by the web app's own endpoints have; missing for all others."""
    return (job.web and getattr(job.web, name)) or ma.missing


class GenerationImage(Answer):
    image_id = ma.fields.UUID(data_key="imageId", attribute="upload_id")
    image_url = Link(data_key="imageUrl", attribute="key")
    thumbnail_url = shows(ThumbnailLink(data_key="thumbnailUrl"), lambda image: image.key)
    download_url = shows(DownloadLink(data_key="downloadUrl"), lambda image: image.key)
    mime_type = ma.fields.String(data_key="mimeType", attribute="content_type")
    size_bytes = ma.fields.Integer(data_key="sizeBytes")


class GenerationMetadata(Answer):
    prompt = shows(ma.fields.String(), lambda job: job.web.prompt if job.web else job.inputs.get("prompt"))
    reference_type = shows(ma.fields.String(data_key="referenceType"), lambda job: _own(job, "reference_type"))
    num_images = ma.fields.Integer(data_key="numberOfImages")
    aspect_ratio = shows(
        ma.fields.String(data_key="aspectRatio", allow_none=True),
        lambda job: job.web.aspect_ratio if job.web else job.options.get("aspect_ratio"),
    )
    project_id = ma.fields.String(data_key="projectId", allow_none=True)
    reference_image_id = shows(ma.fields.UUID(data_key="referenceImageId"), lambda job: _own(job, "reference_image_id"))
    template_id = shows(ma.fields.String(data_key="promptTemplateId"), lambda job: _own(job, "template_id"))


class GenerationError(Answer):
    code = ma.fields.String()
    message = ma.fields.String()


class GenerationAnswer(Answer):
    id = ma.fields.UUID(data_key="generationId")
    status = ma.fields.Enum(JobStatus, by_value=True)
    progress = ma.fields.Integer()
    message = ma.fields.String()
    created_at = ma.fields.AwareDateTime(data_key="createdAt")
    completed_at = ma.fields.AwareDateTime(data_key="completedAt", allow_none=True)
    metadata = shows(ma.fields.Nested(GenerationMetadata), lambda job: job)
    images = ma.fields.List(ma.fields.Nested(GenerationImage))
    tokens_used = ma.fields.Integer(data_key="tokensUsed")
    processing_time_ms = shows(ma.fields.Integer(data_key="processingTimeMs", allow_none=True), processing_ms)
    cancel_requested = shows(ma.fields.Boolean(data_key="cancelRequested"), lambda job: job.cancel_requested_at is not None or ma.missing)
    error = shows(ma.fields.Nested(GenerationError), lambda job: job.failure or ma.missing)


class GenerationsAnswer(Answer):
    queue = ma.fields.List(ma.fields.Nested(GenerationAnswer))
    completed = ma.fields.List(ma.fields.Nested(GenerationAnswer))
    results = ma.fields.List(ma.fields.Nested(GenerationAnswer))
    cursor = ma.fields.Nested(CursorAnswer)
    failed = ma.fields.List(ma.fields.Nested(GenerationAnswer))


class QueuedAnswer(Answer):
    job_id = ma.fields.UUID(data_key="jobId")
    generation_id = ma.fields.UUID(data_key="generationId")
    reference_image_id = ma.fields.UUID(data_key="referenceImageId")
    status = ma.fields.String()
    message = ma.fields.String()
    num_images = ma.fields.Integer(data_key="numberOfImages")
    metadata = ma.fields.Dict()
    events = ma.fields.Dict(data_key="websocketEvents")
    status_endpoint = ma.fields.String(data_key="statusEndpoint")


class TemplateAnswer(Answer):
    id = ma.fields.String()
    name = ma.fields.String()
    description = ma.fields.String()
    preview = ma.fields.String()


class TemplatesAnswer(Answer):
    templates = ma.fields.List(ma.fields.Nested(TemplateAnswer))


def image_reference_content() -> dict[str, Any]:
    """Return the documented request bodies of image-reference: one multipart, one JSON."""
    fields: dict[str, Any] = {
        "prompt": {"type": "string", "minLength": 5, "maxLength": 2000},
        "referenceType": {"type": "string", "enum": list(FOCUS_MODES)},
        "referenceImageId": {"type": "string", "format": "uuid"},
        "aspectRatio": {"type": "string", "enum": list(ASPECT_RATIOS), "default": "1:1"},
        "numberOfImages": {"type": "integer", "minimum": 1, "maximum": MAX_IMAGES, "default": 1},
        "projectId": {"type": ["string", "null"], "format": "uuid"},
        "webhook": {"type": "string", "maxLength": 2000, "description": URL_HELP},
        "webhookEvents": {"type": "array", "items": {"type": "string", "enum": list(JOB_EVENTS)}},
    }
    required = ["prompt", "referenceType"]
    file = {"image": {"type": "string", "contentMediaType": "application/octet-stream"}}
    # Forms are filled in from the fields' own examples, each of its field's type; without one an id would be made up.
    form = {
        name: {**field, "example": examples.REFERENCE_FORM.get(name, [] if field["type"] == "array" else "")}
        for name, field in fields.items()
    }
    data_uri = {
        "image": {
            "type": "string",
            "pattern": DATA_PATTERN,
            "maxLength": MAX_DATA_LENGTH,
            "description": "The picture as a base64 data URI.",
        }
    }
    either = [{"required": ["image"]}, {"required": ["referenceImageId"]}]
    return {
        "multipart/form-data": {
            "schema": {"type": "object", "properties": file | form, "required": required},
            "example": examples.REFERENCE_FORM,
        },
        "application/json": {
            "schema": {"type": "object", "properties": data_uri | fields, "required": required, "oneOf": either},
            "examples": examples.IMAGE_REFERENCE,
        },
    }
