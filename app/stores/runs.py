"""The `runs` collection: the latest run of each kind. Of any number who begin one at once, or work at it, one wins each time."""

from __future__ import annotations

from datetime import datetime

from pymongo.errors import DuplicateKeyError

from app.domain.run import Run, RunKind, RunState
from app.stores.database import Database, store
from app.stores.records import document_of, record_of


@store
class RunStore:
    def __init__(self, database: Database) -> None:
        self._runs = database["runs"]

    def get(self, kind: RunKind) -> Run | None:
        doc = self._runs.find_one({"_id": kind.value})
        return record_of(Run, doc) if doc else None

    def begin(self, run: Run, *, silent_since: datetime) -> bool:
        """Write a new run; False while another of its kind is at work, and has been heard of since."""
        over = [{"state": {"$ne": RunState.RUNNING.value}}, {"updatedAt": {"$lt": silent_since}}]
        try:
            self._runs.replace_one({"_id": run.id.value, "$or": over}, document_of(run), upsert=True)
        except DuplicateKeyError:
            return False
        return True

    def save(self, before: Run, after: Run) -> bool:
        """Write how far a run is; False where another has gone on with it, or begun a new one: then this one stops."""
        unchanged = {"_id": before.id.value, "number": before.number, "state": RunState.RUNNING.value, "updatedAt": before.updated_at}
        return self._runs.replace_one(unchanged, document_of(after)).matched_count == 1
