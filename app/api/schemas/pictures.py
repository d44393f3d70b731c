"""Generated pictures: how one looks, and what is asked of a thumbnail."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer, DownloadLink, Link, ThumbnailLink, Usd, shows
from app.api.http.paging import CursorAnswer, cursor_field, limit_field
from app.api.http.requests import BodySchema
from app.api.schemas.images import ProvenanceAnswer
from app.api.schemas.jobs import JobFilterQuery, config_of, processing_ms
from app.domain.job_filter import prompt_of
from app.pictures.inspect import EXTENSIONS
from app.pictures.thumbnail import SIZES

MAX_ARCHIVED = 500


class ThumbnailQuery(BodySchema):
    size = ma.fields.Integer(
        load_default=SIZES[0], validate=ma.validate.OneOf(SIZES), metadata={"description": "The longest side in pixels."}
    )


class GeneratedPicture(Answer):
    """A picture as in its job's `images`, and what made it."""

    image_id = ma.fields.UUID(data_key="imageId", attribute="image.upload_id")
    url = Link(attribute="image.key")
    thumbnail_url = shows(ThumbnailLink(data_key="thumbnailUrl"), lambda picture: picture.image.key)
    download_url = shows(DownloadLink(data_key="downloadUrl"), lambda picture: picture.image.key)
    width = ma.fields.Integer(attribute="image.width")
    height = ma.fields.Integer(attribute="image.height")
    content_type = ma.fields.String(data_key="contentType", attribute="image.content_type")
    size_bytes = ma.fields.Integer(data_key="sizeBytes", attribute="image.size_bytes")
    sha256 = ma.fields.String(attribute="image.sha256")
    provenance = shows(ma.fields.Nested(ProvenanceAnswer), lambda picture: picture.image)
    flagged = ma.fields.Boolean(attribute="image.flagged", metadata={"description": "The model's own safety checker marked this picture."})
    number = ma.fields.Integer(attribute="image.number", metadata={"description": "Its place among its job's images, from 0."})
    file_name = ma.fields.String(data_key="fileName", metadata={"description": "What `downloadUrl` saves it as."})
    job_id = ma.fields.UUID(data_key="jobId", attribute="job.id")
    user_id = ma.fields.String(data_key="userId", attribute="job.user_id")
    operation = ma.fields.String(attribute="job.operation")
    model = ma.fields.String(attribute="job.model")
    prompt = shows(ma.fields.String(), lambda picture: prompt_of(picture.job))
    seed = ma.fields.String(allow_none=True, metadata={"description": "The seed the model told, as text: it may exceed 64 bits."})
    config = shows(ma.fields.Dict(), lambda picture: config_of(picture.job))
    job_cost = Usd(data_key="jobCost", attribute="job.charged_micros", metadata={"description": "USD charged for its whole job."})
    job_tokens = ma.fields.Integer(
        data_key="jobTokens", attribute="job.tokens_used", metadata={"description": "Tokens charged for its whole job; 0 where USD are."}
    )
    request_id = ma.fields.String(data_key="requestId", allow_none=True, metadata={"description": "fal's id of the request that made it."})
    processing_time_ms = shows(ma.fields.Integer(data_key="processingTimeMs", allow_none=True), lambda picture: processing_ms(picture.job))
    project_id = ma.fields.String(data_key="projectId", attribute="job.project_id", allow_none=True)
    metadata = ma.fields.Dict(attribute="job.metadata")
    batch_id = ma.fields.UUID(data_key="batchId", attribute="job.batch_id", allow_none=True)
    favorite = ma.fields.Boolean(attribute="job.favorite", metadata={"description": "Its job was noted as a favorite."})
    tags = shows(ma.fields.List(ma.fields.String()), lambda picture: list(picture.job.tags))
    created_at = ma.fields.AwareDateTime(data_key="createdAt", attribute="job.created_at")
    completed_at = ma.fields.AwareDateTime(data_key="completedAt", attribute="job.completed_at", allow_none=True)


class GalleryQuery(JobFilterQuery):
    limit = limit_field()
    cursor = cursor_field()


class GalleryAnswer(Answer):
    images = ma.fields.List(ma.fields.Nested(GeneratedPicture))
    cursor = ma.fields.Nested(CursorAnswer)


def _binary(*types: str) -> dict[str, Any]:
    return {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in types}}


class ArchiveBody(BodySchema):
    image_ids = ma.fields.List(
        ma.fields.UUID(),
        data_key="imageIds",
        required=True,
        validate=ma.validate.Length(1, MAX_ARCHIVED),
        metadata={"description": f"1 to {MAX_ARCHIVED} pictures."},
    )


ARCHIVE_ANSWERS = {"200": {"description": "The zip file; one that was cut off by an error does not open.", **_binary("application/zip")}}
THUMBNAIL_ANSWERS = {"200": {"description": "The picture made small, or as it is where it cannot be.", **_binary(*EXTENSIONS)}}
