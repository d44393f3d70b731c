from __future__ import annotations

import json
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.outside_text import said_of, storable_text

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [
        ("bad \ud83d half", "bad \N{REPLACEMENT CHARACTER} half"),
        ("\ude00 other half", "\N{REPLACEMENT CHARACTER} other half"),
        ("whole \ud83d\ude00", "whole \N{GRINNING FACE}"),
        ("a\0b\r\n\tc\x9b31m", "a b c 31m"),
        ("right\u202eleft", "right left"),
        (" plain ", "plain"),
        (None, ""),
        (7, ""),
        (["x"], ""),
    ],
)
def test_text_from_outside_becomes_storable(given_text: Any, kept: str) -> None:
    assert storable_text(given_text) == kept


@given(ANY_TEXT)
def test_whatever_a_text_holds_it_can_be_stored_sent_and_printed_as_one_line(text: str) -> None:
    kept = storable_text(text, 20)

    assert bson.decode(bson.encode({"text": kept}))["text"] == kept
    assert json.loads(json.dumps(kept).encode()) == kept
    assert len(kept) <= 20
    assert len(kept.splitlines()) <= 1


def test_an_exception_that_cannot_say_its_own_text_is_told_by_its_class() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert said_of(Broken()) == "Broken: no words"
    assert said_of(ValueError("half \ud83d")) == "ValueError: half \N{REPLACEMENT CHARACTER}"
