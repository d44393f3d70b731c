"""Queries and answers of uploads."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer, Link
from app.api.http.paging import CursorAnswer, cursor_field, limit_field
from app.api.http.requests import BodySchema
from app.domain.asset import Purpose

UPLOAD_FIELDS = ("file", "image")


class UploadsQuery(BodySchema):
    purpose = ma.fields.Enum(Purpose, by_value=True, load_default=None, metadata={"description": "Only uploads of this purpose."})
    limit = limit_field()
    cursor = cursor_field()


class UploadAnswer(Answer):
    id = ma.fields.UUID(metadata={"description": "Usable as `referenceImageId`, and as `upload:<id>` where a model takes an image."})
    purpose = ma.fields.Enum(Purpose, by_value=True)
    url = Link(attribute="key", metadata={"description": "Made for this answer; a link into a private bucket ends after a day."})
    content_type = ma.fields.String(data_key="mimeType")
    width = ma.fields.Integer()
    height = ma.fields.Integer()
    size_bytes = ma.fields.Integer(data_key="sizeBytes", metadata={"description": "Of the stored file, which has no metadata any more."})
    sha256 = ma.fields.String(metadata={"description": "Of the stored file."})
    file_name = ma.fields.String(data_key="fileName", allow_none=True)
    job_id = ma.fields.UUID(data_key="jobId", allow_none=True, metadata={"description": "The generation an output comes from."})
    created_at = ma.fields.AwareDateTime(data_key="createdAt")


class UploadsAnswer(Answer):
    uploads = ma.fields.List(ma.fields.Nested(UploadAnswer))
    cursor = ma.fields.Nested(CursorAnswer)


def upload_body() -> dict[str, Any]:
    """Return the OpenAPI request body of an upload: one file, under either name."""
    picture = {"type": "string", "contentMediaType": "application/octet-stream"}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        name: {**picture, "description": "JPEG, PNG, WEBP, GIF or BMP, 32 to 4096 pixels a side, at most 10 MB."}
                        for name in UPLOAD_FIELDS
                    },
                    "oneOf": [{"required": [name]} for name in UPLOAD_FIELDS],
                },
            }
        },
    }
