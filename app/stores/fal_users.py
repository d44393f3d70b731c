"""The `falUsers` collection: which account at fal each of the operator's keys was first seen to belong to."""

from __future__ import annotations

from datetime import datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from app.stores.database import Database, store


@store
class FalUserStore:
    def __init__(self, database: Database) -> None:
        self._users = database["falUsers"]

    def get(self, key_digest: str) -> str | None:
        doc = self._users.find_one({"_id": key_digest})
        return str(doc["userId"]) if doc else None

    def pin(self, key_digest: str, user_id: str, at: datetime) -> str:
        """Write down whose key it is unless that is known; return whose it is. Of any number at once the first counts."""
        first = {"$setOnInsert": {"userId": user_id, "seenAt": at}}
        try:
            doc = self._users.find_one_and_update({"_id": key_digest}, first, upsert=True, return_document=ReturnDocument.AFTER)
        except DuplicateKeyError:
            doc = self._users.find_one({"_id": key_digest})
        return str(doc["userId"]) if doc else user_id
