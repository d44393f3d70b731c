"""What the audit log is asked for, and its answer."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer
from app.api.http.paging import CursorAnswer, cursor_field, limit_field
from app.api.http.requests import BodySchema
from app.api.schemas.fields import text_field
from app.api.schemas.jobs import check_order, format_field, moment_field
from app.domain.audit import Action, Outcome

MAX_NAME_CHARS = 300


class _AuditQuery(BodySchema):
    actor = text_field("actor", MAX_NAME_CHARS)
    action = ma.fields.Enum(Action, by_value=True, load_default=None)
    subject = text_field("subject", MAX_NAME_CHARS)
    outcome = ma.fields.Enum(Outcome, by_value=True, load_default=None)
    created_from = moment_field("from", "Changes of this time or later; a day (2026-10-01) is its start in UTC.")
    created_to = moment_field("to", "Changes before this time.")

    @ma.validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        check_order(data)


class AuditQuery(_AuditQuery):
    limit = limit_field()
    cursor = cursor_field()


class AuditExportQuery(_AuditQuery):
    format = format_field()


class AuditEntryAnswer(Answer):
    id = ma.fields.UUID()
    at = ma.fields.AwareDateTime()
    actor_id = ma.fields.String(data_key="actor", metadata={"description": "`user:<id>`, `key:<id>`, or `cli:<user of the system>`."})
    actor_name = ma.fields.String(data_key="actorName", allow_none=True, metadata={"description": "The address, or the key's name."})
    action = ma.fields.Enum(Action, by_value=True)
    subject = ma.fields.String(metadata={"description": "What was changed: `user:<id>`, `key:<id>`, `job:<id>` and the like."})
    details = ma.fields.Dict(metadata={"description": "What was asked for."})
    outcome = ma.fields.Enum(
        Outcome, by_value=True, allow_none=True, metadata={"description": "null while it happens, and where nobody lived to tell."}
    )
    result = ma.fields.Dict(metadata={"description": "What came of it."})
    ended_at = ma.fields.AwareDateTime(data_key="endedAt", allow_none=True)


class AuditAnswer(Answer):
    entries = ma.fields.List(ma.fields.Nested(AuditEntryAnswer))
    cursor = ma.fields.Nested(CursorAnswer)
