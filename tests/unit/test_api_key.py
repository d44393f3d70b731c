"""How narrow a key may be, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.api_key import ApiKey, KeyTerms, OrderLimits, Scope, checked
from app.domain.errors import Forbidden, InvalidRequest, MaxCostExceeded

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize("model", ["flux-pro", "flux-dev", "face-swap"])
def test_a_key_may_use_models_by_name_and_by_glob(model: str) -> None:
    OrderLimits(models=("face-swap", "flux-*")).require_model(model)


@pytest.mark.parametrize("model", ["nano-banana-edit", "FLUX-PRO", "face-swap-2", ""])
def test_a_key_may_use_no_other_model(model: str) -> None:
    with pytest.raises(Forbidden, match=r"face-swap, flux-\*"):
        OrderLimits(models=("face-swap", "flux-*")).require_model(model)


def test_one_order_may_cost_the_limit_and_not_a_millionth_more() -> None:
    limits = OrderLimits(max_micros=50_000)

    limits.require_cost(50_000)
    with pytest.raises(MaxCostExceeded):
        limits.require_cost(50_001)


@pytest.mark.parametrize("address", ["203.0.113.7", "::ffff:203.0.113.7", "2001:db8::1", "2001:db8::1%eth0"])
def test_a_key_is_good_within_its_networks(address: str) -> None:
    terms = checked(KeyTerms(ip_ranges=("203.0.113.9/24", "2001:db8::/32")), NOON)

    terms.require_address(address)


@pytest.mark.parametrize("address", ["203.0.114.7", "2001:db9::1", "", "nonsense", None])
def test_a_key_is_refused_outside_of_its_networks(address: str | None) -> None:
    terms = checked(KeyTerms(ip_ranges=("203.0.113.9/24", "2001:db8::/32")), NOON)

    with pytest.raises(Forbidden):
        terms.require_address(address)


def test_a_scope_includes_no_other_and_the_refusal_names_what_is_missing() -> None:
    with pytest.raises(Forbidden, match="'generate'") as refusal:
        KeyTerms(scopes=(Scope.ADMIN,)).require_scope(Scope.GENERATE)

    assert refusal.value.details == {"scope": "generate"}


def test_a_key_ends_at_its_moment() -> None:
    key = ApiKey(id="1", name="nightly", created_at=NOON, terms=KeyTerms(expires_at=NOON + timedelta(days=1)))

    assert key.is_live(NOON + timedelta(hours=23, minutes=59))
    assert not key.is_live(NOON + timedelta(days=1))
    assert not replace(key, revoked_at=NOON).is_live(NOON)


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        (KeyTerms(ip_ranges=("203.0.113.0/33",)), "/ipRanges"),
        (KeyTerms(ip_ranges=("example.com",)), "/ipRanges"),
        (KeyTerms(users=("",)), "/users"),
        (KeyTerms(users=("a\nb",)), "/users"),
        (KeyTerms(users=tuple(str(number) for number in range(101))), "/users"),
        (KeyTerms(users=("ada",), scopes=(Scope.ADMIN,)), "/users"),
        (KeyTerms(orders=OrderLimits(models=("x" * 257,))), "/models"),
        (KeyTerms(scopes=()), "/scopes"),
        (KeyTerms(expires_at=NOON), "/expiresAt"),
        (KeyTerms(rate_per_minute=0), "/ratePerMinute"),
    ],
)
def test_terms_that_cannot_be_kept_are_refused_by_name(terms: KeyTerms, pointer: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        checked(terms, NOON)

    assert [error.pointer for error in refusal.value.errors] == [pointer]
