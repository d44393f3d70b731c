"""Bodies and answers, as marshmallow checks them and OpenAPI shows them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.http.order_faults import add_models_faults, add_places, require_user
from app.api.http.requests import BodySchema
from app.domain.costs import CostSource
from app.domain.job import JobStatus

MAX_USER_ID_CHARS = 256
MAX_METADATA_KEYS = 50


def no_nul(value: str) -> None:
    if "\0" in value or any(0xD800 <= ord(char) <= 0xDFFF for char in value):
        raise ma.ValidationError("Must not contain NUL or lone surrogates.")


def metadata_key(key: str) -> None:
    if not 1 <= len(key) <= 64 or key.startswith("$") or "." in key or "\0" in key:
        raise ma.ValidationError(f"Key {key!r}: use 1 to 64 characters, no dot, no leading $.")


def _metadata(value: dict[str, Any]) -> None:
    """Flat, small, and without the characters a document store gives a meaning to."""
    if len(value) > MAX_METADATA_KEYS:
        raise ma.ValidationError(f"At most {MAX_METADATA_KEYS} keys.")
    for key, item in value.items():
        metadata_key(key)
        if not isinstance(item, str | int | float | bool) or len(str(item)) > 500:
            raise ma.ValidationError(f"Value of {key!r}: use a string, number or boolean of at most 500 characters.")
        if isinstance(item, str):
            no_nul(item)


def user_id_field(**kwargs: Any) -> ma.fields.String:
    length = ma.validate.Length(1, MAX_USER_ID_CHARS)
    return ma.fields.String(data_key="userId", load_default=None, validate=[length, no_nul], **kwargs)


def text_field(key: str, longest: int = 128) -> ma.fields.String:
    return ma.fields.String(data_key=key, load_default=None, validate=[ma.validate.Length(1, longest), no_nul])


def metadata_field() -> ma.fields.Dict:
    return ma.fields.Dict(keys=ma.fields.String(), load_default=dict, validate=_metadata)


class OrderBody(BodySchema):
    """What is ordered; `inputs` and `options` are checked against the model's own schema: see `/api/images/models/{name}`."""

    model = ma.fields.String(required=True, validate=ma.validate.Length(1, 200))
    inputs = ma.fields.Dict(keys=ma.fields.String(), load_default=dict)
    options = ma.fields.Dict(keys=ma.fields.String(), load_default=dict)
    #: Whether required inputs may not be missing.
    is_whole = True

    def handle_error(self, error: ma.ValidationError, data: Any, **_: Any) -> None:
        """Tell with what is wrong here also what the model would refuse, and where a name belongs that is only in the wrong place."""
        if isinstance(error.messages, dict) and isinstance(data, dict):
            known = [field.data_key or name for name, field in self.fields.items()]
            add_places(error.messages, known)
            add_models_faults(error.messages, data, whole=self.is_whole)


class GenerateBody(OrderBody):
    user_id = user_id_field(metadata={"description": "Whom the job is for; a signed-in user may leave it out."})
    project_id = text_field("projectId")
    metadata = metadata_field()
    asynchronous = ma.fields.Boolean(data_key="async", load_default=False, truthy={True}, falsy={False})

    @ma.validates_schema(skip_on_field_errors=False)
    def _has_user(self, data: dict[str, Any], **_: Any) -> None:
        require_user(data)


class EstimateBody(OrderBody):
    inputs = ma.fields.Dict(keys=ma.fields.String(), load_default=None)
    is_whole = False


class EstimateAnswer(ma.Schema):
    cost_per_image = ma.fields.Float(data_key="costPerImage")
    total_cost = ma.fields.Float(data_key="totalCost")
    num_images = ma.fields.Integer(data_key="numImages")


class CursorAnswer(ma.Schema):
    next = ma.fields.String(allow_none=True)
    has_more = ma.fields.Boolean(data_key="hasMore")


class ImageAnswer(ma.Schema):
    url = ma.fields.Url()
    width = ma.fields.Integer()
    height = ma.fields.Integer()
    content_type = ma.fields.String(data_key="contentType")
    size_bytes = ma.fields.Integer(data_key="sizeBytes")
    sha256 = ma.fields.String()
    image_id = ma.fields.UUID(data_key="imageId")
    flagged = ma.fields.Boolean(metadata={"description": "The model's own safety checker marked this picture."})


