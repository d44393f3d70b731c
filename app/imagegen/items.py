"""The rows of a sheet as the items of a batch, and as the names of its files. Every complaint names the line and the column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegen import delivery
from imagegen.arguments import Model, image
from imagegen.outcomes import Refused, WrongCall
from imagegen.sheets import Row

#: File systems take 255 bytes; the rest is for an extension, and for a number where the name is taken.
LONGEST_NAME = 240


@dataclass(frozen=True)
class Sheet:
    """`items` as the API takes them; `names`, by row, what its own columns add to the name of its files."""

    items: list[dict[str, Any]]
    names: list[dict[str, str]]


def sheet_of(rows: Sequence[Row], *, folder: Path, output: str, default_model: str | None, find_model: Callable[[str], Model]) -> Sheet:
    """Read rows; pictures are files seen from `folder`. A column that the template `output` names need not be one of the model's.

    Raises WrongCall, Refused for an unknown model.
    """
    naming = delivery.placeholders_of(output).difference(delivery.PLACEHOLDERS)
    items, most = [], 1
    for row in rows:
        model = _model_of(row, default_model, find_model)
        items.append(_item(row, model, folder, naming))
        most = max(most, model.images_wanted(items[-1]))
    columns = {column for row in rows for column in row.cells}
    delivery.check_template(output, most_images=most, rows=len(rows), columns=columns)
    names = [_names(row, sorted(naming)) for row in rows]
    _check_different(rows, [item["model"] for item in items], names, output)
    return Sheet(items, names if naming else [])


def _model_of(row: Row, default_model: str | None, find_model: Callable[[str], Model]) -> Model:
    name = row.cells.get("model") or default_model
    if not isinstance(name, str):
        raise WrongCall(f"{row.where}: column 'model' is missing or empty; fill it, or give --model")
    try:
        return find_model(name)
    except Refused as exc:
        exc.message = f"{row.where}: column 'model': {exc.message}"
        raise


def _item(row: Row, model: Model, folder: Path, naming: set[str]) -> dict[str, Any]:
    item: dict[str, Any] = {"model": model.name, "inputs": {}, "options": {}}
    for column, cell in row.cells.items():
        try:
            if column == "image":
                item["inputs"] |= model.with_images([image(str(text), folder) for text in (cell if isinstance(cell, list) else [cell])])
            elif column != "model" and (model.has(column) or column not in naming):
                item[model.home(column)][column] = cell if row.is_json else model.value(column, cell)
        except WrongCall as exc:
            hint = "" if column == "image" else f". A column that names files is used in -o, as {{{column}}}"
            raise WrongCall(f"{row.where}: column '{column}': {exc.message}{hint}") from exc
    return item


def _names(row: Row, naming: Sequence[str]) -> dict[str, str]:
    for column in naming:
        if column not in row.cells:
            raise WrongCall(f"{row.where}: column '{column}' is empty, but files are named after it")
    return {column: str(row.cells[column]) for column in naming}


def _check_different(rows: Sequence[Row], models: Sequence[str], names: Sequence[Mapping[str, str]], output: str) -> None:
    seen: dict[Path, str] = {}
    for number, (row, model, named) in enumerate(zip(rows, models, names, strict=True), 1):
        path = delivery.target(output, {**named, "row": number, "model": model, "index": 1, "jobId": str(number).zfill(36)})
        if len(path.name.encode()) > LONGEST_NAME:
            raise WrongCall(f"{row.where}: the file's name is too long: {path.name}")
        if path in seen:
            raise WrongCall(f"{row.where}: {path.name} is the name of the pictures of {seen[path]} too; use {{row}} in -o")
        seen[path] = row.where


def explained(rows: Sequence[Row], refused: Refused) -> str:
    """Return a refusal of the server in the sheet's own terms: each complaint with its line and column; as it is where it names no row."""
    told = [_complaint(rows, pointer, detail) for pointer, detail in refused.errors]
    return "\n".join(text for _, text in told) if any(is_of_a_row for is_of_a_row, _ in told) else refused.message


def _complaint(rows: Sequence[Row], pointer: str, detail: str) -> tuple[bool, str]:
    place, number, *steps = [*pointer.split("/")[1:], ""]
    if place != "items" or not number.isdigit() or int(number) >= len(rows):
        return False, f"{pointer.lstrip('/')}: {detail}"
    row = rows[int(number)]
    names = [step for step in steps if step not in ("inputs", "options", "")]
    name = names[0] if names else ""
    # A picture's column is not named after the input that it goes into.
    column = name if name in row.cells or "image" not in row.cells or "image" not in name else "image"
    return True, f"{row.where}: " + (f"column '{column}': {detail}" if column else detail)
