"""How long models usually take: learned from what the watcher sees, kept in MongoDB, so that progress tells the truth."""

from __future__ import annotations

from collections import defaultdict

from app.services.fulfilment.progress import DEFAULT_SECONDS
from app.stores.fal import DurationStore
from registry.loader import Registry

MAX_PENDING = 100


class Durations:
    def __init__(self, store: DurationStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._seen: dict[str, list[float]] = defaultdict(list)
        self._usual: dict[str, float] = {}

    def seen(self, model: str, seconds: float) -> None:
        """Note one finished generation; written down by the next `flush`."""
        if len(self._seen[model]) < MAX_PENDING:
            self._seen[model].append(seconds)

    def usual_s(self, model: str) -> float:
        """Return a model's usual duration as last read: learned, or the registry's guess."""
        if model not in self._usual:
            spec = self._registry.get(model)
            self._usual[model] = (spec.usual_seconds if spec else None) or DEFAULT_SECONDS
        return self._usual[model]

    def flush(self) -> None:
        """Write down what was seen since the last time, one update a model, and read anew what is usual. Blocks."""
        seen, self._seen = self._seen, defaultdict(list)
        for model, seconds in seen.items():
            self._store.add(model, seconds)
        wanted = {*seen, *self._usual}
        self._usual |= {model: learned for model, learned in self._store.usual().items() if model in wanted}
