"""The operator's commands can be tried against the emulator: it knows prices, descriptions and its own bill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.clients.fal.openapi import read_schema
from app.clients.fal.platform import FalPlatform
from app.domain import clock
from app.domain.errors import ProviderBadKey
from app.services.catalog.model_import import draft_model
from app.services.catalog.registry_drift import find_drift
from registry.loader import default_folder, load_registry
from scripts.fal_emulator import descriptions
from tests.support.emulator import Emulator
from tests.support.fal_calls import completed, submit


@pytest.fixture
def platform(fal: Emulator, monkeypatch: pytest.MonkeyPatch) -> FalPlatform:
    monkeypatch.setenv("SSL_CERT_FILE", fal.bundle)
    return FalPlatform(api_url=f"{fal.base_url}/v1", openapi_url=f"{fal.base_url}/openapi.json", admin_key="any:key", pause_s=0.001)


def test_the_models_that_ship_are_as_it_describes_them(platform: FalPlatform) -> None:
    drift = find_drift(list(load_registry(default_folder())), platform, clock.now())

    assert [found for of_model in drift for found in of_model] == []


@pytest.mark.parametrize("endpoint", ["fal-ai/flux/krea", "fal-ai/whatever/it/is", "fal-ai/nano-banana-pro/edit"])
def test_any_model_can_be_imported(platform: FalPlatform, endpoint: str) -> None:
    draft = draft_model(platform, endpoint, name="new", per_image=None, today=datetime.now(UTC).date())

    assert f'falEndpoint = "{endpoint}"' in draft.text
    assert draft.example is not None


def test_a_bad_key_is_refused(fal: Emulator, platform: FalPlatform) -> None:
    bad = FalPlatform(api_url=f"{fal.base_url}/v1", openapi_url="", admin_key="bad:key", pause_s=0.001)

    with pytest.raises(ProviderBadKey):
        bad.prices(["fal-ai/flux/dev"])


def test_what_was_made_is_on_the_bill_and_what_failed_is_not(fal: Emulator, platform: FalPlatform) -> None:
    requests = [submit(fal, image_size="square_hd", num_images=2), submit(fal, prompt="x [emulator: fail=content_policy]")]
    made, failed = (completed(fal, request.json())["request_id"] for request in requests)
    now = clock.now()

    events = platform.billing_events([made, failed, "another"], start=now - timedelta(days=1), end=now + timedelta(days=1))

    assert [(event.request_id, float(event.cost)) for event in events] == [(made, 0.05)]


def test_every_description_can_be_read() -> None:
    for endpoint in descriptions._INPUTS:
        assert read_schema(endpoint, descriptions.document_of(endpoint) or {}).inputs
