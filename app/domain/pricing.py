"""What a request costs: estimate, hold and charge all come from one Quote. The prices are data of the registry."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Any

from registry.geometry import asked_pixels, takes_size
from registry.request import CheckedRequest, default_arguments
from registry.spec import ModelSpec, NoPrice, Price

MICROS_PER_USD = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Quote:
    num_images: int
    unit_micros: int
    """Micro-USD of one image, rounded up once."""
    micros: int
    """unit_micros times num_images."""
    price_id: str
    provider_micros: int | None = None
    """Micro-USD that the whole order should cost the operator, rounded up once. None in jobs older than this field."""
    provider_amount: Decimal | None = None
    """USD that fal charges the operator for one of its units; likewise."""

    @property
    def cost_micros(self) -> int:
        """Micro-USD the operator is expected to pay, to the best of what the quote knows."""
        return self.micros if self.provider_micros is None else self.provider_micros

    def charge_for(self, delivered: int) -> int:
        """Return micro-USD for the images that came: never more than was quoted, nothing for none."""
        return self.unit_micros * max(0, min(delivered, self.num_images))


def quote(request: CheckedRequest, at: datetime) -> Quote:
    """Price a request at an aware time. Raises NoPrice."""
    price = price_at(request.spec, at)
    unit_micros = micros_of(_unit_amount(request.spec, price, request.arguments))
    return Quote(
        num_images=request.num_images,
        unit_micros=unit_micros,
        micros=unit_micros * request.num_images,
        price_id=price.id,
        provider_micros=micros_of(_provider_unit_amount(request.spec, price, request.arguments) * request.num_images),
        provider_amount=price.amount if price.provider_amount is None else price.provider_amount,
    )


def list_price(spec: ModelSpec, at: datetime) -> int:
    """Return micro-USD of one image at the model's default options, for listings. Raises NoPrice."""
    return micros_of(_unit_amount(spec, price_at(spec, at), default_arguments(spec)))


def usd(micros: int) -> float:
    """Return the JSON number for an amount: 50000 is 0.05. Only for answers, never to calculate with."""
    return micros / MICROS_PER_USD


def usd_text(micros: int) -> str:
    """Return an amount for a sentence, exact and without zeros at its end: 0.05, 12345.678901."""
    return f"{(Decimal(micros) / MICROS_PER_USD).normalize():f}"


def limit_micros(amount: float | Decimal) -> int:
    """Return an amount that somebody has calculated with floats as money: 0.7999999999999999 USD are 0.8. It must be finite."""
    return int((Decimal(str(amount)) * MICROS_PER_USD).to_integral_value(rounding=ROUND_HALF_EVEN))


def micros_of(amount: Decimal) -> int:
    """Return USD as whole micro-USD, rounded up."""
    return int((amount * MICROS_PER_USD).to_integral_value(rounding=ROUND_CEILING))


def price_at(spec: ModelSpec, at: datetime) -> Price:
    """Return the price in force at an aware time. Raises NoPrice."""
    day = at.astimezone(UTC).date()
    in_force = [price for price in spec.prices if price.start <= day]
    if not in_force:
        raise NoPrice(spec.name, at)
    return in_force[-1]


def _unit_amount(spec: ModelSpec, price: Price, arguments: Mapping[str, Any]) -> Decimal:
    """Return USD of one image for the user."""
    amount = next((tier.amount for tier in price.tiers if _chosen(spec, arguments, tier.option) == tier.equals), price.amount)
    if price.unit == "megapixel":
        amount *= _megapixels(spec, price, arguments)
    extras = (extra.amount for extra in price.extras if _chosen(spec, arguments, extra.option) == extra.equals)
    return amount + sum(extras, Decimal(0))


def _provider_unit_amount(spec: ModelSpec, price: Price, arguments: Mapping[str, Any]) -> Decimal:
    """Return USD of one image for the operator. Tiers and extras belong to the user's price: fal's own amount has none here."""
    if price.provider_amount is None:
        return _unit_amount(spec, price, arguments)
    units = _megapixels(spec, price, arguments) if price.provider_unit == "megapixel" else 1
    return price.provider_amount * units


def _chosen(spec: ModelSpec, arguments: Mapping[str, Any], name: str) -> Any:
    """Return the value fal will use: the one sent, else its own default."""
    return arguments.get(name, spec.params[name].default)


def _megapixels(spec: ModelSpec, price: Price, arguments: Mapping[str, Any]) -> int:
    """Return whole megapixels, rounded up, as fal bills them."""
    size = asked_pixels(spec, arguments)
    if size is None:
        return price.assumed_megapixels
    return -(-size // price.pixels_per_megapixel)


# -- where a model sells for less than fal charges -------------------------------------------------------------------------------------


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
