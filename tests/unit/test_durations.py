from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from app.services.fulfilment.progress import DEFAULT_SECONDS
from workers.watcher.durations import Durations


class Store:
    """Keeps samples in memory; the same interface as DurationStore."""

    def __init__(self) -> None:
        self.samples: dict[str, list[float]] = {}

    def add(self, model: str, seconds: list[float]) -> None:
        self.samples.setdefault(model, []).extend(seconds)

    def usual(self) -> dict[str, float]:
        return {model: sorted(found)[len(found) // 2] for model, found in self.samples.items() if len(found) >= 5}


def durations(store: Store, **usual: float) -> Durations:
    registry = SimpleNamespace(get=lambda name: SimpleNamespace(usual_seconds=usual[name]) if name in usual else None)
    return Durations(cast("Any", store), cast("Any", registry))


def test_the_registrys_guess_counts_until_enough_was_seen() -> None:
    store = Store()
    learning = durations(store, flux=8.0)
    assert learning.usual_s("flux") == 8.0
    for _ in range(4):
        learning.seen("flux", 3.0)
    learning.flush()
    assert learning.usual_s("flux") == 8.0

    learning.seen("flux", 3.0)
    learning.flush()

    assert learning.usual_s("flux") == 3.0


def test_what_was_seen_is_written_once() -> None:
    store = Store()
    learning = durations(store)
    learning.seen("flux", 2.0)
    learning.flush()

    learning.flush()

    assert store.samples == {"flux": [2.0]}


def test_a_model_nobody_knows_is_taken_for_a_usual_one() -> None:
    assert durations(Store()).usual_s("gone") == DEFAULT_SECONDS


def test_a_burst_between_two_writes_is_bounded() -> None:
    store = Store()
    learning = durations(store)
    for _ in range(5000):
        learning.seen("flux", 1.0)

    learning.flush()

    assert len(store.samples["flux"]) == 100
