"""What a job costs the operator beside what its user is charged: quote, units, and what is stored of both."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.api.schemas.jobs import CostDetailAnswer
from app.domain.costs import ActualCost, CostSource, billed_units
from app.domain.fal_request import Failure
from app.domain.job import Job, SweepTimeouts
from app.domain.pricing import Quote, quote
from app.stores.job_documents import from_document, to_document
from registry.loader import Registry, load_registry
from registry.request import check_options
from registry.spec import RegistryError
from tests.support.factories import after, canceled_job, certain, completed_job, make_facts, make_image, make_job, make_quote, submitted_job

REGISTRY = load_registry()
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HEAD = 'falEndpoint = "a/b"\ncategory = "c"\ndescription = "d"\nrequiredInputs = ["prompt"]\ndefaultOptions = { num_images = 1 }\noptions = { image_size = {}, resolution = {}, raw = {} }\n'
PRICE = '[[prices]]\nfrom = 2026-01-01\nunit = "image"\namount = 0.1\n'
OOPS = Failure("generation_failed", "fal.ai: no")


def model_of(folder: Path, text: str) -> Registry:
    (folder / "m.toml").write_text(HEAD + text)
    return load_registry(folder)


def quoted(registry: Registry, model: str, options: dict[str, Any] | None = None, at: datetime = NOW) -> Quote:
    return quote(check_options(registry, model, None, options or {}), at)


def figures(found: Quote) -> tuple[int, int | None, Decimal | None]:
    return found.micros, found.provider_micros, found.provider_amount


# -- the quote ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "options", "charged", "cost"),
    [
        ("flux-pro", {}, 50_000, 40_000),
        ("flux-pro", {"num_images": 10}, 500_000, 400_000),
        ("flux-pro", {"width": 1024, "height": 1024}, 50_000, 40_000),
        ("flux-pro", {"width": 1024, "height": 1025}, 50_000, 80_000),
        ("flux-pro", {"image_size": "square", "num_images": 3}, 150_000, 120_000),
        ("flux-dev", {"width": 1024, "height": 1024, "num_images": 2}, 50_000, 50_000),
        ("flux-dev", {"width": 1025, "height": 1024, "num_images": 2}, 100_000, 100_000),
        ("nano-banana-edit", {"resolution": "2K"}, 150_000, 150_000),
        ("nano-banana-edit", {"resolution": "4K"}, 300_000, 300_000),
        ("nano-banana-edit", {"resolution": "4K", "enable_web_search": True, "num_images": 2}, 630_000, 630_000),
        ("nano-banana-edit", {"resolution": "2K", "enable_web_search": True}, 165_000, 165_000),
        ("face-swap", {}, 20_000, 20_000),
    ],
)
def test_the_operators_cost_stands_beside_the_users_charge(model: str, options: dict[str, Any], charged: int, cost: int) -> None:
    found = quoted(REGISTRY, model, options)

    assert (found.micros, found.cost_micros) == (charged, cost)


def test_without_a_price_of_its_own_the_provider_charges_what_users_pay(tmp_path: Path) -> None:
    rules = '[[prices.tiers]]\noption = "resolution"\nequals = "4K"\namount = 0.3\n[[prices.extras]]\noption = "raw"\nequals = true\namount = 0.05\n'
    registry = model_of(tmp_path, PRICE + rules)

    found = quoted(registry, "m", {"resolution": "4K", "raw": True, "num_images": 2})

    assert figures(found) == (700_000, 700_000, Decimal("0.1"))


def test_tiers_and_extras_are_the_users_where_the_provider_charges_something_else(tmp_path: Path) -> None:
    rules = 'providerAmount = 0.07\n[[prices.tiers]]\noption = "resolution"\nequals = "4K"\namount = 0.3\n'
    registry = model_of(tmp_path, PRICE + rules)

    found = quoted(registry, "m", {"resolution": "4K"})

    assert figures(found) == (300_000, 70_000, Decimal("0.07"))


@pytest.mark.parametrize(("side", "cost"), [(1000, 40_000), (1001, 80_000)])
def test_only_the_providers_price_may_be_by_the_megapixel(tmp_path: Path, side: int, cost: int) -> None:
    registry = model_of(tmp_path, PRICE + 'providerUnit = "megapixel"\nproviderAmount = 0.04\npixelsPerMegapixel = 1_000_000\n')

    found = quoted(registry, "m", {"width": 1000, "height": side})

    assert (found.micros, found.cost_micros) == (100_000, cost)


def test_the_cost_of_an_order_is_rounded_up_once_and_the_charge_for_each_image(tmp_path: Path) -> None:
    registry = model_of(tmp_path, PRICE.replace("0.1", "0.0000015") + "providerAmount = 0.0000012\n")

    found = quoted(registry, "m", {"num_images": 4})

    assert figures(found) == (8, 5, Decimal("0.0000012"))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC), (100_000, 60_000, Decimal("0.06"))),
        (datetime(2026, 7, 1, tzinfo=UTC), (100_000, 80_000, Decimal("0.08"))),
    ],
)
def test_the_providers_price_changes_with_its_day(tmp_path: Path, at: datetime, expected: tuple[int, int, Decimal]) -> None:
    first, second = PRICE + "providerAmount = 0.06\n", PRICE.replace("01-01", "07-01") + "providerAmount = 0.08\n"
    registry = model_of(tmp_path, first + second)

    assert figures(quoted(registry, "m", at=at)) == expected


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ('providerUnit = "second"\nproviderAmount = 1\n', "providerUnit", "must be one of image, megapixel"),
        ('providerUnit = "image"\n', "providerAmount", "is missing"),
        ("providerAmount = -1\n", "providerAmount", "zero or more"),
        ("providerAmount = true\n", "providerAmount", "must be a number of USD"),
        ('providerAmount = "0.04"\n', "providerAmount", "must be a number of USD"),
        ("providerAmount = 0.04\nassumedMegapixels = 2\n", "assumedMegapixels", "belongs to unit"),
    ],
)
def test_a_wrong_provider_price_is_refused_by_its_key(tmp_path: Path, text: str, key: str, reason: str) -> None:
    with pytest.raises(RegistryError, match=reason) as refused:
        model_of(tmp_path, PRICE + text)

    assert refused.value.key == f"prices[0].{key}"


# -- the units of results --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "units"),
    [
        ("1", "1"),
        ("2.5", "2.5"),
        ("0", "0"),
        (" 4.0 ", "4"),
        ("1e-05", "0.00001"),
        ("100000", "100000"),
        ("0.333333333333", "0.333333333333"),
    ],
)
def test_a_number_of_units_is_taken_exactly(header: str, units: str) -> None:
    assert billed_units(header) == Decimal(units)


ABSURD = [
    None,
    "",
    "-1",
    "NaN",
    "nan",
    "inf",
    "-0",
    "1e9",
    "1e99",
    "100000.1",
    "9" * 64,
    "text",
    "1,5",
    "0x10",
    "1_000",
    "\u0661",
    "1 2",
    "+1",
    ".5",
    "1.",
    "\x00",
    "1;2",
    "null",
]


@pytest.mark.parametrize("header", ABSURD)
def test_units_that_are_none_are_not_taken(header: str | None) -> None:
    assert billed_units(header) is None


def collected(job: Job, *headers: str | None) -> Job:
    """Return the job with its requests collected in turn, each with this header."""
    for index, header in enumerate(headers):
        first = job.first_image_number(index)
        images = [make_image(first + number) for number in range(job.requests[index].num_images)]
        job = certain(job.collected(index, images, make_facts(header), now=after(5)))
    return job


@pytest.mark.parametrize(
    ("headers", "actual"),
    [
        (("1",), 25_000),
        (("0",), 0),
        (("4", "4", "2"), 250_000),
        (("4", "0.5"), 112_500),
        (("0.00001", "0.00001", "0.00001"), 1),
        (("0.33", "0.33333333"), 16_584),
    ],
)
def test_a_finished_job_costs_its_units_rounded_up_once(headers: tuple[str, ...], actual: int) -> None:
    job = collected(submitted_job(requests=(1,) * len(headers)), *headers)

    assert job.actual == ActualCost(actual, CostSource.UNITS)
    assert job.charged_micros == 25_000 * len(headers)


@pytest.mark.parametrize("header", ABSURD)
def test_bad_units_never_fail_a_job_and_leave_its_cost_unknown(header: str | None) -> None:
    job = collected(submitted_job(requests=(1, 1)), "1", header)

    assert (job.status.value, job.actual, job.charged_micros) == ("completed", None, 50_000)
    assert CostDetailAnswer.of(job) == {"estimated": 0.05, "actual": None, "source": "estimate"}


def test_the_cost_is_unknown_until_the_job_has_ended() -> None:
    job = collected(submitted_job(requests=(1, 1)), "1")

    assert (job.is_terminal, job.actual) == (False, None)


def test_a_part_that_was_sent_and_failed_may_have_been_billed() -> None:
    job = collected(submitted_job(requests=(1, 1)), "1")

    ended = certain(job.request_failed(1, OOPS, now=after(6)))

    assert (ended.status.value, ended.actual, ended.charged_micros) == ("completed", None, 25_000)


def test_a_job_of_which_nothing_was_sent_has_cost_nothing() -> None:
    canceled = certain(make_job().cancel_requested(now=after(1)))

    assert CostDetailAnswer.of(canceled) == {"estimated": 0.025, "actual": 0.0, "source": "units"}


@pytest.mark.parametrize("late", [submitted_job(), certain(make_job().submitting(0, now=after(1)))])
def test_what_was_sent_and_not_collected_has_an_unknown_cost(late: Job) -> None:
    failed = certain(late.given_up(OOPS, now=after(2)))

    assert CostDetailAnswer.of(failed) == {"estimated": 0.025, "actual": None, "source": "estimate"}


def test_what_fal_has_stopped_may_have_been_billed_all_the_same() -> None:
    assert CostDetailAnswer.of(canceled_job()) == {"estimated": 0.025, "actual": None, "source": "estimate"}


# -- the invoice, and what is stored ----------------------------------------------------------------------------------------------------


def test_an_invoice_takes_the_place_of_the_units_once() -> None:
    job = completed_job()

    invoiced = certain(job.invoiced(24_000, now=after(60)))

    assert CostDetailAnswer.of(invoiced) == {"estimated": 0.025, "actual": 0.024, "source": "invoice"}
    assert invoiced.invoiced(24_000, now=after(90)) is None
    assert certain(invoiced.invoiced(23_000, now=after(90))).actual == ActualCost(23_000, CostSource.INVOICE)
    assert (invoiced.charged_micros, invoiced.status, invoiced.history) == (job.charged_micros, job.status, job.history)


def test_a_live_job_has_no_invoice() -> None:
    assert submitted_job().invoiced(1, now=after(60)) is None


def test_a_quote_keeps_an_amount_below_a_micro_dollar() -> None:
    exact = dataclasses.replace(make_quote(1), provider_amount=Decimal("0.0024075"), provider_micros=2_408)
    job = make_job(quote=exact)

    assert from_document(to_document(job), SweepTimeouts()).quote == exact


def test_a_job_from_before_operators_prices_keeps_what_it_was_quoted() -> None:
    document = to_document(completed_job())
    del document["quote"]["providerMicros"], document["quote"]["providerAmount"], document["cost"]["actualMicros"]
    document["cost"]["source"] = "estimate"

    job = from_document(document, SweepTimeouts())

    assert (job.quote.provider_amount, job.actual) == (None, None)
    assert CostDetailAnswer.of(job) == {"estimated": 0.025, "actual": None, "source": "estimate"}
    assert to_document(job)["cost"] == {**document["cost"], "actualMicros": None}


def test_an_old_job_that_ends_now_has_no_price_to_multiply_its_units_by() -> None:
    job = dataclasses.replace(submitted_job(), quote=dataclasses.replace(make_quote(1), provider_amount=None, provider_micros=None))

    assert collected(job, "1").actual is None
