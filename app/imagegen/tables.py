"""Lists as people and programs read them: a table that fits the terminal, tab-separated cells for a pipe, NDJSON on request."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from imagegen.showing import emit, notice, printable

GAP = 2
#: Words in fewer columns than these are not worth their place.
LEAST_WORDS = 15


@dataclass(frozen=True)
class Column:
    """`is_words` may be wrapped where a terminal is narrow, `is_cut` may end in "…"; `rank` above 0: left out there, the highest first.

    `short` is how a table shows a cell that a pipe gets whole.
    """

    heading: str
    key: str
    is_words: bool = False
    is_cut: bool = False
    rank: int = 0
    short: Callable[[str], str] = str

    def least(self, natural: int) -> int:
        return min(natural, LEAST_WORDS) if self.is_words or self.is_cut else natural


def show_list(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], *, as_json: bool, wide: bool = False) -> None:
    """Print rows; JSON has whole rows, whatever the columns."""
    if as_json:
        for row in rows:
            emit(row)
        return
    cells = [[_text(row.get(column.key)) for column in columns] for row in rows]
    if sys.stdout.isatty():
        _show_table(cells, columns, width=None if wide else Console().width)
        return
    for line in ([column.heading for column in columns], *cells):
        print("\t".join(line), flush=True)  # noqa: T201 - the command's output


def _text(value: Any) -> str:
    return "" if value is None else printable(value)


def _show_table(cells: list[list[str]], columns: Sequence[Column], *, width: int | None) -> None:
    shown = [line if width is None else [column.short(cell) for column, cell in zip(columns, line, strict=True)] for line in cells]
    natural = [max(map(cell_len, (column.heading, *lines))) for column, lines in zip(columns, _columns_of(shown, columns), strict=True)]
    places = list(range(len(columns))) if width is None else _fitting(columns, natural, width)
    widths = {place: natural[place] for place in places}
    if width is not None:
        _narrow(widths, columns, width)
    table = Table(box=None, header_style="bold", padding=(0, GAP, 0, 0), pad_edge=False)
    for place, cells_wide in widths.items():
        column = columns[place]
        table.add_column(column.heading, width=cells_wide, no_wrap=not column.is_words, overflow="ellipsis" if column.is_cut else "fold")
    for line in shown:
        table.add_row(*(Text(line[place]) for place in places))
    Console(width=max(_total(widths), width or 0), height=25).print(table, crop=False)
    if left_out := [column.heading for place, column in enumerate(columns) if place not in widths]:
        notice(f"Not shown: {', '.join(left_out)}. --wide shows all")


def _columns_of(lines: list[list[str]], columns: Sequence[Column]) -> list[list[str]]:
    return [[line[place] for line in lines] for place in range(len(columns))]


def _fitting(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """Return the places of the columns that fit beside each other at their least."""
    places = list(range(len(columns)))
    while _total({place: columns[place].least(natural[place]) for place in places}) > width:
        last = max(places, key=lambda place: columns[place].rank)
        if columns[last].rank == 0:
            break
        places.remove(last)
    return places


def _narrow(widths: dict[int, int], columns: Sequence[Column], width: int) -> None:
    """Take from the widest words, place by place, until all fit."""
    words = [place for place in widths if columns[place].is_words or columns[place].is_cut]
    while words and _total(widths) > width:
        widest = max(words, key=lambda place: widths[place])
        if widths[widest] <= 1:
            return
        widths[widest] -= 1


def _total(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)
