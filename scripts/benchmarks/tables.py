"""What a scenario hands back, tables of figures, and how they are shown: on the terminal and as a page."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.table import Table as Grid

COLUMNS = ("", "median", "min-max", "target")


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
    def of(cls, what: str, values: Sequence[float], unit: str = "", **targets: float | None) -> Self:
        """Return the figure of some measurements, at least one; `at_most` and `at_least` are its targets."""
        return cls(what, statistics.median(values), min(values), max(values), unit, **targets)

    @classmethod
    def ratio(cls, what: str, ours: Sequence[float], theirs: Sequence[float], **targets: float | None) -> Self:
        """Return the ratio of the medians; the spread is that of the pairs, which were measured one after the other."""
        pairs = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        return cls(what, statistics.median(ours) / statistics.median(theirs), min(pairs), max(pairs), "x", **targets)

    @property
    def is_missed(self) -> bool:
        too_much = self.at_most is not None and self.median > self.at_most
        return too_much or (self.at_least is not None and self.median < self.at_least)

    def cells(self) -> tuple[str, str, str, str]:
        """Return the line as it is printed: what, median, min-max, target."""
        suffix = f" {self.unit}" if self.unit else ""
        bounds = (("≤", self.at_most), ("≥", self.at_least))
        targets = [f"{sign} {_exact(bound)}{suffix}" for sign, bound in bounds if bound is not None]
        verdict = "missed" if self.is_missed else "met"
        target = f"{', '.join(targets)}: {verdict}" if targets else ""
        return self.what, _rounded(self.median) + suffix, f"{_rounded(self.low)}-{_rounded(self.high)}", target


@dataclass(frozen=True)
class Table:
    title: str
    text: str
    figures: Sequence[Figure]


def p95(values: Sequence[float]) -> float:
    """Return what 95 of 100 of the values are below; at least two values."""
    return statistics.quantiles(values, n=20)[-1]


def _rounded(value: float) -> str:
    """Return a number with three significant digits and no exponent."""
    digits = next((digits for digits, least in enumerate((100, 10, 1)) if abs(value) >= least), 3)
    return f"{value:,.{digits}f}" if value else "0"


def _exact(target: float) -> str:
    """Return a target as it was set: `1.05`, `1,200`, and a third as `0.333`."""
    return f"{target:,.3f}".rstrip("0").rstrip(".")


def show(table: Table, console: Console) -> None:
    """Print one table; what missed its target is red."""
    grid = Grid(title=table.title, caption=table.text, caption_justify="left", title_justify="left")
    for name in COLUMNS:
        grid.add_column(name, justify="left" if name in ("", "target") else "right")
    for figure in table.figures:
        grid.add_row(*figure.cells(), style="red" if figure.is_missed else None)
    console.print(grid)
    console.print()


def page(tables: Sequence[Table], *, command: str, facts: Sequence[str], on: date) -> str:
    """Return the page in Markdown."""
    lines = ["# Benchmarks", "", f"Written by `{command}` on {on.isoformat()}; run it again rather than edit this page.", ""]
    lines += [f"- {fact}" for fact in facts]
    for table in tables:
        rows = [f"| {' | '.join(cells)} |" for cells in (COLUMNS, *(figure.cells() for figure in table.figures))]
        lines += ["", f"## {table.title}", "", table.text, "", rows[0], "|---|---:|---:|---|", *rows[1:]]
    return "\n".join(lines) + "\n"


def write(path: Path, tables: Sequence[Table], *, command: str, facts: Sequence[str], on: date) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(tables, command=command, facts=facts, on=on))
