"""What a job costs the operator, as opposed to what its user is charged.

The figures, from weak to strong:
estimate   the quote; always there.
units      what fal's results say they billed (header X-Fal-Billable-Units), times the operator's price at the time of the order.
invoice    fal's billing events, read later by `python -m app costs reconcile`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.domain.fal_request import FalRequest, RequestState
from app.domain.pricing import Quote, micros_of

#: A number as HTTP headers carry it; short enough for sums and products with prices to be exact.
_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?")
#: More of one request than any endpoint makes: a hundred pictures of fal's largest size are 20,000 megapixels.
MAX_UNITS = Decimal(100_000)


class CostSource(StrEnum):
    ESTIMATE = "estimate"
    UNITS = "units"
    INVOICE = "invoice"


@dataclass(frozen=True)
class ActualCost:
    """What fal has charged the operator for a whole job, in micro-USD, and how that is known."""

    micros: int
    source: CostSource


def billed_units(header: str | None) -> Decimal | None:
    """Return the units of one result, or None where the header is absent, malformed or absurd: it must not become a cost."""
    if header is None or not _NUMBER.fullmatch(text := header.strip()):
        return None
    units = Decimal(text)
    return units if units <= MAX_UNITS else None


def cost_of_units(quote: Quote, requests: Iterable[FalRequest]) -> ActualCost | None:
    """Return the cost that the results of an ended job add up to, rounded up once.

    None while a part is unknown: a request that was sent but not collected may have been billed all the same, and old quotes lack the
    operator's price. What was never sent has cost nothing.
    """
    if quote.provider_amount is None:
        return None
    units = Decimal(0)
    for request in requests:
        if request.receipt is None and not request.was_sent:
            continue
        billed = billed_units(request.billable_units) if request.state is RequestState.COLLECTED else None
        if billed is None:
            return None
        units += billed
    return ActualCost(micros_of(units * quote.provider_amount), CostSource.UNITS)
