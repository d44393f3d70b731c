"""Whether this machine's clock can be believed by who is about to delete what is old: in `locks`, since a restart must not forget it."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.stores.database import Database, store

#: More than lies between two looks. A standstill of the service looks the same, and costs the same wait.
JUMP = timedelta(hours=1)
#: How long after a jump the new time is waited with.
BELIEVED_AFTER = timedelta(hours=1)
NAME = "steady clock"


@store
class SteadyClock:
    def __init__(self, database: Database) -> None:
        self._notes = database["locks"]

    def is_steady(self, now: datetime) -> bool:
        """Tell whether the time has gone on as time does, for an hour at least; notes that it was looked at."""
        seen = self._notes.find_one({"_id": NAME}) or {"seenAt": now, "steadySince": now - BELIEVED_AFTER}
        jumped = abs(now - seen["seenAt"]) > JUMP
        since = now if jumped else seen["steadySince"]
        self._notes.update_one({"_id": NAME}, {"$set": {"seenAt": now, "steadySince": since}}, upsert=True)
        return bool(now - since >= BELIEVED_AFTER)
