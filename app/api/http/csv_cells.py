"""Cells of CSV files that a spreadsheet shows and does not run (OWASP, "CSV Injection"). Every CSV of the service is made of these."""

from __future__ import annotations

import re
from typing import Any

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
