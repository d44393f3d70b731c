"""What is written as TOML is read the same."""

from __future__ import annotations

import tomllib
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.services.catalog.model_import import toml_key, toml_table, toml_value

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DECIMALS = st.decimals(-(10**6), 10**6, allow_nan=False, places=9)
VALUES = st.recursive(
    st.one_of(TEXTS, st.booleans(), st.integers(-(2**70), 2**70), DECIMALS, st.dates(min_value=date(1000, 1, 1))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(values=st.dictionaries(TEXTS, VALUES, max_size=4), name=TEXTS)
def test_what_is_written_as_toml_is_read_the_same(values: dict[str, Any], name: str) -> None:
    text = toml_table(f"[{toml_key(name)}]", values)

    assert tomllib.loads(text, parse_float=Decimal) == {name: values}


def test_half_a_surrogate_pair_is_replaced_and_what_is_no_toml_is_a_mistake() -> None:
    assert tomllib.loads(f"x = {toml_value(chr(0xD800))}") == {"x": "\ufffd"}
    for value in (None, 1.5, Decimal("NaN")):
        with pytest.raises(TypeError):
            toml_value(value)
