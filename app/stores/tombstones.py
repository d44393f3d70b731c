"""The `deletedJobs` collection: that a job existed and whose it was, so that it is answered with 410 and not 404."""

from __future__ import annotations

from datetime import datetime

from app.stores.database import Database, store


@store
class Tombstones:
    def __init__(self, database: Database) -> None:
        self._deleted = database["deletedJobs"]

    def write(self, job_id: str, user_id: str, at: datetime) -> None:
        """Note a deletion; repeating it changes nothing."""
        self._deleted.update_one({"_id": job_id}, {"$setOnInsert": {"userId": user_id, "at": at}}, upsert=True)

    def owner_of(self, job_id: str) -> str | None:
        """Return whose deleted job it was, or None where there was none."""
        doc = self._deleted.find_one({"_id": job_id})
        return str(doc["userId"]) if doc else None
