"""What a scenario hands back: a table of figures, and the points of its plots. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One line: the median and the spread of the same thing measured several times."""

    what: str
    median: float
    low: float
    high: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @classmethod
    def of(
        cls, what: str, values: Sequence[float], unit: str = "", *, at_most: float | None = None, at_least: float | None = None
    ) -> Figure:
        """Return the figure of some measurements; at least one."""
        return cls(what, statistics.median(values), min(values), max(values), unit, at_most, at_least)

    @classmethod
    def ratio(cls, what: str, ours: Sequence[float], theirs: Sequence[float], *, at_most: float | None = None) -> Figure:
        """Return the ratio of the medians; the spread is that of the pairs, which were measured one after the other."""
        pairs = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        return cls(what, statistics.median(ours) / statistics.median(theirs), min(pairs), max(pairs), "x", at_most)

    @property
    def is_missed(self) -> bool:
        too_much = self.at_most is not None and self.median > self.at_most
        return too_much or (self.at_least is not None and self.median < self.at_least)

    def cells(self) -> tuple[str, str, str, str]:
        """Return the line as it is printed: what, median, min-max, target."""
        suffix = f" {self.unit}" if self.unit else ""
        spread = f"{shown(self.low)}-{shown(self.high)}"
        bounds = (("≤", self.at_most), ("≥", self.at_least))
        targets = [f"{sign} {_exact(bound)}{suffix}" for sign, bound in bounds if bound is not None]
        verdict = "missed" if self.is_missed else "met"
        target = f"{', '.join(targets)}: {verdict}" if targets else ""
        return self.what, shown(self.median) + suffix, spread, target


@dataclass(frozen=True)
class Plot:
    """Lines over one axis; each line is a name and its (x, y) points."""

    file_name: str
    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Table:
    title: str
    text: str
    figures: Sequence[Figure]
    plots: Sequence[Plot] = field(default=())


def p95(values: Sequence[float]) -> float:
    """Return what 95 of 100 of the values are below; at least two values."""
    return statistics.quantiles(values, n=20)[-1]


COLUMNS = ("", "median", "min-max", "target")


def shown(value: float) -> str:
    """Return a number with three significant digits and no exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def _exact(target: float) -> str:
    """Return a target as it was set: `1.05`, `1,200`, and a third as `0.333`."""
    return f"{target:,.3f}".rstrip("0").rstrip(".")
