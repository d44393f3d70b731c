"""fal's platform API as its client sees it: prices, events, descriptions, and everything that can go wrong. Against a stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.clients.fal.platform import FalPlatform
from app.domain.errors import NotFound, ProviderBadKey, ProviderBusy, ProviderError, ProviderRefused
from tests.support.fal_place import FalPlace
from tests.support.fal_platform import KEY, PRICING, PlatformServer, flux_dev, platform_server

SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 10, tzinfo=UTC)


@pytest.fixture
def fal(fal_place: FalPlace) -> Iterator[PlatformServer]:
    with platform_server(fal_place.tls_dir) as server:
        yield server


def events(platform: FalPlatform) -> list[Any]:
    return platform.billing_events(["req-1"], start=SINCE, end=UNTIL)


@pytest.mark.parametrize(
    ("status", "body", "error", "text"),
    [
        (401, {"error": {"type": "authorization_error", "message": "Invalid key"}}, ProviderBadKey, "FAL_ADMIN_KEY.*Invalid key"),
        (403, b"", ProviderBadKey, "ADMIN"),
        (400, {"error": {"message": "Date range too long"}}, ProviderRefused, "400.*Date range too long"),
        (302, b"", ProviderRefused, "302"),
        (404, {"error": None}, NotFound, "does not know"),
        (429, {"error": {"message": "Slow down"}}, ProviderBusy, "429.*Slow down"),
        (500, b"<html>", ProviderBusy, "500"),
        (200, b"<html>", ProviderError, "cannot be read"),
        (200, b"[" * 100_000, ProviderError, "cannot be read"),
        (200, [], ProviderError, "cannot be read"),
        (200, {"billing_events": None}, ProviderError, "cannot be read"),
        (200, {"billing_events": ["x"]}, ProviderError, "cannot be read"),
        (200, {"billing_events": [{"request_id": "req-1", "cost_total": "free"}]}, ProviderError, "cannot be read"),
        (200, {"billing_events": [{"request_id": "req-1", "cost_total": -0.5}]}, ProviderError, "cannot be read"),
        (200, b'{"billing_events": [{"request_id": "req-1", "cost_total": NaN}]}', ProviderError, "cannot be read"),
        (200, b'{"billing_events": [{"request_id": "req-1", "cost_total": 1e300}]}', ProviderError, "cannot be read"),
        (200, {"billing_events": [{"request_id": 7, "cost_total": 1}]}, ProviderError, "cannot be read"),
    ],
)
def test_what_fal_answers_instead_of_events_becomes_one_of_our_errors(
    fal: PlatformServer, status: int, body: Any, error: type[Exception], text: str
) -> None:
    fal.refusals = [(status, body)] * 3

    with pytest.raises(error, match=text) as raised:
        events(fal.client)

    assert type(raised.value) is error
    assert "an-admin-secret" not in str(raised.value)


def test_fal_out_of_reach_is_told_as_such() -> None:
    nowhere = FalPlatform(api_url="https://localhost:9/v1", openapi_url="https://localhost:9/o", admin_key="k", pause_s=0, timeout_s=1)

    with pytest.raises(ProviderBusy, match="does not answer"):
        events(nowhere)


def test_an_events_cost_is_exact_after_discounts_and_foreign_events_are_left_out(fal: PlatformServer) -> None:
    fal.bill("req-1", 123_456_789_012)
    fal.bill("req-1", None)
    fal.bill("other", 1)
    fal.bill("req-1", None, cost_total=0.1)

    assert [event.cost for event in events(fal.client)] == [Decimal("123.456789012"), Decimal("0.1")]


def test_prices_are_those_fal_has(fal: PlatformServer) -> None:
    fal.price("fal-ai/flux/dev", 0.025, "megapixels")
    fal.price("fal-ai/video", 0.1, "seconds")

    prices = fal.client.prices(["fal-ai/flux/dev", "fal-ai/video", "fal-ai/none"])

    assert {name: (price.amount, price.registry_unit) for name, price in prices.items()} == {
        "fal-ai/flux/dev": (Decimal("0.025"), "megapixel"),
        "fal-ai/video": (Decimal("0.1"), None),
    }


def test_an_unknown_endpoint_does_not_cost_the_prices_of_the_others(fal: PlatformServer) -> None:
    fal.price("fal-ai/flux/dev", 0.025, "megapixels")
    fal.refusals = [(404, {"error": {"message": "Endpoint not found"}}), (404, {"error": {"message": "Endpoint not found"}})]

    prices = fal.client.prices(["fal-ai/none", "fal-ai/flux/dev"])

    assert list(prices) == ["fal-ai/flux/dev"]
    assert len(fal.queries(PRICING)) == 3


def test_the_description_of_an_endpoint_needs_no_key(fal: PlatformServer) -> None:
    fal.documents["fal-ai/flux/dev"] = flux_dev()

    known, unknown = fal.client.openapi("fal-ai/flux/dev"), fal.client.openapi("fal-ai/none")

    assert known is not None
    assert (known["openapi"], unknown) == ("3.0.4", None)
    assert not [seen for seen in fal.server.seen if "Authorization" in seen[2]]


@pytest.mark.parametrize("ids", [[], ["x"] * 51])
def test_a_call_names_one_to_fifty_ids(fal: PlatformServer, ids: list[str]) -> None:
    with pytest.raises(ValueError, match="1 to 50"):
        fal.client.prices(ids)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, None),
        (204, None),
        (404, None),
        (410, None),
        (401, ProviderBadKey),
        (403, ProviderBadKey),
        (500, ProviderBusy),
        (302, ProviderRefused),
    ],
)
def test_what_fal_keeps_of_a_request_is_deleted_by_its_id_and_what_is_gone_is_gone(
    fal: PlatformServer, status: int, error: type[Exception] | None
) -> None:
    path = "/v1/models/requests/req%2F..%3F/payloads"
    fal.server.on(path, status, b'{"cdn_delete_results": []}' if status != 204 else b"")

    if error:
        with pytest.raises(error):
            fal.client.delete_payloads("req/..?")
    else:
        fal.client.delete_payloads("req/..?")

    assert [(seen[0], seen[1], seen[2]["Authorization"]) for seen in fal.server.seen] == [("DELETE", path, f"Key {KEY}")]


def test_a_platform_that_does_not_answer_is_asked_to_delete_another_time() -> None:
    nowhere = FalPlatform(api_url="https://localhost:9/v1", openapi_url="https://localhost:9/o", admin_key="k", pause_s=0, timeout_s=1)

    with pytest.raises(ProviderBusy, match="does not answer"):
        nowhere.delete_payloads("req-1")
