"""Reads the prices of a model file: `costPerImage`, or dated `[[prices]]` of which old ones are kept."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from registry.spec import Extra, Param, Price, Tier
from registry.table import Table
from registry.values import faults

UNITS = ("image", "megapixel")


def read_prices(table: Table, name: str, params: Mapping[str, Param]) -> tuple[Price, ...]:
    """Return the prices, oldest first. Raises RegistryError for none, two ways at once, or dates out of order."""
    entries = table.tables("prices")
    if "costPerImage" in table:
        amount = table.amount("costPerImage")
        if entries:
            raise table.fail("costPerImage", "the model has [[prices]] too; keep one of the two")
        return (Price(id=f"{name}-cost-per-image", start=date.min, unit="image", amount=amount),)
    if not entries:
        raise table.fail("costPerImage", "the model has no price; add costPerImage = <USD> or [[prices]]")
    prices = tuple(_price(entry, name, params) for entry in entries)
    _check_order(entries, prices)
    return prices


def _price(entry: Table, name: str, params: Mapping[str, Param]) -> Price:
    start = entry.day("from")
    if start is None:
        raise entry.fail("from", "is missing; give the first day of the price, such as 2026-09-24")
    unit = entry.text("unit")
    if unit not in UNITS:
        raise entry.fail("unit", f"must be one of {', '.join(UNITS)}")
    provider_unit, provider_amount = _provider(entry, unit)
    for key in ("pixelsPerMegapixel", "assumedMegapixels"):
        if key in entry and "megapixel" not in (unit, provider_unit):
            raise entry.fail(key, 'belongs to unit = "megapixel"; remove it')
    price = Price(
        id=entry.optional_text("id") or f"{name}-{start.isoformat()}",
        start=start,
        unit=unit,
        amount=entry.amount("amount"),
        tiers=tuple(Tier(**_condition(tier, params)) for tier in entry.tables("tiers")),
        extras=tuple(Extra(**_condition(extra, params)) for extra in entry.tables("extras")),
        pixels_per_megapixel=entry.integer("pixelsPerMegapixel", minimum=1) or Price.pixels_per_megapixel,
        assumed_megapixels=entry.integer("assumedMegapixels", minimum=1) or Price.assumed_megapixels,
        provider_unit=provider_unit,
        provider_amount=provider_amount,
        source=entry.optional_text("source") or "",
        checked=entry.day("checked"),
    )
    entry.finish()
    _check_distinct(entry, price)
    return price


def _provider(entry: Table, unit: str) -> tuple[str | None, Decimal | None]:
    """Return what fal charges, where the entry says that it differs. Without a unit of its own it is that of the price."""
    provider_unit = entry.optional_text("providerUnit")
    if provider_unit is not None and provider_unit not in UNITS:
        raise entry.fail("providerUnit", f"must be one of {', '.join(UNITS)}")
    if "providerAmount" in entry:
        return provider_unit or unit, entry.amount("providerAmount")
    if provider_unit is not None:
        raise entry.fail("providerAmount", "is missing; give what fal charges for the providerUnit, or remove that too")
    return None, None


def _condition(table: Table, params: Mapping[str, Param]) -> dict[str, Any]:
    option = table.text("option")
    if option not in params:
        raise table.fail("option", f"the model has no parameter '{option}'; use one of {', '.join(params)}")
    if "equals" not in table:
        raise table.fail("equals", "is missing; give the value that changes the price")
    equals = table.raw("equals")
    for _, detail in faults(params[option], equals):
        raise table.fail("equals", f"no request can have it: {option} {detail}")
    amount = table.amount("amount")
    table.finish()
    return {"option": option, "equals": equals, "amount": amount}


def _check_distinct(entry: Table, price: Price) -> None:
    for kind, rules in (("tiers", price.tiers), ("extras", price.extras)):
        seen = [(rule.option, rule.equals) for rule in rules]
        for index, rule in enumerate(seen):
            if rule in seen[:index]:
                raise entry.fail(f"{kind}[{index}]", f"{rule[0]} = {rule[1]} has a price already; remove one")


def _check_order(entries: list[Table], prices: tuple[Price, ...]) -> None:
    for index in range(1, len(prices)):
        before, price = prices[index - 1], prices[index]
        if price.start <= before.start:
            raise entries[index].fail("from", f"must be after {before.start}, the start of the price above it: sort by date")
        if price.id in {other.id for other in prices[:index]}:
            raise entries[index].fail("id", f"'{price.id}' is used twice; old jobs refer to it, so give a new one")
