"""Exports: CSV or NDJSON of any length, made while it is sent. An export that breaks off never looks like a whole one."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from flask import Response

from app.api.schemas.jobs import ExportFormat
from app.domain import clock

#: What begins a formula, full-width forms too: spreadsheets take those for the plain ones.
STARTS = "=+\\-@|\uff1d\uff0b\uff0d\uff20\uff5c"
#: Where a cell begins for some spreadsheet: at its start, and after what separates cells in another country's settings, or lines.
FORMULA = re.compile(rf"""(\A|[;\t\r\n])([\s"']*)(?=[{STARTS}])""")
UNSEEN_START = re.compile(r"\A[\t\r\n]")


def safe_cell(value: Any) -> Any:
    """Return a cell with a quote before whatever would be a formula; numbers as they are."""
    if not isinstance(value, str):
        return value
    quoted = FORMULA.sub(r"\1\2'", value)
    return f"'{quoted}" if UNSEEN_START.match(quoted) else quoted


log = logging.getLogger("http")

CONTENT_TYPES = {ExportFormat.CSV: "text/csv; charset=utf-8", ExportFormat.NDJSON: "application/x-ndjson"}
PIECE_CHARS = 32 * 1024
#: Neither a row of any CSV of ours nor JSON: a reader that takes the rest stumbles here.
INCOMPLETE = "# incomplete: the export was cut off by an error, ask for it again\n"

Row = Mapping[str, Any]


def exported(name: str, kind: ExportFormat, rows: Iterable[Row], columns: Iterable[str]) -> Response:
    """Return the download of `rows`, each with the values of `columns`; NDJSON has the rows as they are.

    The first row is read before anything is answered: what is wrong from the start gets its error body. An error on the way writes the
    line INCOMPLETE and drops the connection, without the end that HTTP's chunks have.
    """
    iterator = iter(rows)
    first = [row for row in [next(iterator, None)] if row is not None]
    lines = _csv_lines(chain(first, iterator), list(columns)) if kind is ExportFormat.CSV else map(_json_line, chain(first, iterator))
    response = Response(_pieces(lines, name), content_type=CONTENT_TYPES[kind])
    response.headers["Content-Disposition"] = f'attachment; filename="{name}-{clock.now():%Y-%m-%d}.{kind.value}"'
    response.headers["X-Accel-Buffering"] = "no"
    return response


def documented(rows: str) -> dict[str, Any]:
    """Return what OpenAPI says about an export's answer."""
    content = {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in CONTENT_TYPES.values()}
    return {
        "200": {"description": f"{rows} A last line that begins with `# incomplete` means that an error cut it off.", "content": content}
    }


def _pieces(lines: Iterator[str], name: str) -> Iterator[str]:
    piece, size = [], 0
    try:
        for line in lines:
            piece.append(line)
            size += len(line)
            if size >= PIECE_CHARS:
                yield "".join(piece)
                piece, size = [], 0
    except Exception:
        log.exception("the export of %s broke off", name)
        yield "".join(piece) + INCOMPLETE
        raise
    yield "".join(piece)


def _json_line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


def _csv_lines(rows: Iterable[Row], columns: list[str]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for cells in chain([columns], ([safe_cell(row[name]) for name in columns] for row in rows)):
        writer.writerow(cells)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
