"""How long models usually take, for whoever chooses one. The watcher learns it; here it is read for all at once, now and then."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from attrs import define, field

from app.domain.errors import StoreUnavailable
from app.stores.fal import DurationStore
from registry.spec import ModelSpec

log = logging.getLogger(__name__)

#: As often as the watcher writes down what it has seen.
READ_EVERY_S = 15.0


@define(eq=False, slots=False, kw_only=True)
class UsualTimes:
    _durations: DurationStore
    _learned: Mapping[str, float] = field(init=False, factory=dict)
    _read_at: float = field(init=False, default=float("-inf"))

    def of(self, spec: ModelSpec) -> float | None:
        """Return a model's usual seconds: learned, else the registry's guess. A database that is away keeps nobody from the models."""
        if time.monotonic() - self._read_at > READ_EVERY_S:
            self._read_at = time.monotonic()
            try:
                self._learned = self._durations.usual()
            except StoreUnavailable:
                log.warning("how long models take cannot be read, what was known of it counts")
        return self._learned.get(spec.name) or spec.usual_seconds
