"""fal's queue: submit, result, cancel, and what a result says. Polling is in `status.py`.

A submit goes through fal-client and is posted exactly once: fal has no idempotency key, and fal-client alone retries blindly (ten posts
were seen from one `submit()`) and loses the status of an answer that it cannot read. Its transport is ours for both reasons.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import fal_client
import fal_client.client
import httpx

from app.clients.fal.errors import error_beside_nothing, result_failure, submit_refusal
from app.clients.fal.status import MAX_BODY_BYTES, NO_STATUS, STATUS_TIMEOUT_S, FalStatus, status_of
from app.domain.errors import ProviderBusy, ResultUnavailable, ResultUnusable, SubmitOutcomeUnknown
from app.domain.fal_request import Receipt
from app.domain.outside_text import storable_text
from app.domain.said_output import said_text

#: It prints every URL, with the webhook's address in it.
logging.getLogger("httpx").setLevel(logging.WARNING)

TIMEOUT_S = 30.0
MAX_RESULT_BYTES = 256 << 20  # sync_mode answers carry pictures as data URIs.
#: The answer to a submit is a few addresses, and a refusal some lines, even where it repeats what was sent.
MAX_SUBMIT_BYTES = 4 << 20
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
#: httpx also raises ValueErrors, UnicodeError among them, for heads it cannot read.
NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL, ValueError)
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
MAX_URL_CHARS = 2048
RECEIPT_URLS = ("status_url", "response_url", "cancel_url")
#: Longer numbers are nobody's seed, and turning them into an int takes time that grows with their square.
MAX_NUMBER_CHARS = 64
MAX_WORDS_BYTES = 4096


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
    said: str
    """What it says beside its pictures: see `app/domain/said_output.py`."""


class TooLong(Exception):
    """An answer is longer than it may be."""


class Stopped(StrEnum):
    """What came of asking fal to drop a request: it knows of that (or of no such request), finished already, or no answer.

    YES is not the end of a request: one that runs is only told.
    """

    YES = "yes"
    TOO_LATE = "too_late"
    SILENT = "silent"


class FalQueue:
    """One account's access to fal's queue. Connections are kept; safe for threads; make one after a fork, not before."""

    def __init__(self, key: str, hosts: frozenset[str], *, timeout_s: float = TIMEOUT_S, max_result_bytes: int = MAX_RESULT_BYTES) -> None:
        self._hosts = hosts
        self._max_result_bytes = max_result_bytes
        self._submits = _SubmitClient(key, timeout_s)
        self._results = httpx.Client(headers={"Authorization": f"Key {key}"}, cookies=_no_cookies(), timeout=timeout_s)

    def close(self) -> None:
        self._submits.close()
        self._results.close()

    def submit(
        self, endpoint: str, arguments: Mapping[str, Any], *, webhook_url: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Receipt:
        """Post one request, once; `headers` are what fal heeds beside the arguments.

        Raises ProviderBusy where fal surely did not take it, ProviderRefused where it never will, SubmitOutcomeUnknown where it may have
        been taken: then it must not be posted again. An answer's status decides, whatever its body is.
        """
        receipt = _receipt(self._submits.submit(endpoint, dict(arguments), webhook_url=webhook_url, headers=dict(headers or {})))
        if all(self._is_fals(url) for url in (receipt.status_url, receipt.response_url, receipt.cancel_url)):
            return receipt
        return self.receipt(endpoint, receipt.request_id)

    def receipt(self, endpoint: str, request_id: str) -> Receipt:
        """Return the receipt of a request of which only the id is known."""
        return _receipt(self._submits.get_handle(endpoint, request_id))

    def result(self, receipt: Receipt) -> FalOutput:
        """Fetch a finished request's output. Raises ResultUnavailable, ResultUnusable or ProviderRefused (the model's own failure).

        Not through fal-client: it polls the status first, and hides the header that says what was billed.
        """
        try:
            with self._results.stream("GET", receipt.response_url) as response:
                body = parsed(read_bounded(response, self._max_result_bytes))
        except TooLong as exc:
            raise ResultUnusable("fal's result is too large") from exc
        except NO_ANSWER as exc:
            raise ResultUnavailable("fal's result cannot be fetched right now") from exc
        if response.status_code in (502, 503, 504) and not self._ended_in_error(receipt):
            # The gateway's trouble, and not how the request ended: a paid picture waits behind it.
            raise ResultUnavailable(f"fal does not hand out the result yet (HTTP {response.status_code})")
        if response.status_code != 200:
            raise result_failure(response.status_code, body, response.headers)
        if not isinstance(body, dict):
            raise ResultUnusable("fal's result is not what its model promises")
        output = output_of(body, response.headers.get("x-fal-billable-units"))
        if not output.pictures and (failure := error_beside_nothing(body, response.headers)):
            raise failure
        return output

    def status(self, receipt: Receipt) -> FalStatus:
        """Ask for one request's state, for somebody who waits. Raises ProviderBusy where no usable answer came."""
        try:
            with self._results.stream("GET", receipt.status_url, timeout=STATUS_TIMEOUT_S) as response:
                return status_of(response.status_code, parsed(read_bounded(response, MAX_BODY_BYTES)))
        except (*NO_ANSWER, TooLong, *NO_STATUS) as exc:
            raise ProviderBusy("fal does not tell the request's state right now") from exc

    def _ended_in_error(self, receipt: Receipt) -> bool:
        """Ask the request's own state whether it failed; False where nobody tells."""
        try:
            with self._results.stream("GET", receipt.status_url) as response:
                body = parsed(read_bounded(response, MAX_SUBMIT_BYTES))
        except (*NO_ANSWER, TooLong):
            return False
        return isinstance(body, dict) and bool(body.get("error") or body.get("error_type"))

    def cancel(self, receipt: Receipt) -> Stopped:
        """Ask fal to drop a request. Best effort: a running one may finish, and cost, all the same."""
        try:
            with self._results.stream("PUT", receipt.cancel_url) as answer:
                status, body = answer.status_code, parsed(read_bounded(answer, MAX_SUBMIT_BYTES))
        except (*NO_ANSWER, TooLong):
            return Stopped.SILENT
        if not isinstance(body, dict) or body.get("success") is False:
            return Stopped.SILENT  # Some proxy's page, or fal's own "no".
        if 200 <= status < 300 or status == 404:
            return Stopped.YES
        return Stopped.TOO_LATE if status == 400 else Stopped.SILENT

    def _is_fals(self, url: Any) -> bool:
        """Tell whether a value is an address our key may be sent to, in characters that every client sends as they are."""
        if not isinstance(url, str) or not url.isascii() or not url.isprintable() or len(url) > MAX_URL_CHARS:
            return False
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        return parts.scheme == "https" and parts.netloc in self._hosts


