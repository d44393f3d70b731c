"""Bodies and answers of webhooks and their deliveries."""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer, shows
from app.api.http.paging import CursorAnswer, cursor_field, limit_field
from app.api.http.requests import BodySchema
from app.api.schemas.fields import metadata_key, no_nul, text_field
from app.api.schemas.hooks import url_field
from app.api.schemas.jobs import moment_field
from app.domain.delivery import TEST, Delivery, DeliveryStatus
from app.domain.endpoint import EVENTS, EndpointStatus, is_known

HEADER_NAME = re.compile(r"authorization|x-[a-z0-9-]{1,60}", re.IGNORECASE)
HEADER_VALUE = re.compile(r"[!-~]([ -~]{0,998}[!-~])?")
MAX_HEADERS, MAX_EVENTS, MAX_OVERLAP_HOURS = 10, 30, 168
EVENTS_HELP = f"Names, `*`, or all of a kind as `job.*`. There are: {', '.join(EVENTS)}."


def _event(text: str) -> None:
    if not is_known(text):
        raise ma.ValidationError(f"Unknown event {text[:100]!r}. {EVENTS_HELP}")


def _headers(value: dict[str, str]) -> None:
    """Only what cannot change how the request is understood: neither its frame nor its signature."""
    if len(value) > MAX_HEADERS:
        raise ma.ValidationError(f"At most {MAX_HEADERS}.")
    if wrong := [name for name in value if not HEADER_NAME.fullmatch(name)]:
        raise ma.ValidationError(f"{wrong[0][:100]!r}: only Authorization, and names that begin with X-.")
    if wrong := [name for name, text in value.items() if not HEADER_VALUE.fullmatch(text)]:
        raise ma.ValidationError(f"{wrong[0]}: use 1 to 1000 printable ASCII characters.")
    if len({name.lower() for name in value}) < len(value):
        raise ma.ValidationError("Two names differ only in case.")


def _metadata(value: dict[str, str]) -> None:
    for key in value:
        metadata_key(key)


class FilterBody(BodySchema):
    """What a job must fit to be told of."""

    model = text_field("model", 200)
    project_id = text_field("projectId")
    metadata = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(validate=[ma.validate.Length(max=500), no_nul]),
        load_default=dict,
        validate=_metadata,
        metadata={"description": "Values of the job's metadata, as text."},
    )


def _events(**kwargs: Any) -> ma.fields.List[str]:
    length = ma.validate.Length(1, MAX_EVENTS)
    return ma.fields.List(ma.fields.String(validate=_event), validate=length, metadata={"description": EVENTS_HELP}, **kwargs)


class EndpointFields(BodySchema):
    description = ma.fields.String(allow_none=True, validate=[ma.validate.Length(max=200), no_nul])
    filter = ma.fields.Nested(FilterBody)
    include_images = ma.fields.Boolean(data_key="includeImages", metadata={"description": "Whether `images` of a job are told."})
    headers = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(),
        validate=_headers,
        metadata={"description": "Headers that go along: `Authorization`, or names that begin with `X-`. Never shown again."},
    )


class EndpointBody(EndpointFields):
    url = url_field(required=True, metadata={"description": "https, on the public internet."})
    events = _events(required=True)
    owner = ma.fields.String(
        load_default="caller",
        validate=ma.validate.OneOf(["caller", "operator"]),
        metadata={"description": "`operator`, for administrators: hears of everybody's jobs, and what only the operator is told."},
    )


class EndpointChange(EndpointFields):
    url = url_field()
    events = _events()
    status = ma.fields.String(validate=ma.validate.OneOf(["enabled", "disabled"]))


class RotateBody(BodySchema):
    overlap_hours = ma.fields.Integer(
        data_key="overlapHours",
        load_default=24,
        strict=True,
        validate=ma.validate.Range(0, MAX_OVERLAP_HOURS),
        metadata={"description": "How long the secret before signs along; 0 where it has leaked."},
    )


class TestBody(BodySchema):
    type = ma.fields.String(load_default=TEST, validate=ma.validate.OneOf(EVENTS))


class RecoverBody(BodySchema):
    since = ma.fields.AwareDateTime(required=True, metadata={"description": "RFC 3339 with a zone."})


class EndpointsQuery(BodySchema):
    limit = limit_field()
    cursor = cursor_field()


class DeliveriesQuery(EndpointsQuery):
    status = ma.fields.Enum(DeliveryStatus, by_value=True, load_default=None)
    type = ma.fields.String(load_default=None, validate=ma.validate.OneOf(EVENTS))
    job_id = ma.fields.String(data_key="jobId", load_default=None, validate=[ma.validate.Length(1, 64), no_nul])
    since = moment_field("from", "Made at this time or later; a day is its start in UTC.")


class JobDeliveriesQuery(BodySchema):
    job_id = ma.fields.String(data_key="jobId", required=True, validate=[ma.validate.Length(1, 64), no_nul])


class FilterAnswer(Answer):
    model = ma.fields.String(allow_none=True)
    project_id = ma.fields.String(data_key="projectId", allow_none=True)
    metadata = ma.fields.Dict()


