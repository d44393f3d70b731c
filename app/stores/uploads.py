"""The `uploads` collection: the record of every stored picture, from before its bytes are stored until after they are gone.

State: storing -> stored -> removing, and storing -> removing. Readers see `stored` only. A key has one record at a time (unique index), so
whoever holds the record decides what becomes of the object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from app.domain.asset import Purpose, Upload
from app.stores.database import Database, Document, store
from app.stores.records import document_of, record_of

#: `changedAt` of a record that nobody works on any more.
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class State(StrEnum):
    STORING = "storing"
    STORED = "stored"
    REMOVING = "removing"


@dataclass(frozen=True)
class Known:
    """A record that is already there."""

    upload: Upload
    is_stored: bool


@store
class UploadStore:
    def __init__(self, database: Database) -> None:
        self._uploads = database["uploads"]

    def insert(self, upload: Upload) -> None:
        """Record a picture that is stored already; repeating it changes nothing.

        Not an insert: the driver reports its duplicate and not that a majority has yet to confirm it, and the job is then settled.
        """
        try:
            self._uploads.update_one({"_id": upload.id}, {"$setOnInsert": _document(upload, State.STORED)}, upsert=True)
        except DuplicateKeyError:
            return

    def reserve(self, upload: Upload, source_sha256: str, *, name: str | None = None) -> bool:
        """Record a picture about to be stored. Returns False where its name has a record.

        The name stands in the field `key`, which is unique. Records from before objects had random keys have no other.
        """
        document = _document(upload, State.STORING) | ({"key": name, "objectKey": upload.key} if name else {})
        try:
            self._uploads.insert_one({**document, "sourceSha256": source_sha256})
        except DuplicateKeyError:
            return False
        return True

    def bytes_of(self, user_id: str) -> int:
        """Return how many bytes of uploads a user keeps, those included that are just being stored or removed."""
        mine = {"userId": user_id, "purpose": Purpose.INPUT.value}
        total = {"_id": None, "bytes": {"$sum": "$sizeBytes"}}
        return sum(int(doc["bytes"]) for doc in self._uploads.aggregate([{"$match": mine}, {"$group": total}]))

    def join(self, name: str, *, for_order: bool, now: datetime) -> Known | None:
        """Return the record of a name unless it is being removed, and note that more than one call wants it: see `claim_new`."""
        noted = {"isShared": True, "changedAt": now, **({} if for_order else {"orderOnly": False})}
        doc = self._uploads.find_one_and_update({"key": name, "state": {"$in": [State.STORING, State.STORED]}}, {"$set": noted})
        return Known(_upload(doc), doc["state"] == State.STORED) if doc else None

    def confirm(self, upload_id: str) -> bool:
        """Make a picture visible: storing -> stored. Returns False where somebody else moved it first."""
        found = self._uploads.update_one({"_id": upload_id, "state": State.STORING}, {"$set": {"state": State.STORED}})
        return found.modified_count == 1

    def is_gone(self, upload_id: str) -> bool:
        """Tell whether an upload is being removed, or has no record any more. Neither ever changes."""
        return self._uploads.find_one({"_id": upload_id, "state": {"$in": [State.STORING, State.STORED]}}, {"_id": 1}) is None

    def get(self, upload_id: str, *, user_id: str) -> Upload | None:
        """Return the user's own upload; somebody else's does not exist."""
        doc = self._uploads.find_one({"_id": upload_id, "userId": user_id, "state": State.STORED})
        return _upload(doc) if doc else None

    def used(self, upload_id: str, *, user_id: str, now: datetime) -> Upload | None:
        """Return the user's own upload for an order, and note that it is wanted: see `claim_unused`."""
        mine = {"_id": upload_id, "userId": user_id, "state": State.STORED}
        doc = self._uploads.find_one_and_update(mine, {"$set": {"changedAt": now}})
        return _upload(doc) if doc else None

    def output(self, upload_id: str) -> Upload | None:
        """Return a generated picture, whosever it is."""
        doc = self._uploads.find_one({"_id": upload_id, "purpose": Purpose.OUTPUT.value, "state": State.STORED})
        return _upload(doc) if doc else None

    def page(self, user_id: str, *, purpose: Purpose | None, before_id: str | None, limit: int) -> list[Upload]:
        query: dict[str, Any] = {"userId": user_id, "state": State.STORED}
        if purpose:
            query["purpose"] = purpose.value
        if before_id:
            query["_id"] = {"$lt": before_id}
        return [_upload(doc) for doc in self._uploads.find(query).sort("_id", DESCENDING).limit(limit)]

    def claim(self, upload_id: str, *, user_id: str, now: datetime, idle_since: datetime) -> Upload | None:
        """Begin the removal of the user's own upload, or go on with one that nobody worked on since `idle_since`."""
        idle = {"state": State.REMOVING, "changedAt": {"$lt": idle_since}}
        return self._claimed({"_id": upload_id, "userId": user_id, "$or": [{"state": State.STORED}, idle]}, now)

    def claim_new(self, upload_id: str, *, now: datetime) -> Upload | None:
        """Begin the removal of an upload that only the call that made it wants."""
        alive = {"$in": [State.STORING, State.STORED]}
        return self._claimed({"_id": upload_id, "state": alive, "isShared": {"$ne": True}}, now)

    def claim_idle(self, name: str, *, now: datetime, idle_since: datetime) -> Upload | None:
        """Go on with the removal of a name's record that nobody worked on since `idle_since`."""
        return self._claimed({"key": name, "state": State.REMOVING, "changedAt": {"$lt": idle_since}}, now)

    def claim_stale(self, upload_id: str, *, now: datetime, before: datetime) -> Upload | None:
        """Begin the removal of what `stale` found, if it still is."""
        return self._claimed({"_id": upload_id, **_stale(before)}, now)

    def claim_unused(self, upload_id: str, *, now: datetime, idle_since: datetime, only_of_orders: bool) -> Upload | None:
        """Begin the removal of an upload that nobody has sent or ordered with since `idle_since`."""
        idle = {"state": State.STORED, "purpose": Purpose.INPUT.value, "changedAt": {"$lt": idle_since}}
        return self._claimed({"_id": upload_id, **idle, **({"orderOnly": True} if only_of_orders else {})}, now)

    def idle(self, *, since: datetime, after: tuple[datetime, str] | None, limit: int) -> list[tuple[datetime, Upload]]:
        """Return uploads that nobody has sent or ordered with since a time, and when it was the last time; from behind the last one on."""
        query: Document = {"state": State.STORED, "changedAt": {"$lt": since}, "purpose": Purpose.INPUT.value}
        if after is not None:
            query["changedAt"]["$gte"] = after[0]
            query["$or"] = [{"changedAt": {"$gt": after[0]}}, {"_id": {"$gt": after[1]}}]
        found = self._uploads.find(query).sort([("changedAt", 1), ("_id", 1)]).limit(limit)
        return [(doc["changedAt"], _upload(doc)) for doc in found]

    def stale(self, before: datetime, limit: int) -> list[Upload]:
        """Return what a dead process left half stored or half removed: records nobody worked on since `before`."""
        return [_upload(doc) for doc in self._uploads.find(_stale(before)).limit(limit)]

    def of_user(self, user_id: str, limit: int) -> list[Upload]:
        """Return uploads of a user in whatever state."""
        return [_upload(doc) for doc in self._uploads.find({"userId": user_id}).limit(limit)]

    def claim_any(self, upload_id: str, *, now: datetime) -> Upload | None:
        """Begin the removal of an upload in whatever state, one that is being stored or removed as well."""
        return self._claimed({"_id": upload_id}, now)

    def release(self, upload_id: str) -> None:
        """Give up a claimed removal for now: whoever comes next may go on with it at once."""
        self._uploads.update_one({"_id": upload_id, "state": State.REMOVING}, {"$set": {"changedAt": NEVER}})

    def forget(self, upload_id: str) -> None:
        """Delete the record of an object that is gone; repeating it changes nothing."""
        self._uploads.delete_one({"_id": upload_id, "state": State.REMOVING})

    def forget_output(self, upload_id: str) -> None:
        """Delete the record of a generated picture whose job is being deleted; repeating it changes nothing."""
        self._uploads.delete_one({"_id": upload_id, "purpose": Purpose.OUTPUT.value})

    def _claimed(self, query: Mapping[str, Any], now: datetime) -> Upload | None:
        doc = self._uploads.find_one_and_update(query, {"$set": {"state": State.REMOVING, "changedAt": now}})
        return _upload(doc) if doc else None


