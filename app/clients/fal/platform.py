"""fal's platform API: what was billed, what an endpoint costs and takes, and what is to be forgotten. Never on the way of an order.

Answers are those of fal.ai/docs/platform-apis/v1 and of the per-endpoint OpenAPI, both read 2026-10. Calls that only read are tried again
where that may help.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx

from app.domain.clock import rfc3339
from app.domain.errors import NotFound, ProviderBadKey, ProviderBusy, ProviderError, ProviderRefused

TIMEOUT_S = 20.0
TRIES = 3
PAUSE_S = 0.5
MAX_IDS = 50
"""Ids that one call may name, of requests and of endpoints alike."""
MAX_PAGES = 1000
#: fal's words for its units, in the singular.
_UNITS = {"image": "image", "processed image": "image", "megapixel": "megapixel", "processed megapixel": "megapixel"}
_NANO = Decimal("1e-9")
_MAX_USD = Decimal(1_000_000)


@dataclass(frozen=True)
class BillingEvent:
    """One line of fal's bill. `cost` is USD after discounts: what the operator pays."""

    request_id: str
    endpoint: str
    cost: Decimal


@dataclass(frozen=True)
class ListPrice:
    """fal's base price of one unit; what 4K and the like do to it is not in there."""

    endpoint: str
    unit: str
    amount: Decimal
    currency: str

    @property
    def registry_unit(self) -> str | None:
        """Return the unit as model files name it; None where fal bills by something else (seconds, tokens) or not in USD."""
        return _UNITS.get(self.unit.lower().removesuffix("s")) if self.currency == "USD" else None


