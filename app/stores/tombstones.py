"""`deletedJobs`: what is left of deleted jobs, and what of them is still to be removed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.domain.tombstone import Tombstone
from app.stores.database import Database, Document, store
from app.stores.records import document_of, record_of


@store
class Tombstones:
    def __init__(self, database: Database) -> None:
        self._deleted = database["deletedJobs"]

    def write(self, stone: Tombstone) -> None:
        """Write a tombstone, or write it anew: while its job is there, what it cost may still change."""
        doc = _document(stone)
        self._deleted.update_one({"_id": doc.pop("_id")}, {"$set": doc}, upsert=True)

    def get(self, job_id: str) -> Tombstone | None:
        doc = self._deleted.find_one({"_id": job_id})
        return record_of(Tombstone, doc) if doc else None

    def of_image(self, image_id: str) -> Tombstone | None:
        """Return the tombstone of the job that has made a picture."""
        doc = self._deleted.find_one({"imageIds": image_id})
        return record_of(Tombstone, doc) if doc else None

    def of_batch(self, batch_id: str) -> list[Tombstone]:
        return [record_of(Tombstone, doc) for doc in self._deleted.find({"batchId": batch_id})]

    def due(self, *, now: datetime, limit: int) -> list[Tombstone]:
        """Return those with something left to remove, longest waiting first."""
        found = self._deleted.find({"attentionAt": {"$lte": now}}).sort("attentionAt").limit(limit)
        return [record_of(Tombstone, doc) for doc in found]

    def attend(self, stone: Tombstone, until: datetime | None, *, is_cleared: bool) -> bool:
        """Put off the next look at a tombstone, or, with None, say that nothing is left; False where another was faster.

        `is_cleared`: nothing of it is left here.
        """
        unchanged = {"_id": stone.id, "attentionAt": stone.attention_at}
        noted = {"isCleared": is_cleared}
        change: Document = {"$set": {**noted, "attentionAt": until}} if until else {"$set": noted, "$unset": {"attentionAt": ""}}
        return bool(self._deleted.update_one(unchanged, change).matched_count)

    def is_any_open(self, user_id: str) -> bool:
        """Tell whether something of a user's deleted jobs is still here."""
        query = {"userId": user_id, "attentionAt": {"$exists": True}, "isCleared": {"$ne": True}}
        return self._deleted.find_one(query, {"_id": 1}) is not None

    def of_user(self, user_id: str, *, limit: int) -> list[Tombstone]:
        return [record_of(Tombstone, doc) for doc in self._deleted.find({"userId": user_id}).sort("_id").limit(limit)]

    def rename(self, job_ids: Sequence[str], user_id: str) -> None:
        """Let tombstones belong to another name."""
        self._deleted.update_many({"_id": {"$in": list(job_ids)}}, {"$set": {"userId": user_id}})


def _document(stone: Tombstone) -> Document:
    """Return a tombstone's document without what is empty: the indexes are sparse."""
    return {name: value for name, value in document_of(stone).items() if value not in (None, [])}
