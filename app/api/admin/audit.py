"""The audit log, for administrators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from flask import Response

from app.api.http import paging, services
from app.api.http.access import needs
from app.api.http.exports import documented, exported
from app.api.http.requests import ApiBlueprint
from app.api.schemas import audit as schemas
from app.api.schemas.jobs import ExportFormat
from app.domain.api_key import Scope
from app.domain.audit import AuditFilter

blueprint = ApiBlueprint("admin-audit", __name__, url_prefix="/api/admin/audit", description="What operators have changed")


@blueprint.get("")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.AuditQuery, location="query")
@blueprint.response(200, schemas.AuditAnswer)
@blueprint.errors(400, 401, 403)
def list_entries(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List what operators have changed, newest first (administrators): who, what, and what came of it."""
    before, limit = paging.id_of(query["cursor"]), query["limit"]
    page, cursor = paging.page_of(services().audit.page(_filter_of(query), before_id=before, limit=limit + 1), limit)
    return {"entries": page, "cursor": cursor}, paging.links(cursor)


@blueprint.get("/export")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.AuditExportQuery, location="query")
@blueprint.doc(responses=documented("The entries, newest first."))
@blueprint.errors(400, 401, 403)
def export_entries(query: dict[str, Any]) -> Response:
    """Export all entries that the filters leave, as CSV or NDJSON (administrators). In CSV, details and results are JSON."""
    rows = map(schemas.AuditEntryAnswer.of, services().audit.all(_filter_of(query)))
    if query["format"] is ExportFormat.CSV:
        rows = map(_flat, rows)
    return exported("audit", query["format"], rows, schemas.AuditEntryAnswer.keys())


def _filter_of(query: Mapping[str, Any]) -> AuditFilter:
    return AuditFilter(**{field.name: query[field.name] for field in fields(AuditFilter)})


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value for name, value in row.items()}
