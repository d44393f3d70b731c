"""Long work that an operator starts: done in pieces by workers, one of a kind at a time. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class RunKind(StrEnum):
    COSTS = "costs.reconcile"
    """Read fal's bill for the jobs of a period."""
    MODELS = "models.check"
    """Compare model files with what fal says of its models."""


class RunState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


#: Whoever worked at a run is taken for dead when nothing has been heard of it for so long.
SILENT_AFTER = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class Run:
    """`id` is its kind: the latest of each is kept. `place` is where to go on, `rows` what was found (`left_out` more were not kept)."""

    id: RunKind
    number: str
    """Tells it from the runs of its kind before and after."""
    state: RunState = RunState.RUNNING
    actor: str
    started_at: datetime
    updated_at: datetime
    since: datetime | None = None
    until: datetime | None = None
    place: str | None = None
    done: int = 0
    total: int = 0
    sums: dict[str, int] = field(default_factory=dict)
    rows: tuple[dict[str, Any], ...] = ()
    left_out: int = 0
    message: str | None = None
