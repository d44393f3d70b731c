"""`departures`: users whose data are being deleted; and `formerLogins`, by which somebody who comes back is known, and not who it is."""

from __future__ import annotations

from datetime import datetime

from app.domain.departure import Departure
from app.stores.database import Database, store
from app.stores.records import document_of, record_of


@store
class DepartureStore:
    def __init__(self, database: Database) -> None:
        self._departures = database["departures"]
        self._logins = database["formerLogins"]

    def begin(self, departure: Departure) -> Departure:
        """Write a departure unless its user is leaving already; return the one that is written."""
        doc = document_of(departure)
        self._departures.update_one({"_id": doc.pop("_id")}, {"$setOnInsert": doc}, upsert=True)
        return self.get(departure.id) or departure

    def get(self, user_id: str) -> Departure | None:
        doc = self._departures.find_one({"_id": user_id})
        return record_of(Departure, doc) if doc else None

    def due(self, *, now: datetime, limit: int) -> list[Departure]:
        found = self._departures.find({"attentionAt": {"$lte": now}}).sort("attentionAt").limit(limit)
        return [record_of(Departure, doc) for doc in found]

    def attend(self, departure: Departure, until: datetime) -> bool:
        """Put off the next look at a departure; False where another was faster."""
        unchanged = {"_id": departure.id, "attentionAt": departure.attention_at}
        return bool(self._departures.update_one(unchanged, {"$set": {"attentionAt": until}}).matched_count)

    def count(self, departure: Departure, *, jobs: int = 0, uploads: int = 0) -> None:
        """Note how much more is deleted."""
        self._departures.update_one({"_id": departure.id}, {"$inc": {"jobsDeleted": jobs, "uploadsDeleted": uploads}})

    def end(self, departure: Departure, at: datetime) -> Departure | None:
        """Forget the departure, its pseudonym with it, and return it; of its login stays a digest that leads nowhere."""
        if departure.login_digest:
            self._logins.update_one({"_id": departure.login_digest}, {"$set": {"at": at}}, upsert=True)
        doc = self._departures.find_one_and_delete({"_id": departure.id})
        return record_of(Departure, doc) if doc else None

    def left_at(self, login_digest: str) -> datetime | None:
        """Return when the data of whoever had this login were deleted."""
        doc = self._logins.find_one({"_id": login_digest})
        return doc["at"] if doc else None
