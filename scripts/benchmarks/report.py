"""Tables on the terminal, and the page of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from scripts.benchmarks.table import COLUMNS, Table


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
        lines += ["", f"## {table.title}", "", table.text, "", _row(COLUMNS), "|---|---:|---:|---|"]
        lines += [_row(figure.cells()) for figure in table.figures]
        for plot in table.plots:
            lines += ["", f"![{plot.title}]({plot.file_name})"]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write(path: Path, tables: Sequence[Table], *, command: str, facts: Sequence[str], on: date) -> None:
    """Write the page, and its plots beside it."""
    from scripts.benchmarks.plot import draw  # noqa: PLC0415 - matplotlib takes a second to import

    path.parent.mkdir(parents=True, exist_ok=True)
    for table in tables:
        for plot in table.plots:
            draw(plot, path.parent / plot.file_name)
    path.write_text(page(tables, command=command, facts=facts, on=on))
