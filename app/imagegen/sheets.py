"""A CSV of prompts as the items of a batch. Every complaint names the line and the column; nothing is sent here."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegen.arguments import Model, image
from imagegen.outcomes import Refused, WrongCall

MAX_ROWS = 500
RESERVED = ("model", "image")


@dataclass(frozen=True)
class Row:
    """One row: where it ends in the file, and its filled cells by column."""

    line: int
    cells: dict[str, str]


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a sheet. Raises WrongCall for one that no batch can be made of."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except OSError as exc:
        raise WrongCall(f"{path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise WrongCall(f"{path} is not UTF-8 text") from exc
    except csv.Error as exc:
        raise WrongCall(f"{path} line {reader.line_num}: {exc}") from exc
    while lines and not any(lines[-1][1]):
        lines.pop()  # Editors leave empty lines at the end.
    columns = _columns(path, lines[0] if lines else (1, []))
    if len(lines) == 1:
        raise WrongCall(f"{path} line 2: there is no row below the heading")
    if len(lines) > MAX_ROWS + 1:
        raise WrongCall(f"{path} line {lines[MAX_ROWS + 1][0]}: {len(lines) - 1} rows; a batch takes {MAX_ROWS}, so split the file")
    return [_row(path, columns, line, cells) for line, cells in lines[1:]]


def _columns(path: Path, heading: tuple[int, list[str]]) -> list[str]:
    line, columns = heading
    if "prompt" not in columns:
        found = ", ".join(filter(None, columns)) or "none"
        hint = "; separate cells by commas" if ";" in found or "\t" in found else ""
        raise WrongCall(f"{path} line {line}: column 'prompt' is missing; columns found: {found}{hint}")
    for number, name in enumerate(columns, 1):
        if not name:
            raise WrongCall(f"{path} line {line}: column {number} has no name")
        if columns.index(name) < number - 1:
            raise WrongCall(f"{path} line {line}: column '{name}' is there twice")
    return columns


def _row(path: Path, columns: list[str], line: int, cells: list[str]) -> Row:
    if not any(cells):
        raise WrongCall(f"{path} line {line}: the row is empty (column 'prompt')")
    if len(cells) > len(columns):
        raise WrongCall(f"{path} line {line}: {len(cells)} cells, but {len(columns)} columns; put quotes around a text with commas")
    filled = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
    if "prompt" not in filled:
        raise WrongCall(f"{path} line {line}: column 'prompt' is empty")
    return Row(line, filled)


def items_of(
    path: Path, rows: list[Row], *, default_model: str | None, find_model: Callable[[str], Model]
) -> tuple[list[dict[str, Any]], int]:
    """Return the items of a batch and the most images that one of them asks for. Raises WrongCall, Refused for an unknown model."""
    items, most = [], 1
    for row in rows:
        name = row.cells.get("model") or default_model
        if name is None:
            raise WrongCall(f"{path} line {row.line}: column 'model' is missing or empty; fill it, or give --model")
        try:
            model = find_model(name)
        except Refused as exc:
            exc.message = f"{path} line {row.line}: column 'model': {exc.message}"
            raise
        item = _item(path, row, model)
        most = max(most, model.images_wanted(item))
        items.append(item)
    return items, most


def _item(path: Path, row: Row, model: Model) -> dict[str, Any]:
    item: dict[str, Any] = {"model": model.name, "inputs": {}, "options": {}}
    for column, text in row.cells.items():
        try:
            if column == "image":
                item["inputs"] |= model.with_images([image(text, path.parent)])
            elif column not in RESERVED:
                item[model.home(column)][column] = model.value(column, text)
        except WrongCall as exc:
            raise WrongCall(f"{path} line {row.line}: column '{column}': {exc.message}") from exc
    return item


def explained(path: Path, rows: list[Row], refused: Refused) -> str:
    """Return a refusal of the server in the sheet's own terms: each complaint with its line and column; as it is where it names no row."""
    told = [_complaint(path, rows, pointer, detail) for pointer, detail in refused.errors]
    return "\n".join(told) if any(line.startswith(f"{path} line ") for line in told) else refused.message


def _complaint(path: Path, rows: list[Row], pointer: str, detail: str) -> str:
    place, number, *steps = [*pointer.split("/")[1:], ""]
    if place != "items" or not number.isdigit() or int(number) >= len(rows):
        return f"{pointer.lstrip('/')}: {detail}"
    row = rows[int(number)]
    names = [step for step in steps if step not in ("inputs", "options", "")]
    name = names[0] if names else ""
    # A picture's column is not named after the input that it goes into.
    column = name if name in row.cells or "image" not in row.cells or "image" not in name else "image"
    return f"{path} line {row.line}: " + (f"column '{column}': {detail}" if column else detail)
