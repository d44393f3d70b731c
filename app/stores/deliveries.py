"""`webhookEndpoints`, `webhookSecrets` and `deliveries`: each document is changed by one compare-and-set on its `rev`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from app.domain.delivery import CLAIM, OPEN, Delivery, DeliveryStatus
from app.domain.endpoint import Endpoint, EndpointStatus, Secret
from app.domain.errors import StoreUnavailable
from app.stores.database import Collection, Database, Document, store
from app.stores.records import document_of, record_of

MAX_TRIES = 30
#: Before anything failed; what never failed has no time, which no time is later than.
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
DUPLICATE_KEY = 11000
OPEN_VALUES = [status.value for status in OPEN]


@dataclass(frozen=True, kw_only=True)
class OwnSecrets:
    """What signs the hooks of the orders of `id`, an owner."""

    id: str
    secrets: tuple[Secret, ...]
    rev: int = 0


R = TypeVar("R", Endpoint, OwnSecrets, Delivery)


class _Records(Generic[R]):
    """Records of one kind in one collection."""

    def __init__(self, collection: Collection, cls: type[R]) -> None:
        self.collection = collection
        self.cls: type[R] = cls

    def insert(self, record: R) -> bool:
        try:
            self.collection.insert_one(_document(record))
        except DuplicateKeyError:
            return False
        return True

    def get(self, record_id: str) -> R | None:
        return self.first({"_id": record_id})

    def first(self, query: Document, **options: Any) -> R | None:
        doc = self.collection.find_one(query, **options)
        return record_of(self.cls, doc) if doc else None

    def all(self, query: Document, *, sort: str, direction: int = 1, limit: int = 0) -> list[R]:
        return [record_of(self.cls, doc) for doc in self.collection.find(query).sort(sort, direction).limit(limit)]

    def change(self, record: R | str, evolve: Callable[[R], R | None]) -> R | None:
        """Apply a change that `evolve` derives from the current record; None where it is gone or there is nothing to do."""
        before = self.get(record) if isinstance(record, str) else record
        for _ in range(MAX_TRIES):
            if before is None or (after := evolve(before)) is None:
                return None
            after = replace(after, rev=before.rev + 1)
            if self.collection.replace_one({"_id": before.id, "rev": before.rev}, _document(after)).matched_count:
                return after
            before = self.get(before.id)
        raise StoreUnavailable("A record changes too fast to be changed; try again")


def _document(record: Endpoint | OwnSecrets | Delivery) -> Document:
    if isinstance(record, Delivery):
        return {**document_of(record), "attentionAt": record.attention_at, "expiresAt": record.expires_at}
    document = document_of(record)
    if isinstance(record, Endpoint) and record.order_key is None:
        del document["orderKey"]  # Its index is sparse.
    return document


@store
class EndpointStore:
    def __init__(self, database: Database) -> None:
        self._endpoints = _Records(database["webhookEndpoints"], Endpoint)
        self._secrets = _Records(database["webhookSecrets"], OwnSecrets)

    def insert(self, endpoint: Endpoint) -> bool:
        """Write a new endpoint; False where its order key is taken."""
        return self._endpoints.insert(endpoint)

    def by_order_key(self, order_key: str) -> Endpoint | None:
        return self._endpoints.first({"orderKey": order_key})

    def get(self, endpoint_id: str) -> Endpoint | None:
        return self._endpoints.get(endpoint_id)

    def listening(self, owners: Iterable[str]) -> list[Endpoint]:
        """Return the enabled endpoints of these owners: one indexed read."""
        return self._endpoints.all({"owner": {"$in": list(owners)}, "status": EndpointStatus.ENABLED.value}, sort="_id")

    def are_any(self) -> bool:
        """Tell whether any endpoint is enabled."""
        return self._endpoints.first({"status": EndpointStatus.ENABLED.value}) is not None

    def page(self, owners: Sequence[str] | None, *, failing: bool = False, before_id: str | None = None, limit: int) -> list[Endpoint]:
        """Return these owners' endpoints, or everybody's, newest first; `failing`: only those that have failed since their last success."""
        query: Document = {} if owners is None else {"owner": {"$in": list(owners)}}
        query |= {"failingSince": {"$gt": LONG_AGO}} if failing else {}
        if before_id is not None:
            query["_id"] = {"$lt": before_id}
        return self._endpoints.all(query, sort="_id", direction=-1, limit=limit)

    def of_keys(self, *, after: tuple[str, str], limit: int) -> list[Endpoint]:
        """Return endpoints whose owners are API keys, by owner and id, from behind the last one seen on (`("", "")` for the first)."""
        owner, endpoint_id = after
        query: Document = {"owner": {"$gte": max(owner, "key:"), "$lt": "key;"}}
        query["$or"] = [{"owner": {"$gt": owner}}, {"owner": owner, "_id": {"$gt": endpoint_id}}]
        found = self._endpoints.collection.find(query).sort([("owner", 1), ("_id", 1)]).limit(limit)
        return [record_of(Endpoint, doc) for doc in found]

    def count(self, owner: str) -> int:
        return self._endpoints.collection.count_documents({"owner": owner})

    def change(self, endpoint: Endpoint | str, evolve: Callable[[Endpoint], Endpoint | None]) -> Endpoint | None:
        """Apply a change by compare-and-set; None where the endpoint is gone or there is nothing to do."""
        return self._endpoints.change(endpoint, evolve)

    def remove(self, endpoint_id: str) -> None:
        self._endpoints.collection.delete_one({"_id": endpoint_id})

    def own_secrets(self, owner: str) -> tuple[Secret, ...]:
        """Return what signs the hooks of an owner's orders; nothing where none was ever needed."""
        found = self._secrets.get(owner)
        return found.secrets if found else ()

    def first_secret(self, owner: str, secret: Secret) -> tuple[Secret, ...]:
        """Give an owner its first secret, unless another process was first; return what it has."""
        self._secrets.insert(OwnSecrets(id=owner, secrets=(secret,)))
        return self.own_secrets(owner)

    def remove_secrets(self, owner: str) -> None:
        self._secrets.collection.delete_one({"_id": owner})

    def change_secrets(self, owner: str, evolve: Callable[[tuple[Secret, ...]], tuple[Secret, ...]]) -> None:
        self._secrets.change(owner, lambda own: replace(own, secrets=evolve(own.secrets)))