@store
class UsedTicketStore:
    """`usedTickets`: which upload came by a ticket for one, so that its address, told before, leads there for 30 days.

    One picture may have several.
    """

    def __init__(self, database: Database) -> None:
        self._used = database["usedTickets"]

    def use(self, ticket_id: str, *, now: datetime) -> bool:
        """Note that a ticket is used; False where it was before. Of any number at once, one wins."""
        try:
            self._used.insert_one({"_id": ticket_id, "uploadId": None, "at": now})
        except DuplicateKeyError:
            return False
        return True

    def give_back(self, ticket_id: str) -> None:
        """Let a ticket be used after all: nothing was stored."""
        self._used.delete_one({"_id": ticket_id, "uploadId": None})

    def brought(self, ticket_id: str, upload_id: str) -> None:
        self._used.update_one({"_id": ticket_id}, {"$set": {"uploadId": upload_id}})

    def upload_of(self, ticket_id: str) -> str | None:
        doc = self._used.find_one({"_id": ticket_id})
        return doc["uploadId"] if doc else None


def _stale(before: datetime) -> Document:
    return {"state": {"$in": [State.STORING, State.REMOVING]}, "changedAt": {"$lt": before}}


def _document(upload: Upload, state: State) -> Document:
    return {**document_of(upload), "state": state.value, "changedAt": upload.created_at}


def _upload(doc: Document) -> Upload:
    return record_of(Upload, {**doc, "key": doc.get("objectKey") or doc["key"]})
