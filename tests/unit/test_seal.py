"""Seals: known again by the service that made them, and by their purpose only."""

from __future__ import annotations

import pytest

from app.domain.seal import Seal

SEAL = Seal("a secret", "links")


@pytest.mark.parametrize("text", ["a text", "", "ü", "\ud800"])
def test_a_seal_is_known_again(text: str) -> None:
    assert SEAL.is_of(Seal("a secret", "links").of(text), text)


@pytest.mark.parametrize(
    ("seal", "text"),
    [
        (SEAL.of("a text"), "another"),
        (Seal("a secret", "tickets").of("a text"), "a text"),
        (Seal("another secret", "links").of("a text"), "a text"),
        ("", "a text"),
        ("é", "a text"),
    ],
)
def test_what_was_sealed_otherwise_is_not(seal: str, text: str) -> None:
    assert not SEAL.is_of(seal, text)


def test_a_seal_may_stand_in_an_address() -> None:
    assert all(char.isalnum() or char in "-_" for char in SEAL.of("a text"))