class _SubmitClient(fal_client.SyncClient):
    """fal-client with a transport that posts once, no cookies, and no redirects: a redirected POST would be a second one."""

    @functools.cached_property
    def _client(self) -> httpx.Client:
        headers = {"Authorization": self._auth.header_value, "User-Agent": fal_client.client.USER_AGENT}
        return httpx.Client(transport=_OnePost(), headers=headers, cookies=_no_cookies(), timeout=self.default_timeout)

    def close(self) -> None:
        self._client.close()


class _OnePost(httpx.BaseTransport):
    """Posts once and judges what comes of it by the status, whatever the body is.

    What is not taken is raised as an error of ours, which fal-client passes on: it only retries after httpx's. Of what is taken it is
    handed no more than the four values it reads.
    """

    def __init__(self) -> None:
        # fal-client's own transport turns to fal's second domain where the first cannot be connected to.
        self._inner = fal_client.client.BackupDomainTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            with contextlib.closing(self._inner.handle_request(request)) as response:
                body = _body_of(response)
        except NEVER_SENT as exc:
            raise ProviderBusy("fal cannot be reached") from exc
        except NO_ANSWER as exc:
            raise SubmitOutcomeUnknown("The request was sent to fal, but no answer came back") from exc
        if not response.is_success:
            raise submit_refusal(response.status_code, body, response.headers.get("x-fal-error-type"))
        request_id = body.get("request_id") if isinstance(body, dict) else None
        if not isinstance(request_id, str) or not REQUEST_ID.fullmatch(request_id):
            raise SubmitOutcomeUnknown("The request was sent to fal, but its answer cannot be read")
        urls = {name: url if isinstance(url := body.get(name), str) and url.isascii() else "" for name in RECEIPT_URLS}
        return httpx.Response(200, json={"request_id": request_id, **urls})

    def close(self) -> None:
        self._inner.close()


def _no_cookies() -> CookieJar:
    """Return a jar that keeps nothing: one cookie that is no ASCII would break every request after it."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


def _receipt(handle: fal_client.SyncRequestHandle) -> Receipt:
    return Receipt(request_id=handle.request_id, **{name: getattr(handle, name) for name in RECEIPT_URLS})


def _body_of(response: httpx.Response) -> Any:
    """Return a submit's answer. Of a refusal the status has said all that matters: its body may break off, or be of any size."""
    try:
        return parsed(read_bounded(response, MAX_SUBMIT_BYTES))
    except TooLong:
        return None
    except httpx.HTTPError:
        if response.is_success:
            raise
        return None


# -- answers as data: read within bounds, parsed whatever they hold ---------------------------------------------------------------------


def read_bounded(response: httpx.Response, most_bytes: int) -> bytes:
    """Read a streamed answer's body. Raises TooLong; httpx.HTTPError where it breaks off."""
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > most_bytes:
            raise TooLong
    return bytes(content)


def parsed(content: bytes) -> Any:
    """Return the JSON an answer holds, or the beginning of its text where it is none. Bytes that are no UTF-8 do not spoil the rest."""
    try:
        text = content.decode(json.detect_encoding(content), errors="replace")
        return json.loads(text, parse_int=_number)
    except (ValueError, RecursionError):
        return content[:MAX_WORDS_BYTES].decode(errors="replace")


def _number(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_NUMBER_CHARS else digits[:MAX_NUMBER_CHARS]


def output_of(body: dict[str, Any], units: str | None) -> FalOutput:
    """Return a result's pictures and what it says of them; a result of another shape has no pictures."""
    flags = body.get("has_nsfw_concepts")
    flags = flags if isinstance(flags, list) else []
    place, entries = _entries(body)
    found = [(url, number, entry) for number, entry in enumerate(entries) if (url := _url_of(entry))]
    pictures = tuple(FalPicture(url, flagged=number < len(flags) and flags[number] is True) for url, number, _ in found)
    said = said_text(body, place, [entry for *_, entry in found])
    seed = body.get("seed")
    is_number = isinstance(seed, int) and not isinstance(seed, bool)
    return FalOutput(pictures, storable_text(units, 64) or None, str(seed) if is_number else None, said)


def _entries(body: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return what may be pictures, and where it stands: some models fill `image` and leave `images` empty, or the other way round."""
    several = body.get("images")
    if isinstance(several, list) and several:
        return "images", several
    if isinstance(several, dict | str) and several:
        return "images", [several]
    return "image", [body.get("image")]


def _url_of(entry: Any) -> str | None:
    url = entry.get("url") if isinstance(entry, dict) else entry
    return url if isinstance(url, str) and url.startswith(("https://", "http://", "data:")) else None