class FalPlatform:
    """One account's view. `admin_key` needs the scope ADMIN for billing events only."""

    def __init__(self, *, api_url: str, openapi_url: str, admin_key: str, pause_s: float = PAUSE_S, timeout_s: float = TIMEOUT_S) -> None:
        self._api_url = api_url.rstrip("/")
        self._openapi_url = openapi_url
        self._headers = {"Authorization": f"Key {admin_key}"}
        self._pause_s = pause_s
        self._timeout_s = timeout_s

    def billing_events(self, request_ids: Sequence[str], *, start: datetime, end: datetime) -> list[BillingEvent]:
        """Return every event of 1 to 50 requests, all pages, in at most 90 days from `start` to before `end`.

        fal looks only at the last 24 hours unless it is told otherwise, even for ids. An event that is not priced yet is left out.
        Raises ProviderBadKey, ProviderBusy, or ProviderError for an answer that cannot be used.
        """
        query = {"request_id": _ids(request_ids), "start": rfc3339(start), "end": rfc3339(end)}
        entries = self._paged("models/billing-events", query, "billing_events")
        events = (_event(entry) for entry in entries)
        return [event for event in events if event is not None and event.request_id in request_ids]

    def prices(self, endpoints: Sequence[str]) -> dict[str, ListPrice]:
        """Return the prices of 1 to 50 endpoints, without those that fal has none for. Raises as `billing_events`."""
        try:
            entries = self._paged("models/pricing", {"endpoint_id": _ids(endpoints)}, "prices")
        except NotFound:
            # One unknown endpoint among several may cost the answer for all: each is asked for again.
            return {} if len(endpoints) == 1 else {name: price for one in endpoints for name, price in self.prices([one]).items()}
        prices = (_price(entry) for entry in entries)
        return {price.endpoint: price for price in prices if price.endpoint in endpoints}

    def openapi(self, endpoint: str) -> dict[str, Any] | None:
        """Return the OpenAPI document of an endpoint, or None where fal has no such endpoint. Needs no key. Raises as `billing_events`."""
        try:
            document = self._read(self._openapi_url, {"endpoint_id": endpoint}, headers={})
        except NotFound:
            return None
        if document is not None and not isinstance(document, dict):
            raise _unreadable("OpenAPI")
        return document

    def delete_payloads(self, request_id: str) -> None:
        """Delete what fal keeps of a request: its input and output, and the files that it made. What it was sent as a file fal keeps.

        Needs a key of scope ADMIN. Repeatable: what fal does not know, or not any more, is gone. Raises as `billing_events`.
        """
        url = f"{self._api_url}/models/requests/{quote(request_id, safe='')}/payloads"
        try:
            response = httpx.delete(url, headers=self._headers, timeout=self._timeout_s, follow_redirects=False)
        except httpx.HTTPError as exc:
            raise ProviderBusy(f"fal's platform API does not answer ({type(exc).__name__})") from exc
        if not response.is_success and response.status_code not in (404, 410):
            raise _refusal(response)

    def _paged(self, path: str, query: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            page = self._read(f"{self._api_url}/{path}", {**query, **cursor}, headers=self._headers)
            found = page.get(key) if isinstance(page, dict) else None
            if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
                raise _unreadable(path)
            entries += found
            if not page.get("next_cursor") or not page.get("has_more", True):
                return entries
            cursor = {"cursor": str(page["next_cursor"])}
        raise ProviderError(f"fal's platform API does not come to an end of {path}")

    def _read(self, url: str, query: Mapping[str, Any], *, headers: Mapping[str, str]) -> Any:
        for attempt in range(TRIES - 1):
            try:
                return self._read_once(url, query, headers)
            except ProviderBadKey:
                raise
            except ProviderBusy:
                time.sleep(self._pause_s * 2**attempt)
        return self._read_once(url, query, headers)

    def _read_once(self, url: str, query: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        try:
            response = httpx.get(url, params=dict(query), headers=dict(headers), timeout=self._timeout_s, follow_redirects=False)
        except httpx.HTTPError as exc:
            raise ProviderBusy(f"fal's platform API does not answer ({type(exc).__name__})") from exc
        if response.status_code != 200:
            raise _refusal(response)
        try:
            return json.loads(response.content, parse_float=Decimal)
        except (ValueError, RecursionError) as exc:
            raise _unreadable(str(httpx.URL(url).path).strip("/")) from exc


def _ids(ids: Sequence[str]) -> list[str]:
    if not 1 <= len(ids) <= MAX_IDS:
        raise ValueError(f"1 to {MAX_IDS} ids in one call, not {len(ids)}")
    return list(ids)


def _event(entry: Mapping[str, Any]) -> BillingEvent | None:
    nano, total = entry.get("cost_estimate_nano_usd"), entry.get("cost_total")
    if nano is None and total is None:
        return None
    cost = _number(total) if nano is None else _number(nano) * _NANO
    if not isinstance(entry.get("request_id"), str) or not 0 <= cost <= _MAX_USD:
        raise _unreadable("models/billing-events")
    return BillingEvent(entry["request_id"], str(entry.get("endpoint_id", "")), cost)


def _price(entry: Mapping[str, Any]) -> ListPrice:
    amount = _number(entry.get("unit_price"))
    names = [entry.get(key) for key in ("endpoint_id", "unit", "currency")]
    if not all(isinstance(name, str) and name for name in names) or not 0 <= amount <= _MAX_USD:
        raise _unreadable("models/pricing")
    return ListPrice(entry["endpoint_id"], entry["unit"], amount, entry["currency"])


def _number(value: Any) -> Decimal:
    """Return a JSON number exactly; what is none becomes one that no bound lets through."""
    fits = isinstance(value, int | Decimal) and not isinstance(value, bool)
    return Decimal(value) if fits else Decimal(-1)


def _refusal(response: httpx.Response) -> ProviderError | NotFound:
    status, text = response.status_code, _said(response)
    if status in (401, 403):
        return ProviderBadKey(f"fal's platform API refuses the key (HTTP {status}); set FAL_ADMIN_KEY to a key of scope ADMIN.{text}")
    if status == 404:
        return NotFound(f"fal's platform API does not know that.{text}")
    if status in (408, 429) or status >= 500:
        return ProviderBusy(f"fal's platform API is not answering right now (HTTP {status}).{text}")
    return ProviderRefused(f"fal's platform API refuses the call (HTTP {status}).{text}")


def _said(response: httpx.Response) -> str:
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f" fal says: {message[:300]}" if isinstance(message, str) else ""


def _unreadable(what: str) -> ProviderError:
    return ProviderError(f"fal's answer to {what} cannot be read")
