"""The indexes: made at every start, built anew where their definition has changed, and told of where they cannot be built.

The unique ones are promises (one job for one order key), not speed: see `readiness` for what their absence means.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError, WriteConcernError

from app.domain import clock
from app.domain.errors import StoreUnavailable
from app.stores.database import Database

log = logging.getLogger(__name__)

INDEXES: Mapping[str, list[IndexModel]] = {
    "jobs": [
        IndexModel([("orderKey", ASCENDING)], unique=True),
        IndexModel([("userId", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("userId", ASCENDING), ("status", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("userId", ASCENDING), ("model", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("userId", ASCENDING), ("projectId", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("userId", ASCENDING), ("marks", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("batchId", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("projectId", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("model", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("status", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("error.code", ASCENDING), ("_id", DESCENDING)], sparse=True),
        IndexModel([("callerKey", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("settlement", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("cost.step", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("retryOf", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("batchSlot", ASCENDING)]),
        IndexModel([("attentionAt", ASCENDING)]),
        IndexModel([("requests.requestId", ASCENDING)]),
        IndexModel([("repeat.key", ASCENDING)], sparse=True),
        IndexModel([("uploadIds", ASCENDING)], sparse=True),
        IndexModel([("retainUntil", ASCENDING), ("_id", ASCENDING)], sparse=True),
    ],
    "departures": [IndexModel([("attentionAt", ASCENDING)])],
    "deletedJobs": [
        IndexModel([("userId", ASCENDING), ("_id", ASCENDING)]),
        IndexModel([("batchId", ASCENDING)], sparse=True),
        IndexModel([("imageIds", ASCENDING)], sparse=True),
        IndexModel([("attentionAt", ASCENDING)], sparse=True),
    ],
    "batches": [
        IndexModel([("orderKey", ASCENDING)], unique=True),
        IndexModel([("attentionAt", ASCENDING)]),
        IndexModel([("state", ASCENDING), ("turnAt", ASCENDING)]),
        IndexModel([("userId", ASCENDING), ("state", ASCENDING)]),
        IndexModel([("userId", ASCENDING), ("_id", DESCENDING)]),
    ],
    "budgets": [IndexModel([("holdsAt", ASCENDING)])],
    "accounts": [
        IndexModel([("login", ASCENDING)], unique=True),
        IndexModel([("role", ASCENDING), ("_id", ASCENDING)]),
        IndexModel([("createdAt", DESCENDING), ("_id", DESCENDING)]),
        IndexModel([("tokens", DESCENDING), ("_id", DESCENDING)]),
        IndexModel([("outboxAt", ASCENDING)]),
        IndexModel([("holdsAt", ASCENDING)]),
    ],
    "apiKeys": [IndexModel([("name", ASCENDING), ("_id", ASCENDING)])],
    "endedSessions": [IndexModel([("expiresAt", ASCENDING)], expireAfterSeconds=0)],
    "ledger": [
        IndexModel([("userId", ASCENDING), ("sortId", DESCENDING)]),
        IndexModel([("userId", ASCENDING), ("type", ASCENDING), ("sortId", DESCENDING)]),
    ],
    "uploads": [
        IndexModel([("key", ASCENDING)], unique=True),
        IndexModel([("userId", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("userId", ASCENDING), ("purpose", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("state", ASCENDING), ("changedAt", ASCENDING)]),
    ],
    "usedTickets": [IndexModel([("at", ASCENDING)], expireAfterSeconds=30 * 24 * 3600)],
    "webhookEndpoints": [
        IndexModel([("owner", ASCENDING), ("status", ASCENDING), ("_id", ASCENDING)]),
        IndexModel([("status", ASCENDING)]),
        IndexModel([("orderKey", ASCENDING)], unique=True, sparse=True),
        IndexModel([("failingSince", ASCENDING)]),
    ],
    "deliveries": [
        IndexModel([("lane", ASCENDING), ("attentionAt", ASCENDING)]),
        IndexModel([("endpointId", ASCENDING), ("createdAt", DESCENDING), ("_id", DESCENDING)]),
        IndexModel([("endpointId", ASCENDING), ("status", ASCENDING), ("createdAt", ASCENDING)]),
        IndexModel([("jobId", ASCENDING)]),
        IndexModel([("status", ASCENDING), ("createdAt", ASCENDING)]),
        IndexModel([("expiresAt", ASCENDING)], expireAfterSeconds=0),
    ],
    "audit": [
        IndexModel([("actorId", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("subject", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("action", ASCENDING), ("_id", DESCENDING)]),
    ],
    "usage": [IndexModel([("due", ASCENDING)], sparse=True), IndexModel([("userId", ASCENDING), ("at", ASCENDING)])],
    "spendDays": [IndexModel([("expiresAt", ASCENDING)], expireAfterSeconds=0)],
    "retryRuns": [IndexModel([("expiresAt", ASCENDING)], expireAfterSeconds=0)],
    "usageDays": [IndexModel([("userId", ASCENDING), ("_id", ASCENDING)]), IndexModel([("open.at", ASCENDING)])],
}
#: What makes two indexes on the same keys different ones.
OPTIONS = ("unique", "sparse", "expireAfterSeconds", "partialFilterExpression", "collation")
#: IndexOptionsConflict, IndexKeySpecsConflict: another index is in the way.
IN_THE_WAY = (85, 86)
INDEX_NOT_FOUND = 27
#: Longer than an index is dropped and its successor begun.
MIGRATION_TAKES = timedelta(seconds=60)


@dataclass(frozen=True)
class Missing:
    """An index that could not be built. `reason` is the server's own and may name values: for the log only."""

    collection: str
    name: str
    is_unique: bool
    reason: str


