"""Where a model sells for less than fal charges the operator, so that it is told before it is paid. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from app.domain.pricing import NoPrice, price_at
from registry.geometry import takes_size
from registry.spec import ModelSpec, Price


def losses(spec: ModelSpec, at: datetime) -> Iterator[str]:
    """Yield, as sentences for the operator, each way in which an order of this model may cost more than its user is charged."""
    try:
        price = price_at(spec, at)
    except NoPrice:
        return
    fals = price.amount if price.provider_amount is None else price.provider_amount
    fals_unit = price.provider_unit or price.unit
    sold = min([price.amount, *(tier.amount for tier in price.tiers)] if price.provider_amount is not None else [price.amount])
    if fals > sold:
        yield f"sells {_a(price.unit)} for {sold} USD; fal charges {fals} for {_a(fals_unit)}"
    elif (price.unit, fals_unit) == ("image", "megapixel") and takes_size(spec):
        yield from _large_images(spec, price, fals, sold)
    if fals_unit == "megapixel" and not takes_size(spec):
        yield (
            f"cannot know the size of its images before they are made: {price.assumed_megapixels} of the megapixels that fal bills "
            f"at {fals} USD are charged, whatever their number"
        )


def _large_images(spec: ModelSpec, price: Price, fals: Decimal, sold: Decimal) -> Iterator[str]:
    loses_from = int(sold / fals) + 1 if fals else None
    largest = None if spec.max_megapixels is None else -(-int(spec.max_megapixels * 1_000_000) // price.pixels_per_megapixel)
    if loses_from is not None and (largest is None or loses_from <= largest):
        yield f"sells an image for {sold} USD whatever its size; fal charges {fals} a megapixel, {fals * loses_from} for {loses_from}"


def _a(unit: str) -> str:
    return "an image" if unit == "image" else "a megapixel"
