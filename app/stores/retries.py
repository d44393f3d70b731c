"""The `retryRuns` collection: which jobs an operator had ordered again together, so that the same request goes on where it was cut off."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from app.stores.database import Database, store
from app.stores.records import document_of, record_of


@dataclass(frozen=True, kw_only=True)
class RetryRun:
    """`id` is that of the request's idempotency key. `expires_at`: until when it can be gone on with."""

    id: str
    fingerprint: str
    quotes: dict[str, Any]
    """Each job with the micro-USD that its retry may cost at most."""
    created_at: datetime
    expires_at: datetime


@store
class RetryRunStore:
    def __init__(self, database: Database) -> None:
        self._runs = database["retryRuns"]

    def get(self, run_id: str) -> RetryRun | None:
        doc = self._runs.find_one({"_id": run_id})
        return record_of(RetryRun, doc) if doc else None

    def first(self, run: RetryRun) -> RetryRun:
        """Keep a run; where there is one of its key already, return that: of two requests at once one is first."""
        try:
            self._runs.insert_one(document_of(run))
        except DuplicateKeyError:
            return self.get(run.id) or run
        return run
