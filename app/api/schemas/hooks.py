"""Where the events of one order go: fields of every body that orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import marshmallow as ma

from app.api.http.requests import BodySchema
from app.api.schemas.fields import no_nul
from app.clients.guarded import MAX_URL_CHARS
from app.domain.endpoint import BATCH_COMPLETED, JOB_EVENTS

URL_HELP = "Where this order's events are posted, signed with `GET /api/webhooks/secret`: https, on the public internet."


def url_field(**kwargs: Any) -> ma.fields.String:
    return ma.fields.String(validate=[ma.validate.Length(1, MAX_URL_CHARS), no_nul], **kwargs)


def events_field(known: Sequence[str], **kwargs: Any) -> ma.fields.List[str]:
    event = ma.fields.String(validate=ma.validate.OneOf(known, error=f"Unknown event. Known: {', '.join(known)}."))
    return ma.fields.List(event, validate=ma.validate.Length(1, len(known)), **kwargs)


class HookBody(BodySchema):
    """A body that may name a webhook. What is not given is left out, so that a body from before says the same as ever."""

    webhook = url_field(metadata={"description": URL_HELP, "example": "https://example.com/hooks/pictures"})
    webhook_events = events_field(
        JOB_EVENTS,
        data_key="webhookEvents",
        metadata={"description": "Which events; `job.completed`, `job.failed` and `job.canceled` unless told."},
    )

    @ma.validates_schema(skip_on_field_errors=False)
    def _has_receiver(self, data: dict[str, Any], **_: Any) -> None:
        if "webhook_events" in data and "webhook" not in data:
            raise ma.ValidationError("Say by 'webhook' where they go.", "webhookEvents")


class BatchHookBody(HookBody):
    webhook_events = events_field(
        (*JOB_EVENTS, BATCH_COMPLETED),
        data_key="webhookEvents",
        metadata={"description": "Which events; `job.completed`, `job.failed`, `job.canceled` and `batch.completed` unless told."},
    )
