from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.pricing import limit_micros, list_price, quote, usd, usd_text
from registry.loader import Registry, load_registry
from registry.request import check_options, check_request
from registry.spec import NoPrice

REGISTRY = load_registry()
NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
IMAGE = "https://a/b.png"
LORAS = [{"path": "owner/name"}]
HEAD = 'falEndpoint = "a/b"\ncategory = "c"\nrequiredInputs = ["prompt"]\ndescription = "d"\n'


def micros(model: str, options: Any = None, inputs: Any = None) -> int:
    return quote(check_options(REGISTRY, model, inputs, options), NOW).micros


def model_of(folder: Path, text: str) -> Registry:
    (folder / "m.toml").write_text(HEAD + text)
    return load_registry(folder)


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        ("flux-pro", {}, 50_000),
        ("flux-pro", {"num_images": 10}, 500_000),
        ("flux-pro", {"width": 2048, "height": 2048}, 50_000),
        ("nano-banana-edit", {}, 150_000),
        ("nano-banana-edit", {"resolution": "1K"}, 150_000),
        ("nano-banana-edit", {"resolution": "2K"}, 150_000),
        ("nano-banana-edit", {"resolution": "4K"}, 300_000),
        ("nano-banana-edit", {"enable_web_search": False}, 150_000),
        ("nano-banana-edit", {"enable_web_search": True}, 165_000),
        ("nano-banana-edit", {"enable_web_search": True, "resolution": "4K", "num_images": 3}, 945_000),
        ("flux-dev", {}, 25_000),
        ("flux-dev", {"image_size": "square"}, 25_000),
        ("flux-dev", {"image_size": "square_hd"}, 25_000),
        ("flux-dev", {"aspect_ratio": "1:1"}, 25_000),
        ("flux-dev", {"aspect_ratio": "21:9"}, 25_000),
        ("flux-dev", {"width": 1024, "height": 1024}, 25_000),
        ("flux-dev", {"width": 1024, "height": 1025}, 50_000),
        ("flux-dev", {"width": 2048, "height": 1024}, 50_000),
        ("flux-dev", {"width": 2049, "height": 1024}, 75_000),
        ("flux-dev", {"image_size": {"width": 2048, "height": 2048}, "num_images": 4}, 400_000),
        ("flux-dev", {"loras": LORAS}, 35_000),
        ("flux-dev", {"loras": []}, 25_000),
        ("flux-lora", {}, 35_000),
        ("flux-lora", {"width": 1024, "height": 1024}, 35_000),
        ("flux-lora", {"width": 1025, "height": 1024}, 70_000),
        ("flux-dev-image-to-image", {}, 30_000),
        ("flux-dev-image-to-image", {"num_images": 2}, 60_000),
        ("face-swap", {}, 20_000),
    ],
)
def test_shipped_prices_are_pinned_on_both_sides_of_each_step(model: str, options: Any, expected: int) -> None:
    assert micros(model, options) == expected


def test_the_contracts_estimate_is_005_05_and_10() -> None:
    found = quote(check_options(REGISTRY, "flux-pro", None, {"num_images": 10}), NOW)

    assert (usd(found.unit_micros), usd(found.micros), found.num_images) == (0.05, 0.5, 10)
    assert found.price_id == "flux-pro-contract"


@pytest.mark.parametrize(("delivered", "charge"), [(-1, 0), (0, 0), (1, 50_000), (3, 150_000), (4, 200_000), (5, 200_000)])
def test_only_delivered_images_are_charged_and_never_more_than_quoted(delivered: int, charge: int) -> None:
    found = quote(check_options(REGISTRY, "flux-pro", None, {"num_images": 4}), NOW)

    assert found.charge_for(delivered) == charge


@pytest.mark.parametrize(("amount", "expected"), [("0.0000001", 1), ("0.0000010", 1), ("0.0000011", 2), ("0", 0), ("1", 1_000_000)])
def test_one_image_is_rounded_up_to_a_whole_micro(tmp_path: Path, amount: str, expected: int) -> None:
    registry = model_of(tmp_path, f"costPerImage = {amount}\ndefaultOptions = {{ num_images = 1 }}")

    found = quote(check_options(registry, "m", None, {"num_images": 7}), NOW)

    assert (found.unit_micros, found.micros) == (expected, expected * 7)


def test_a_decimal_price_is_exact(tmp_path: Path) -> None:
    registry = model_of(tmp_path, "costPerImage = 0.07\n")

    assert quote(check_options(registry, "m", None), NOW).micros == 70_000


DATED = """
[[prices]]
from = 2026-01-01
unit = "image"
amount = 0.1
[[prices]]
from = 2026-06-01
unit = "image"
amount = 0.2
"""


@pytest.mark.parametrize(
    ("at", "expected", "price_id"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), 100_000, "m-2026-01-01"),
        (datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC), 100_000, "m-2026-01-01"),
        (datetime(2026, 6, 1, tzinfo=UTC), 200_000, "m-2026-06-01"),
        (datetime(2030, 1, 1, tzinfo=UTC), 200_000, "m-2026-06-01"),
        (datetime(2026, 6, 1, 1, tzinfo=timezone(timedelta(hours=2))), 100_000, "m-2026-01-01"),
    ],
)
def test_the_price_in_force_at_the_time_wins(tmp_path: Path, at: datetime, expected: int, price_id: str) -> None:
    registry = model_of(tmp_path, DATED)

    found = quote(check_options(registry, "m", None), at)

    assert (found.micros, found.price_id) == (expected, price_id)


