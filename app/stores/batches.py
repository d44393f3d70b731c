"""The `batches` collection: which jobs were ordered together, and which of them still wait for their turn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from app.domain.account import Whose
from app.domain.batch import Batch, BatchState
from app.stores.database import Database, Document, store
from app.stores.records import document_of, record_of


@store
class BatchStore:
    def __init__(self, database: Database) -> None:
        self._batches = database["batches"]

    def insert(self, batch: Batch, *, attention_at: datetime) -> bool:
        """Write a new batch; False where its order key is taken. The sweep looks at it at `attention_at` unless it is open by then."""
        try:
            self._batches.insert_one(_document(batch) | {"attentionAt": attention_at})
        except DuplicateKeyError:
            return False
        return True

    def get(self, batch_id: str) -> Batch | None:
        doc = self._batches.find_one({"_id": batch_id})
        return record_of(Batch, doc) if doc else None

    def by_order_key(self, order_key: str) -> Batch | None:
        doc = self._batches.find_one({"orderKey": order_key})
        return record_of(Batch, doc) if doc else None

    def page(self, user_id: Whose, *, before_id: str | None, limit: int) -> list[Batch]:
        """Return accepted batches of a user, of several, or of all, newest first; `before_id` None for the first."""
        query: Document = {"state": {"$nin": [BatchState.ACCEPTING.value, BatchState.UNDOING.value]}}
        if user_id is not None:
            query["userId"] = {"$in": list(user_id)} if isinstance(user_id, tuple) else user_id
        if before_id is not None:
            query["_id"] = {"$lt": before_id}
        return [record_of(Batch, doc) for doc in self._batches.find(query).sort("_id", DESCENDING).limit(limit)]

    def free_order_key(self, batch: Batch) -> None:
        """Let an expired idempotency key be used anew."""
        self._batches.update_one({"_id": batch.id, "orderKey": batch.order_key}, {"$set": {"orderKey": batch.id}})

    def move(self, batch_id: str, state: BatchState, *, to: BatchState, attention_at: datetime | None) -> bool:
        """Change a batch's state by compare-and-set; False where another process was first."""
        change = {"$set": {"state": to.value, "attentionAt": attention_at}}
        return bool(self._batches.update_one({"_id": batch_id, "state": state.value}, change).matched_count)

    def cancel(self, batch_id: str, *, now: datetime) -> None:
        """Stop giving an accepted batch turns; the sweep sees to it that its jobs are canceled, whoever began that."""
        accepted = {"_id": batch_id, "state": {"$in": [BatchState.OPEN.value, BatchState.CLOSED.value]}}
        change = {"state": BatchState.CANCELING.value, "canceledAt": now, "attentionAt": now, "waiting": []}
        self._batches.update_one(accepted, {"$set": change})

    def remove(self, batch_id: str) -> None:
        """Remove a batch that was refused, or is undone."""
        undone = [BatchState.ACCEPTING.value, BatchState.UNDOING.value]
        self._batches.delete_one({"_id": batch_id, "state": {"$in": undone}})

    def remove_accepted(self, user_id: str) -> bool:
        """Remove all batches of a user; False where one is just being accepted, or undone."""
        accepted = [BatchState.OPEN.value, BatchState.CANCELING.value, BatchState.CLOSED.value]
        self._batches.delete_many({"userId": user_id, "state": {"$in": accepted}})
        return self._batches.find_one({"userId": user_id}, {"_id": 1}) is None

    def due(self, *, now: datetime, limit: int) -> list[Batch]:
        """Return batches that were left in the middle of something, longest waiting first."""
        found = self._batches.find({"attentionAt": {"$lte": now}}).sort("attentionAt").limit(limit)
        return [record_of(Batch, doc) for doc in found]

    def next_in_turn(self) -> Batch | None:
        """Return the open batch whose user has waited longest for a turn."""
        found = list(self._batches.find({"state": BatchState.OPEN.value}).sort("turnAt").limit(1))
        return record_of(Batch, found[0]) if found else None

    def had_turn(self, batch: Batch, job_ids: Sequence[str], *, now: datetime) -> None:
        """Take released jobs off the batch's list, and put its user's batches behind those of others."""
        self._batches.update_one({"_id": batch.id}, {"$pull": {"waiting": {"$in": list(job_ids)}}})
        self._batches.update_many({"userId": batch.user_id, "state": BatchState.OPEN.value}, {"$max": {"turnAt": now}})


def _document(batch: Batch) -> Document:
    """Return a batch's document. Its order key is unique: a batch without one goes by its id."""
    return {**document_of(batch), "orderKey": batch.order_key or batch.id}
