"""A list of prompts, as CSV or as JSON lines, as rows. Every complaint names the line and the column."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegen.arguments import finite, standard_input
from imagegen.outcomes import WrongCall

MAX_ROWS = 500
JSON_LINES = {".jsonl", ".ndjson"}


@dataclass(frozen=True)
class Row:
    """One row: where it stands, its filled cells by column, and whether those are values of JSON, which are no text to be read."""

    where: str
    cells: Mapping[str, Any]
    is_json: bool = False


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a sheet, `-` for standard input. Raises WrongCall for one that no batch can be made of."""
    is_standard_input = str(path) == "-"
    name = "standard input" if is_standard_input else str(path)
    try:
        text = (standard_input() if is_standard_input else path.read_bytes()).decode("utf-8-sig")
    except OSError as exc:
        raise WrongCall(f"{name} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise WrongCall(f"{name} is not UTF-8 text") from exc
    is_json = path.suffix.lower() in JSON_LINES or (is_standard_input and text.lstrip().startswith("{"))
    rows = _json_rows(name, text) if is_json else _csv_rows(name, text)
    if len(rows) > MAX_ROWS:
        raise WrongCall(f"{rows[MAX_ROWS].where}: {len(rows)} rows; a batch takes {MAX_ROWS}, so split the file")
    return rows


def _json_rows(name: str, text: str) -> list[Row]:
    rows = [_json_row(f"{name} line {line}", written) for line, written in enumerate(text.splitlines(), 1) if written.strip()]
    if not rows:
        raise WrongCall(f"{name} line 1: there is no row")
    return rows


def _json_row(where: str, text: str) -> Row:
    """Read an object with the cells at the top or, as the API has them, in `inputs` and `options`."""
    try:
        found = json.loads(text, parse_constant=finite, parse_float=finite)
    except (ValueError, RecursionError) as exc:
        raise WrongCall(f"{where}: this is no JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise WrongCall(f'{where}: this is no JSON object, such as {{"prompt": "a red bicycle"}}')
    for name in ("inputs", "options"):
        if isinstance(found.get(name), dict):
            found |= found.pop(name)
    return Row(where, {name: value for name, value in found.items() if value is not None}, is_json=True)


def _csv_rows(name: str, text: str) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [(f"{name} line {reader.line_num}", [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as exc:
        raise WrongCall(f"{name} line {reader.line_num}: {exc}") from exc
    while lines and not any(lines[-1][1]):
        lines.pop()  # Editors leave empty lines at the end.
    columns = _columns(*(lines[0] if lines else (f"{name} line 1", [])))
    if len(lines) == 1:
        raise WrongCall(f"{name} line 2: there is no row below the heading")
    return [_csv_row(where, columns, cells) for where, cells in lines[1:]]


def _columns(where: str, columns: list[str]) -> list[str]:
    if "prompt" not in columns:
        found = ", ".join(filter(None, columns)) or "none"
        hint = "; separate cells by commas" if ";" in found or "\t" in found else ""
        raise WrongCall(f"{where}: column 'prompt' is missing; columns found: {found}{hint}")
    for number, name in enumerate(columns, 1):
        if not name:
            raise WrongCall(f"{where}: column {number} has no name")
        if columns.index(name) < number - 1:
            raise WrongCall(f"{where}: column '{name}' is there twice")
    return columns


def _csv_row(where: str, columns: list[str], cells: list[str]) -> Row:
    if not any(cells):
        raise WrongCall(f"{where}: the row is empty (column 'prompt')")
    if len(cells) > len(columns):
        raise WrongCall(f"{where}: {len(cells)} cells, but {len(columns)} columns; put quotes around a text with commas")
    filled = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
    if "prompt" not in filled:
        raise WrongCall(f"{where}: column 'prompt' is empty")
    return Row(where, filled)
