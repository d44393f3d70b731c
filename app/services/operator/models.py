"""Models as the operator sees them: price and where it is from, how well and how fast they work, and where they differ from fal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from attrs import define

from app.domain import clock
from app.domain.pricing import losses, price_at
from app.domain.run import Run, RunKind
from app.domain.spend import Figures, SpendBy
from app.services.catalog.model_files import ModelFiles
from app.services.operator.now import Pace
from app.services.reports.spend import Spend
from app.stores.fal import DurationStore
from app.stores.runs import RunStore
from registry.loader import Registry
from registry.spec import ModelSpec, NoPrice, Price


@dataclass(frozen=True)
class ModelState:
    """`figures` are of the last 30 days; `drifts` of the last check, empty where there is no difference, or was no check."""

    spec: ModelSpec
    price: Price | None
    losses: list[str]
    figures: Figures
    pace: Pace | None
    drifts: list[Mapping[str, Any]]
    is_own: bool
    """Whether its file is in the operator's folder."""

    @property
    def is_gone(self) -> bool:
        """Tell whether fal had no such endpoint any more when it was last asked."""
        return any(drift["where"] == "endpoint" for drift in self.drifts)


@dataclass(frozen=True)
class Overview:
    models: list[ModelState]
    checked: Run | None
    problem: str | None


@define(eq=False, slots=False, kw_only=True)
class ModelOverview:
    _registry: Registry
    _model_files: ModelFiles
    _spend: Spend
    _durations: DurationStore
    _runs: RunStore
    _now: Callable[[], datetime] = clock.now

    def look(self) -> Overview:
        """Return every model as it stands. Asks fal nothing: what it said is from the last check."""
        checked = self._runs.get(RunKind.MODELS)
        drifts: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in checked.rows if checked else ():
            drifts[row["model"]].append(row)
        report = self._spend.report(self._spend.period(None, None), SpendBy.MODEL)
        figures = {group.key: group.figures for group in report.groups}
        paces = {model: Pace(model, *found) for model, found in self._durations.quantiles().items()}
        models = [self._state(spec, figures.get(spec.name), paces.get(spec.name), drifts[spec.name]) for spec in self._registry]
        return Overview(models, checked, self._model_files.problem)

    def _state(self, spec: ModelSpec, figures: Figures | None, pace: Pace | None, drifts: list[Mapping[str, Any]]) -> ModelState:
        now = self._now()
        try:
            price = price_at(spec, now)
        except NoPrice:
            price = None
        folder = self._model_files.folder
        is_own = folder is not None and (folder / f"{spec.name}.toml").is_file()
        return ModelState(spec, price, list(losses(spec, now)), figures or Figures(), pace, drifts, is_own)
