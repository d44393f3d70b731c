"""What is known of fal: how long models take there (`modelDurations`), and whose the operator's keys are (`falUsers`)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from app.stores.database import Database, store

KEPT_SAMPLES = 100
#: Fewer say too little: the registry's own guess counts until then.
ENOUGH_SAMPLES = 5


@store
class DurationStore:
    def __init__(self, database: Database) -> None:
        self._durations = database["modelDurations"]

    def add(self, model: str, seconds: Sequence[float]) -> None:
        """Remember the latest durations of a model; older ones are forgotten."""
        samples = [round(value, 2) for value in seconds]
        self._durations.update_one({"_id": model}, {"$push": {"samples": {"$each": samples, "$slice": -KEPT_SAMPLES}}}, upsert=True)

    def usual(self) -> dict[str, float]:
        """Return the median of each model's latest durations, in seconds; a model of which too few are known is left out."""
        found = {doc["_id"]: doc["samples"] for doc in self._durations.find()}
        return {model: float(statistics.median(samples)) for model, samples in found.items() if len(samples) >= ENOUGH_SAMPLES}

    def quantiles(self) -> dict[str, tuple[float, float, int]]:
        """Return the median and the 95th percentile of each model's latest durations, in seconds, and how many these are."""
        found = {doc["_id"]: sorted(doc["samples"]) for doc in self._durations.find()}
        return {model: (_quantile(samples, 0.5), _quantile(samples, 0.95), len(samples)) for model, samples in found.items() if samples}


def _quantile(ascending: Sequence[float], share: float) -> float:
    return float(ascending[min(len(ascending) - 1, int(share * len(ascending)))])


@store
class FalUserStore:
    """Which account at fal each of the operator's keys was first seen to belong to."""

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