def ensure_indexes(database: Database) -> list[Missing]:
    """Create what is missing, build anew what is defined otherwise; return what could not be built: one stops no other.

    Safe to repeat and to race. An index is there when the server says so now: one that is still being built is waited for. Raises
    StoreUnavailable.
    """
    try:
        return [missing for name, models in INDEXES.items() for missing in _ensured(database, name, models)]
    except PyMongoError as exc:
        raise StoreUnavailable("The database does not answer") from exc


def _ensured(database: Database, collection: str, models: Sequence[IndexModel]) -> Iterator[Missing]:
    try:
        database[collection].create_indexes(models)  # All in one call, which is all that most starts need.
    except WriteConcernError:
        raise
    except OperationFailure:
        for model in models:
            if (reason := _reason_against(database, collection, model)) is not None:
                wanted = model.document
                yield Missing(collection, str(wanted["name"]), bool(wanted.get("unique")), reason)


def _reason_against(database: Database, collection: str, model: IndexModel) -> str | None:
    """Build one index; return why it cannot be built, or None where it is there now."""
    try:
        database[collection].create_indexes([model])
    except WriteConcernError:
        raise
    except OperationFailure as exc:
        if exc.code not in IN_THE_WAY:
            return str(exc)
    else:
        return None
    with _alone(database) as alone:
        return _migrated(database, collection, model) if alone else "another process is building it"


@contextlib.contextmanager
def _alone(database: Database) -> Iterator[bool]:
    """Tell whether nobody else changes indexes during the block: who knows only the old one must not drop the new one."""
    now = clock.now()
    free = {"_id": "indexes", "until": {"$lte": now}}
    try:
        database["locks"].update_one(free, {"$set": {"until": now + MIGRATION_TAKES}}, upsert=True)
    except DuplicateKeyError:
        yield False
        return
    try:
        yield True
    finally:
        database["locks"].update_one({"_id": "indexes"}, {"$set": {"until": now}})


def _migrated(database: Database, collection: str, model: IndexModel) -> str | None:
    """Put an index into the place of those in its way; where it cannot be built, put them back and return why."""
    wanted = model.document
    rivals = [
        spec
        for spec in database[collection].list_indexes()
        if spec["name"] == wanted["name"] or list(spec["key"].items()) == list(wanted["key"].items())
    ]
    if any(_definition(spec) == _definition(wanted) for spec in rivals):
        return None  # Under another name.
    for spec in rivals:
        log.warning("an index is built anew, since its definition has changed", extra={"collection": collection, "index": spec["name"]})
        _drop(database, collection, spec["name"])
    try:
        database[collection].create_indexes([model])
    except OperationFailure as exc:
        for spec in rivals:
            _restore(database, collection, spec)
        return str(exc)
    return None


def _definition(spec: Mapping[str, Any]) -> tuple[list[tuple[str, Any]], list[Any]]:
    return list(spec["key"].items()), [spec.get(option) or None for option in OPTIONS]


def _drop(database: Database, collection: str, name: str) -> None:
    try:
        database[collection].drop_index(name)
    except OperationFailure as exc:
        if exc.code != INDEX_NOT_FOUND:
            raise


def _restore(database: Database, collection: str, spec: Mapping[str, Any]) -> None:
    """Make an index as it was: queries were written for it."""
    options = {option: spec[option] for option in OPTIONS if option in spec}
    with contextlib.suppress(OperationFailure):
        database[collection].create_indexes([IndexModel(list(spec["key"].items()), name=spec["name"], **options)])
