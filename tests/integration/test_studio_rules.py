"""Rules of the Studio that need no page, run by node: tables of orders, what a month will cost, lists that never end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import run_node

SCRIPTS = Path(__file__).resolve().parents[2] / "app" / "ui" / "static" / "js"


@pytest.fixture(scope="module")
def found() -> Any:
    return json.loads(run_node("studio_rules.mjs", str(SCRIPTS)))


def test_a_table_is_read_as_spreadsheets_write_it(found: Any) -> None:
    tables = found["tables"]

    assert tables["commas"] == [
        {"model": "usual", "inputs": {"prompt": "a boat, red"}, "options": {"num_images": 2, "safe": True}},
        {"model": "usual", "inputs": {"prompt": 'say "hi"'}, "options": {"safe": False}},
    ]
    assert tables["tabs"] == [
        {"model": "other", "inputs": {"prompt": "a boat, red"}, "options": {"image_size": {"width": 640, "height": 480}}}
    ]
    assert tables["images"] == [
        {"model": "usual", "inputs": {"prompt": "a", "image_urls": ["upload:1", "upload:2"]}, "options": {"unknown": "x"}}
    ]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("open", "A quote is opened and never closed."),
        ("nameless", "Column 2 has no name."),
        ("twice", 'The column "prompt" is there twice.'),
        ("none", 'The first line has to name the columns, one of them "prompt". Found: words.'),
        ("headOnly", "There is no row below the heading."),
        ("tooMany", "4 rows; a batch takes 3. Split the table."),
        ("tooWide", ["3 cells, but 2 columns; put quotes around a text with commas."]),
    ],
)
def test_a_table_that_makes_no_orders_says_why(found: Any, table: str, said: Any) -> None:
    assert found["tables"][table] == said


def test_a_budget_tells_where_this_pace_leads(found: Any) -> None:
    months = found["months"]

    assert months["steady"]["atEnd"] == pytest.approx(60)
    assert (months["steady"]["reachedOn"], months["steady"]["isFull"]) == (None, False)
    assert (months["reached"]["reachedOn"], months["reached"]["isSoon"]) == ("2026-11-21", False)
    assert (months["full"]["isFull"], months["full"]["renewsOn"]) == (True, "2026-12-01")
    assert (months["nothing"]["atEnd"], months["nothing"]["reachedOn"]) == (0, None)
    assert months["firstHour"]["atEnd"] < 31


def test_a_list_keeps_a_bounded_part_of_itself_and_reads_the_rest_again(found: Any) -> None:
    seen = found["list"]

    assert seen["most"] <= seen["kept"] + 100
    assert (seen["dropped"], seen["again"]) == (True, [10, {"id": 12, "favorite": True}])
    assert (seen["length"], seen["where"]) == (2999, 2998)
