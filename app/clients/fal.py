"""fal's queue: submit, result, cancel. Polling is in `fal_status.py`.

A submit is posted exactly once: fal-client retries it blindly (ten posts were seen from one `submit()`), and fal has no idempotency key.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import fal_client
import fal_client.client
import httpx

from app.clients.fal_errors import result_failure, submit_refusal
from app.errors import ProviderBusy, ResultUnavailable, ResultUnusable, SubmitOutcomeUnknown
from app.fal_request import Receipt

#: A module global of fal-client 1.0.3 (dependencies are locked; a test counts the posts): no blind retries, of anything.
fal_client.client.MAX_ATTEMPTS = 1
#: It prints every URL, with the webhook's address in it.
logging.getLogger("httpx").setLevel(logging.WARNING)

SUBMIT_TIMEOUT_S = 30.0
RESULT_TIMEOUT_S = 30.0
MAX_RESULT_BYTES = 256 << 20  # sync_mode answers carry pictures as data URIs.
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True)
class FalPicture:
    url: str
    flagged: bool


@dataclass(frozen=True)
class FalOutput:
    """A finished request's output. `billable_units` is fal's header as it came; `seed` is text since it may exceed 64 bits."""

    pictures: tuple[FalPicture, ...]
    billable_units: str | None
    seed: str | None


class Stopped(StrEnum):
    """What came of asking fal to drop a request: it knows of that (or of no such request), finished already, or no answer.

    YES is not the end of a request: one that runs is only told.
    """

    YES = "yes"
    TOO_LATE = "too_late"
    SILENT = "silent"


class FalQueue:
    """One account's access to fal's queue. Connections are kept; safe for threads; make one after a fork, not before."""

    def __init__(self, key: str, hosts: frozenset[str]) -> None:
        self._hosts = hosts
        self._submits = fal_client.SyncClient(key=key, default_timeout=SUBMIT_TIMEOUT_S)
        self._results = httpx.Client(headers={"Authorization": f"Key {key}"}, timeout=RESULT_TIMEOUT_S)

    def submit(self, endpoint: str, arguments: Mapping[str, Any], *, webhook_url: str | None = None) -> Receipt:
        """Post one request, once.

        Raises ProviderBusy where fal surely did not take it, ProviderRefused where it never will, SubmitOutcomeUnknown where it may have
        been taken: then it must not be posted again.
        """
        try:
            handle = self._submits.submit(endpoint, dict(arguments), webhook_url=webhook_url)
        except NEVER_SENT as exc:
            raise ProviderBusy("fal cannot be reached") from exc
        except httpx.HTTPError as exc:
            raise SubmitOutcomeUnknown("The request was sent to fal, but no answer came back") from exc
        except fal_client.FalClientHTTPError as exc:
            raise submit_refusal(exc.status_code, _body_of(exc), exc.error_type) from exc
        except (ValueError, KeyError, TypeError) as exc:
            raise SubmitOutcomeUnknown("The request was sent to fal, but its answer cannot be read") from exc
        return self._receipt(endpoint, handle)

    def result(self, receipt: Receipt) -> FalOutput:
        """Fetch a finished request's output. Raises ResultUnavailable, ResultUnusable or ProviderRefused (the model's own failure).

        Not through fal-client: it polls the status first, and hides the header that says what was billed.
        """
        try:
            with self._results.stream("GET", receipt.response_url) as response:
                text = _read_bounded(response)
        except httpx.HTTPError as exc:
            raise ResultUnavailable("fal's result cannot be fetched right now") from exc
        body = _json_or_text(text)
        if response.status_code in (502, 503, 504) and not self._ended_in_error(receipt):
            # The gateway's trouble, and not how the request ended: a paid picture waits behind it.
            raise ResultUnavailable(f"fal does not hand out the result yet (HTTP {response.status_code})")
        if response.status_code != 200:
            raise result_failure(response.status_code, body, response.headers)
        if not isinstance(body, dict):
            raise ResultUnusable("fal's result is not what its model promises")
        return _output(body, response.headers.get("x-fal-billable-units"))

    def _ended_in_error(self, receipt: Receipt) -> bool:
        """Ask the request's own state whether it failed; False where nobody tells."""
        try:
            body = self._results.get(receipt.status_url).json()
        except (httpx.HTTPError, ValueError):
            return False
        return isinstance(body, dict) and bool(body.get("error") or body.get("error_type"))

    def cancel(self, receipt: Receipt) -> Stopped:
        """Ask fal to drop a request. Best effort: a running one may finish, and cost, all the same."""
        try:
            answer = self._results.put(receipt.cancel_url)
        except httpx.HTTPError:
            return Stopped.SILENT
        body = _json_or_text(answer.content)
        if not isinstance(body, dict) or body.get("success") is False:
            return Stopped.SILENT  # Some proxy's page, or fal's own "no".
        if answer.is_success or answer.status_code == 404:
            return Stopped.YES
        return Stopped.TOO_LATE if answer.status_code == 400 else Stopped.SILENT

    def _receipt(self, endpoint: str, handle: Any) -> Receipt:
        """Return the receipt, with addresses our key may be sent to: on fal's hosts, or rebuilt there from the request's id."""
        request_id = str(handle.request_id)
        if not REQUEST_ID.fullmatch(request_id):
            raise SubmitOutcomeUnknown("The request was sent to fal, but its answer cannot be read")
        urls = (handle.status_url, handle.response_url, handle.cancel_url)
        if all(self._is_fals(url) for url in urls):
            status_url, response_url, cancel_url = urls
        else:
            return self.receipt(endpoint, request_id)
        return Receipt(request_id=request_id, status_url=status_url, response_url=response_url, cancel_url=cancel_url)

    @staticmethod
    def receipt(endpoint: str, request_id: str) -> Receipt:
        """Return the receipt of a request of which only the id is known."""
        base = _request_url(endpoint, request_id)
        return Receipt(request_id=request_id, status_url=f"{base}/status", response_url=base, cancel_url=f"{base}/cancel")

    def _is_fals(self, url: Any) -> bool:
        parts = urlsplit(url) if isinstance(url, str) else None
        return parts is not None and parts.scheme == "https" and parts.netloc in self._hosts


def _request_url(endpoint: str, request_id: str) -> str:
    """Return where a request lives: under its owner and app only, as fal's own clients build it (fal-client 1.0.3, fal-js)."""
    app = fal_client.client.AppId.from_endpoint_id(endpoint)
    namespace = f"{app.namespace}/" if app.namespace else ""
    return f"{fal_client.client.QUEUE_URL_FORMAT}{namespace}{app.owner}/{app.alias}/requests/{request_id}"


def _body_of(exc: fal_client.FalClientHTTPError) -> Any:
    return _json_or_text(exc.response.content) if exc.response is not None else exc.message


def _read_bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > MAX_RESULT_BYTES:
            raise ResultUnusable("fal's result is too large")
    return bytes(content)


def _json_or_text(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content[:4096].decode(errors="replace")


def _output(body: dict[str, Any], units: str | None) -> FalOutput:
    several = body.get("images")
    entries: list[Any] = several if isinstance(several, list) else [body.get("image")]
    flags = body.get("has_nsfw_concepts")
    flags = flags if isinstance(flags, list) else []
    pictures = tuple(
        FalPicture(entry["url"], flagged=number < len(flags) and flags[number] is True)
        for number, entry in enumerate(entries)
        if isinstance(entry, dict) and isinstance(entry.get("url"), str)
    )
    seed = body.get("seed")
    return FalOutput(pictures, units[:64] if units else None, str(seed)[:64] if isinstance(seed, int) else None)