def test_before_the_first_price_there_is_none(tmp_path: Path) -> None:
    registry = model_of(tmp_path, DATED)

    with pytest.raises(NoPrice, match="'m' has no price in force on 2025-12-31") as caught:
        quote(check_options(registry, "m", None), datetime(2025, 12, 31, tzinfo=UTC))

    assert caught.value.model == "m"


def test_a_simple_price_is_in_force_at_any_time(tmp_path: Path) -> None:
    registry = model_of(tmp_path, "costPerImage = 0.03")

    found = quote(check_options(registry, "m", None), datetime(1999, 1, 1, tzinfo=UTC))

    assert (found.micros, found.price_id) == (30_000, "m-cost-per-image")


MEGAPIXELS = 'options = ["image_size"]\n[[prices]]\nfrom = 2026-01-01\nunit = "megapixel"\namount = 0.01\n'


def test_without_a_size_the_assumed_megapixels_are_billed(tmp_path: Path) -> None:
    registry = model_of(tmp_path, MEGAPIXELS + "assumedMegapixels = 3\n")

    unknown = quote(check_options(registry, "m", None), NOW)
    known = quote(check_options(registry, "m", None, {"image_size": "square"}), NOW)

    assert (unknown.micros, known.micros) == (30_000, 10_000)


@pytest.mark.parametrize(("height", "expected"), [(1000, 10_000), (1001, 20_000)])
def test_a_price_says_how_many_pixels_a_megapixel_has(tmp_path: Path, height: int, expected: int) -> None:
    registry = model_of(tmp_path, MEGAPIXELS + "pixelsPerMegapixel = 1_000_000\n")

    assert quote(check_options(registry, "m", None, {"width": 1000, "height": height}), NOW).micros == expected


def test_a_tier_replaces_the_amount_of_a_megapixel_and_an_extra_is_added_per_image(tmp_path: Path) -> None:
    rules = (
        '[[prices.tiers]]\noption = "raw"\nequals = true\namount = 0.02\n[[prices.extras]]\noption = "seed"\nequals = 1\namount = 0.005\n'
    )
    registry = model_of(tmp_path, MEGAPIXELS.replace('"image_size"', '"image_size", "raw", "seed"') + rules)

    found = quote(check_options(registry, "m", None, {"raw": True, "seed": 1, "width": 2048, "height": 1024}), NOW)

    assert found.micros == 45_000


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("face-swap", 20_000),
        ("flux-dev", 25_000),
        ("flux-dev-image-to-image", 30_000),
        ("flux-lora", 35_000),
        ("flux-pro", 50_000),
        ("nano-banana-edit", 150_000),
    ],
)
def test_the_list_price_is_that_of_one_image_as_it_comes(model: str, expected: int) -> None:
    assert list_price(REGISTRY.get(model), NOW) == expected


def test_the_list_price_follows_default_options(tmp_path: Path) -> None:
    text = MEGAPIXELS.replace("options =", "defaultOptions = { image_size = { width = 2048, height = 1024 } }\noptions =")
    registry = model_of(tmp_path, text)

    assert list_price(registry.get("m"), NOW) == 20_000


@pytest.mark.parametrize(("amount", "number"), [(0, "0.0"), (1, "1e-06"), (50_000, "0.05"), (500_000, "0.5"), (123_456_789, "123.456789")])
def test_usd_is_the_shortest_exact_number(amount: int, number: str) -> None:
    assert repr(usd(amount)) == number


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "num_images": st.integers(1, 100),
        "resolution": st.sampled_from(["1K", "2K", "4K"]),
        "enable_web_search": st.booleans(),
        "aspect_ratio": st.sampled_from(["auto", "1:1", "9:16"]),
        "seed": st.integers(0, 2**64 - 1),
    },
)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(options=OPTIONS)
def test_the_estimate_is_the_quote_of_the_job(options: Any) -> None:
    inputs = {"prompt": "abc", "image_urls": [IMAGE]}

    estimate = quote(check_options(REGISTRY, "nano-banana-edit", None, options), NOW)
    job = quote(check_request(REGISTRY, "nano-banana-edit", inputs, options), NOW)

    assert estimate == job
    assert job.micros == job.unit_micros * options.get("num_images", 1) == job.charge_for(job.num_images)


@pytest.mark.parametrize(
    ("amount", "micros"),
    [
        (0.7999999999999999, 800_000),
        (0.1 + 0.2, 300_000),
        (sum([0.05] * 16), 800_000),
        (1e-7, 0),
        (6e-7, 1),
        (0, 0),
        (-0.05, -50_000),
        (0.000001, 1),
        (1_000_000_000, 10**15),
        (1e300, 10**306),
        (12345.678901, 12_345_678_901),
    ],
)
def test_an_amount_calculated_with_floats_counts_as_money(amount: float, micros: int) -> None:
    assert limit_micros(amount) == micros


@given(micros=st.integers(0, 10**15))
@settings(derandomize=True, database=None)
def test_every_amount_is_the_same_after_it_was_json(micros: int) -> None:
    assert limit_micros(usd(micros)) == micros


@pytest.mark.parametrize(
    ("micros", "text"), [(0, "0"), (50_000, "0.05"), (1, "0.000001"), (12_345_678_901, "12345.678901"), (10**15, "1000000000")]
)
def test_an_amount_in_a_sentence_is_exact(micros: int, text: str) -> None:
    assert usd_text(micros) == text
