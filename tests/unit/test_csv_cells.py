"""No cell of a CSV starts a formula, in whichever country's spreadsheet it is opened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.http.exports import safe_cell

STARTS = ["=", "+", "-", "@", "|", "\uff1d", "\uff0b", "\uff0d", "\uff20"]


@pytest.mark.parametrize("start", [*STARTS, "\t", "\r", "\n"])
def test_a_cell_that_would_be_a_formula_gets_a_quote(start: str) -> None:
    assert safe_cell(f"{start}1+1") == f"'{start}1+1"


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("before", ["red;", "red; ", 'red;"', "red\n", "red\t", "red;\n "])
def test_what_another_country_would_split_off_gets_a_quote_too(start: str, before: str) -> None:
    assert safe_cell(f"{before}{start}cmd") == f"{before}'{start}cmd"


@pytest.mark.parametrize("text", ["a red bicycle", "16:9, -no people", "a=b", "", "1; 2; 3", "user@example.com", "a|b", 5, -1.5, None])
def test_all_else_stays_as_it_is(text: object) -> None:
    assert safe_cell(text) == text


@given(st.text(alphabet="=+-@|;'\" \t\r\na\uff1d", max_size=12))
def test_no_part_that_a_spreadsheet_would_split_off_starts_a_formula(text: str) -> None:
    cell = safe_cell(text)

    parts = [part.strip(" \"'\t\r\n") if not part.strip(' "\t\r\n').startswith("'") else "" for part in cell.replace("\n", ";").split(";")]
    assert not any(part.startswith(tuple(STARTS)) for part in parts)