@store
class DeliveryStore:
    def __init__(self, database: Database) -> None:
        self._deliveries = _Records(database["deliveries"], Delivery)

    def insert_all(self, deliveries: Sequence[Delivery]) -> None:
        """Write new deliveries in one command; those that exist stay as they are."""
        if not deliveries:
            return
        try:
            self._deliveries.collection.insert_many([_document(each) for each in deliveries], ordered=False)
        except BulkWriteError as exc:
            details = exc.details or {}
            if details.get("writeConcernErrors") or any(error.get("code") != DUPLICATE_KEY for error in details.get("writeErrors", ())):
                raise

    def get(self, delivery_id: str) -> Delivery | None:
        return self._deliveries.get(delivery_id)

    def change(self, delivery: Delivery | str, evolve: Callable[[Delivery], Delivery | None]) -> Delivery | None:
        """Apply a change by compare-and-set; None where the delivery is gone or there is nothing to do."""
        return self._deliveries.change(delivery, evolve)

    def claim_next(self, lane: str, *, now: datetime) -> Delivery | None:
        """Claim what waits longest in a lane, as `Delivery.claimed` does, in one command; None where nothing is due."""
        until = now + CLAIM
        claimed = {"status": DeliveryStatus.DELIVERING.value, "claimedUntil": until, "nextAt": None, "attentionAt": until}
        doc = self._deliveries.collection.find_one_and_update(
            {"lane": lane, "attentionAt": {"$lte": now}},
            {"$set": claimed, "$inc": {"rev": 1}},
            sort=[("attentionAt", 1)],
            return_document=ReturnDocument.AFTER,
        )
        return record_of(Delivery, doc) if doc else None

    def is_any_due(self, lane: str, *, now: datetime) -> bool:
        return self._deliveries.collection.find_one({"lane": lane, "attentionAt": {"$lte": now}}, {"_id": 1}) is not None

    def due_lanes(self, *, now: datetime, limit: int) -> list[str]:
        """Return the lanes in which something is due; each costs a seek in an index, however much waits in it."""
        lanes: list[str] = []
        while len(lanes) < limit:
            query = {"lane": {"$gt": lanes[-1] if lanes else ""}, "attentionAt": {"$lte": now}}
            found = self._deliveries.collection.find_one(query, {"lane": 1}, sort=[("lane", 1)])
            if found is None:
                break
            lanes.append(found["lane"])
        return lanes

    def page(
        self,
        endpoint_id: str,
        *,
        statuses: Sequence[DeliveryStatus] = (),
        event: str | None = None,
        job_id: str | None = None,
        since: datetime | None = None,
        before: tuple[datetime, str] | None = None,
        limit: int,
    ) -> list[Delivery]:
        """Return an endpoint's deliveries, newest first, from `before` (time and id of the last one seen) on."""
        query: Document = {"endpointId": endpoint_id}
        query |= {"status": {"$in": [status.value for status in statuses]}} if statuses else {}
        query |= {"type": event} if event else {}
        query |= {"jobId": job_id} if job_id else {}
        query |= {"createdAt": {"$gte": since}} if since else {}
        if before:
            query["$or"] = [{"createdAt": {"$lt": before[0]}}, {"createdAt": before[0], "_id": {"$lt": before[1]}}]
        found = self._deliveries.collection.find(query).sort([("createdAt", -1), ("_id", -1)]).limit(limit)
        return [record_of(Delivery, doc) for doc in found]

    def renew_failed(self, endpoint_id: str, since: datetime, *, now: datetime, limit: int) -> int:
        """Begin anew with what was given up since a time, as `Delivery.redelivered` does, oldest first; return how many."""
        query: Document = {"endpointId": endpoint_id, "status": DeliveryStatus.FAILED.value, "createdAt": {"$gte": since}}
        found = self._deliveries.collection.find(query, {"_id": 1}).sort("createdAt", 1).limit(limit)
        ids = [doc["_id"] for doc in found]
        anew: Document = {"status": DeliveryStatus.PENDING.value, "tries": 0, "nextAt": now, "attentionAt": now}
        anew |= dict.fromkeys(("doneAt", "expiresAt", "reason"))
        changed = self._deliveries.collection.update_many({**query, "_id": {"$in": ids}}, {"$set": anew, "$inc": {"rev": 1}})
        return changed.modified_count

    def of_job(self, job_id: str) -> list[Delivery]:
        return self._deliveries.all({"jobId": job_id}, sort="createdAt")

    def remove_of_job(self, job_id: str) -> None:
        """Remove what was sent of a job, and what was to be."""
        self._deliveries.collection.delete_many({"jobId": job_id})

    def remove_of_owner(self, owner: str) -> None:
        """Remove what the hooks of an owner's orders were sent, and were to be."""
        self._deliveries.collection.delete_many({"lane": {"$gte": f"{owner} ", "$lt": f"{owner}!"}, "owner": owner})

    def remove_of_endpoint(self, endpoint_id: str) -> None:
        self._deliveries.collection.delete_many({"endpointId": endpoint_id})

    def end_pending(self, endpoint_id: str, status: DeliveryStatus, reason: str, *, now: datetime, log_days: int) -> None:
        """Give up what an endpoint was to be sent yet; what is being sent just now ends by itself."""
        ended = {"status": status.value, "reason": reason, "doneAt": now, "nextAt": None, "attentionAt": None}
        change = {"$set": {**ended, "expiresAt": now + timedelta(days=log_days)}, "$inc": {"rev": 1}}
        self._deliveries.collection.update_many({"endpointId": endpoint_id, "status": DeliveryStatus.PENDING.value}, change)

    def waiting(self) -> tuple[int, datetime | None]:
        """Return how many are to be sent yet, and since when the oldest of them is there."""
        query: Document = {"status": {"$in": OPEN_VALUES}}
        count = self._deliveries.collection.count_documents(query)
        oldest = self._deliveries.collection.find_one(query, {"createdAt": 1}, sort=[("createdAt", 1)]) if count else None
        return count, oldest["createdAt"] if oldest else None