class GenerateAnswer(ma.Schema):
    success = ma.fields.Boolean()
    job_id = ma.fields.UUID(data_key="jobId")
    status = ma.fields.Enum(JobStatus, by_value=True)
    model = ma.fields.String()
    images = ma.fields.List(ma.fields.Nested(ImageAnswer))
    cost = ma.fields.Float(metadata={"description": "USD, what the user is charged."})
    status_url = ma.fields.String(data_key="statusUrl")
    message = ma.fields.String()


class CostDetailAnswer(ma.Schema):
    estimated = ma.fields.Float(metadata={"description": "USD, what the operator was expected to pay fal when the job was ordered."})
    actual = ma.fields.Float(allow_none=True, metadata={"description": "USD, what fal charges the operator; null while unknown."})
    source = ma.fields.Enum(CostSource, by_value=True, metadata={"description": "Where the best figure comes from."})


class FailureAnswer(ma.Schema):
    code = ma.fields.String()
    message = ma.fields.String()
    details = ma.fields.Dict(allow_none=True)


class JobAnswer(ma.Schema):
    job_id = ma.fields.UUID(data_key="jobId")
    user_id = ma.fields.String(data_key="userId")
    type = ma.fields.String()
    operation = ma.fields.String()
    model = ma.fields.String()
    status = ma.fields.Enum(JobStatus, by_value=True)
    progress = ma.fields.Integer()
    message = ma.fields.String()
    cancel_requested = ma.fields.Boolean(
        data_key="cancelRequested",
        metadata={"description": "Its user has asked to cancel it; while it has not ended, fal's answer decides how it will."},
    )
    config = ma.fields.Dict()
    images = ma.fields.List(ma.fields.Nested(ImageAnswer))
    cost = ma.fields.Float(metadata={"description": "USD, what the user is charged."})
    cost_detail = ma.fields.Nested(CostDetailAnswer, data_key="costDetail")
    error = ma.fields.Nested(FailureAnswer, allow_none=True)
    project_id = ma.fields.String(data_key="projectId", allow_none=True)
    metadata = ma.fields.Dict()
    batch_id = ma.fields.UUID(data_key="batchId", allow_none=True)
    created_at = ma.fields.AwareDateTime(data_key="createdAt")
    updated_at = ma.fields.AwareDateTime(data_key="updatedAt")
    completed_at = ma.fields.AwareDateTime(data_key="completedAt", allow_none=True)
    processing_time_ms = ma.fields.Integer(data_key="processingTimeMs", allow_none=True)


class ModelAnswer(ma.Schema):
    name = ma.fields.String()
    category = ma.fields.String()
    description = ma.fields.String()
    fal_endpoint = ma.fields.String(data_key="falEndpoint")
    required_inputs = ma.fields.List(ma.fields.String(), data_key="requiredInputs")
    optional_inputs = ma.fields.List(ma.fields.String(), data_key="optionalInputs")
    default_options = ma.fields.Dict(data_key="defaultOptions")
    cost_per_image = ma.fields.Float(data_key="costPerImage")


class ModelsAnswer(ma.Schema):
    total = ma.fields.Integer()
    models = ma.fields.List(ma.fields.Nested(ModelAnswer))


class ModelDetailAnswer(ModelAnswer):
    input_schema = ma.fields.Dict(data_key="inputSchema", metadata={"description": "JSON Schema 2020-12."})
    pricing = ma.fields.List(ma.fields.Dict())
    limits = ma.fields.Dict()
    usual_seconds = ma.fields.Float(
        data_key="usualSeconds", allow_none=True, metadata={"description": "Median of the latest generations at fal."}
    )


class FieldErrorAnswer(ma.Schema):
    pointer = ma.fields.String()
    detail = ma.fields.String()


class ErrorAnswer(ma.Schema):
    """The one error body."""

    success = ma.fields.Boolean(metadata={"description": "Always false."})
    status = ma.fields.Integer()
    code = ma.fields.String(metadata={"description": "Stable: switch on this, not on the message."})
    message = ma.fields.String()
    retryable = ma.fields.Boolean()
    request_id = ma.fields.String(data_key="requestId")
    details = ma.fields.Dict()
    errors = ma.fields.List(ma.fields.Nested(FieldErrorAnswer))
    job_id = ma.fields.UUID(data_key="jobId")