class EndpointAnswer(Answer):
    id = ma.fields.UUID()
    owner = ma.fields.String(metadata={"description": "`user:<id>`, `key:<id>` or `operator`."})
    url = ma.fields.String()
    events = shows(ma.fields.List(ma.fields.String()), lambda endpoint: list(endpoint.events))
    description = ma.fields.String(allow_none=True)
    filter = ma.fields.Nested(FilterAnswer)
    include_images = ma.fields.Boolean(data_key="includeImages")
    headers = shows(ma.fields.List(ma.fields.String(), metadata={"description": "Names only."}), lambda endpoint: sorted(endpoint.headers))
    status = ma.fields.Enum(EndpointStatus, by_value=True)
    disabled_reason = ma.fields.String(data_key="disabledReason", allow_none=True)
    failing_since = ma.fields.AwareDateTime(data_key="failingSince", allow_none=True)
    failures = ma.fields.Integer(data_key="consecutiveFailures")
    last_success_at = ma.fields.AwareDateTime(data_key="lastSuccessAt", allow_none=True)
    created_at = ma.fields.AwareDateTime(data_key="createdAt")
    updated_at = ma.fields.AwareDateTime(data_key="updatedAt")


class NewSecretAnswer(EndpointAnswer):
    secret = shows(ma.fields.String(metadata={"description": "What signs; shown this once."}), lambda _: ma.missing)


class ChangedAnswer(EndpointAnswer):
    recover_since = shows(
        ma.fields.AwareDateTime(
            data_key="recoverSince",
            metadata={"description": "Where it was enabled: since when it had failed, for `POST …/recover`."},
        ),
        lambda _: ma.missing,
    )


class EndpointsAnswer(Answer):
    webhooks = ma.fields.List(ma.fields.Nested(EndpointAnswer))
    cursor = ma.fields.Nested(CursorAnswer)


def _last(delivery: Delivery, name: str) -> Any:
    return getattr(delivery.attempts[-1], name) if delivery.attempts else None


class DeliveryAnswer(Answer):
    id = ma.fields.String(metadata={"description": "The `webhook-id` its receiver sees, at each attempt."})
    endpoint_id = ma.fields.String(data_key="endpointId", allow_none=True, metadata={"description": "null: an order's own webhook."})
    type = ma.fields.String()
    job_id = ma.fields.String(data_key="jobId", allow_none=True)
    url = ma.fields.String()
    status = ma.fields.Enum(DeliveryStatus, by_value=True)
    reason = ma.fields.String(allow_none=True)
    attempt_count = ma.fields.Integer(data_key="attemptCount")
    status_code = shows(ma.fields.Integer(data_key="statusCode", allow_none=True), lambda delivery: _last(delivery, "status_code"))
    next_at = ma.fields.AwareDateTime(data_key="nextAt", allow_none=True)
    created_at = ma.fields.AwareDateTime(data_key="createdAt")
    done_at = ma.fields.AwareDateTime(data_key="doneAt", allow_none=True)


class AttemptAnswer(Answer):
    at = ma.fields.AwareDateTime()
    status_code = ma.fields.Integer(data_key="statusCode", allow_none=True)
    error = ma.fields.String(allow_none=True)
    latency_ms = ma.fields.Integer(data_key="latencyMs")
    snippet = ma.fields.String(
        data_key="responseSnippet", allow_none=True, metadata={"description": "The answer's first kilobyte; null of a private host."}
    )


class DeliveryDetailAnswer(DeliveryAnswer):
    body = ma.fields.String(metadata={"description": "What is signed and sent, byte for byte."})
    headers = shows(
        ma.fields.Dict(metadata={"description": "Of every attempt; `webhook-timestamp` is its `at`, and the signatures are of that time."}),
        lambda delivery: {"Content-Type": "application/json", "webhook-id": delivery.id},
    )
    attempts = ma.fields.List(ma.fields.Nested(AttemptAnswer), metadata={"description": "The last 12."})


class DeliveriesAnswer(Answer):
    deliveries = ma.fields.List(ma.fields.Nested(DeliveryAnswer))
    cursor = ma.fields.Nested(CursorAnswer)


class JobDeliveriesAnswer(Answer):
    deliveries = ma.fields.List(ma.fields.Nested(DeliveryAnswer))


class TestAnswer(Answer):
    id = ma.fields.String(data_key="deliveryId")
    status = ma.fields.Enum(DeliveryStatus, by_value=True)
    status_code = shows(ma.fields.Integer(data_key="statusCode", allow_none=True), lambda delivery: _last(delivery, "status_code"))
    latency_ms = shows(ma.fields.Integer(data_key="latencyMs", allow_none=True), lambda delivery: _last(delivery, "latency_ms"))
    error = shows(ma.fields.String(allow_none=True), lambda delivery: _last(delivery, "error"))
    snippet = shows(ma.fields.String(data_key="responseSnippet", allow_none=True), lambda delivery: _last(delivery, "snippet"))


class RecoverAnswer(Answer):
    requeued = ma.fields.Integer()


class SecretAnswer(Answer):
    secret = ma.fields.String(metadata={"description": "What signs the webhooks of your orders, `whsec_…`."})
