"""The `modelDurations` collection: how long each model's latest generations took at fal."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

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

    def usual_s(self, model: str) -> float | None:
        """Return the median of a model's latest durations in seconds, or None while too few are known."""
        doc = self._durations.find_one({"_id": model})
        samples = doc["samples"] if doc else []
        return float(statistics.median(samples)) if len(samples) >= ENOUGH_SAMPLES else None
