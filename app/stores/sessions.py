"""The `endedSessions` collection: sessions that were ended alone, before their time. MongoDB removes each once its token has expired."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.domain.account import Session
from app.stores.database import Database, store


@store
class EndedSessionStore:
    def __init__(self, database: Database) -> None:
        self._ended = database["endedSessions"]

    def add(self, session: Session, at: datetime) -> None:
        """End a session for good. Repeatable."""
        fields = {"userId": session.user_id, "endedAt": at, "expiresAt": session.expires_at}
        self._ended.update_one({"_id": session.id}, {"$setOnInsert": fields}, upsert=True)

    def has(self, session_id: str) -> bool:
        return self._ended.find_one({"_id": session_id}, {"_id": 1}) is not None

    def among(self, session_ids: Sequence[str]) -> set[str]:
        """Return those that have ended."""
        return {doc["_id"] for doc in self._ended.find({"_id": {"$in": list(session_ids)}}, {"_id": 1})}
