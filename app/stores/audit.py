"""The `audit` collection: what operators have changed. Entries are added and get their outcome once; nothing else ever happens to them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo import DESCENDING

from app.domain.audit import AuditEntry, AuditFilter, Outcome
from app.stores.database import Database, Document, storable, store
from app.stores.job_plans import first_id_of
from app.stores.records import document_of, record_of


@store
class AuditStore:
    def __init__(self, database: Database) -> None:
        self._audit = database["audit"]

    def insert(self, entry: AuditEntry) -> None:
        self._audit.insert_one(storable(document_of(entry)))

    def conclude(self, entry_id: str, outcome: Outcome, result: Mapping[str, Any], *, at: datetime) -> None:
        """Note what came of an entry, unless that is noted already."""
        noted = {"outcome": outcome.value, "result": storable(dict(result)), "endedAt": at}
        self._audit.update_one({"_id": entry_id, "outcome": None}, {"$set": noted})

    def page(self, wanted: AuditFilter, *, before_id: str | None, limit: int) -> list[AuditEntry]:
        """Return up to `limit` entries older than `before_id`, newest first."""
        found = self._audit.find(_query(wanted, before_id)).sort("_id", DESCENDING).limit(limit)
        return [record_of(AuditEntry, doc) for doc in found]


def _query(wanted: AuditFilter, before_id: str | None) -> Document:
    named = {
        "actorId": wanted.actor,
        "subject": wanted.subject,
        "action": wanted.action and wanted.action.value,
        "outcome": wanted.outcome and wanted.outcome.value,
    }
    ends = [first_id_of(wanted.created_to)] if wanted.created_to else []
    ids = {
        **({"$gte": first_id_of(wanted.created_from)} if wanted.created_from else {}),
        **({"$lt": min([*ends, *([before_id] if before_id else [])])} if ends or before_id else {}),
    }
    return {**{name: value for name, value in named.items() if value is not None}, **({"_id": ids} if ids else {})}
