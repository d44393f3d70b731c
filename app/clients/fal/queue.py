"""fal's queue: submit, result, cancel, and what a result says. Polling is in `status.py`.

A submit is posted exactly once: fal has no idempotency key, and fal-client retries blindly (ten posts were seen from one `submit()`) and
loses the status of an answer that it cannot read. Where fal's queue is, and what its addresses are, fal-client says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode, urlsplit

import fal_client
import fal_client.client

from app.clients.fal.calls import Answer, FalCalls, NoAnswer, NotSent, is_success
from app.clients.fal.errors import error_beside_nothing, result_failure, submit_refusal
from app.clients.fal.status import MAX_BODY_BYTES, NO_STATUS, STATUS_TIMEOUT_S, FalStatus, status_of
from app.domain.errors import ProviderBusy, ResultUnavailable, ResultUnusable, SubmitOutcomeUnknown
from app.domain.fal_request import Receipt
from app.domain.outside_text import storable_text
from app.domain.said_output import said_text

TIMEOUT_S = 30.0
MAX_RESULT_BYTES = 256 << 20  # sync_mode answers carry pictures as data URIs.
#: The answer to a submit is a few addresses, and a refusal some lines, even where it repeats what was sent.
MAX_SUBMIT_BYTES = 4 << 20
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
        self._calls = FalCalls(key, timeout_s)
        self._handles = fal_client.SyncClient(key=key)

    def close(self) -> None:
        self._calls.close()

    def submit(
        self, endpoint: str, arguments: Mapping[str, Any], *, webhook_url: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Receipt:
        """Post one request, once; `headers` are what fal heeds beside the arguments.

        Raises ProviderBusy where fal surely did not take it, ProviderRefused where it never will, SubmitOutcomeUnknown where it may have
        been taken: then it must not be posted again. An answer's status decides, whatever its body is.
        """
        url = fal_client.client.QUEUE_URL_FORMAT + endpoint
        if webhook_url is not None:
            url += "?" + urlencode({"fal_webhook": webhook_url})
        content = json.dumps(dict(arguments), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        receipt = self._posted(url, content, {"Content-Type": "application/json", **(headers or {})})
        if all(self._is_fals(url) for url in (receipt.status_url, receipt.response_url, receipt.cancel_url)):
            return receipt
        return self.receipt(endpoint, receipt.request_id)

    def _posted(self, url: str, content: bytes, headers: Mapping[str, str]) -> Receipt:
        """Post, and judge what comes of it by the status, whatever the body is: of a refusal that has said all that matters."""
        try:
            answer = self._calls.call("POST", url, content=content, headers=headers, most_bytes=MAX_SUBMIT_BYTES)
        except NotSent as exc:
            raise ProviderBusy("fal cannot be reached") from exc
        except NoAnswer as exc:
            if exc.status is not None and not is_success(exc.status):
                raise submit_refusal(exc.status, None, None) from exc
            broken = "its answer cannot be read" if exc.is_too_long else "no answer came back"
            raise SubmitOutcomeUnknown(f"The request was sent to fal, but {broken}") from exc
        body = parsed(answer.body)
        if not answer.is_success:
            raise submit_refusal(answer.status, body, answer.headers.get("x-fal-error-type"))
        request_id = body.get("request_id") if isinstance(body, dict) else None
        if not isinstance(request_id, str) or not REQUEST_ID.fullmatch(request_id):
            raise SubmitOutcomeUnknown("The request was sent to fal, but its answer cannot be read")
        return Receipt(request_id=request_id, **{name: url if isinstance(url := body.get(name), str) else "" for name in RECEIPT_URLS})

    def receipt(self, endpoint: str, request_id: str) -> Receipt:
        """Return the receipt of a request of which only the id is known."""
        handle = self._handles.get_handle(endpoint, request_id)
        return Receipt(request_id=handle.request_id, **{name: getattr(handle, name) for name in RECEIPT_URLS})

    def result(self, receipt: Receipt) -> FalOutput:
        """Fetch a finished request's output. Raises ResultUnavailable, ResultUnusable or ProviderRefused (the model's own failure).

        Not through fal-client: it polls the status first, and hides the header that says what was billed.
        """
        try:
            answer = self._calls.call("GET", receipt.response_url, most_bytes=self._max_result_bytes)
        except (NotSent, NoAnswer) as exc:
            if isinstance(exc, NoAnswer) and exc.is_too_long:
                raise ResultUnusable("fal's result is too large") from exc
            raise ResultUnavailable("fal's result cannot be fetched right now") from exc
        if answer.status in (502, 503, 504) and not self._ended_in_error(receipt):
            # The gateway's trouble, and not how the request ended: a paid picture waits behind it.
            raise ResultUnavailable(f"fal does not hand out the result yet (HTTP {answer.status})")
        body = parsed(answer.body)
        if answer.status != 200:
            raise result_failure(answer.status, body, answer.headers)
        if not isinstance(body, dict):
            raise ResultUnusable("fal's result is not what its model promises")
        output = output_of(body, answer.headers.get("x-fal-billable-units"))
        if not output.pictures and (failure := error_beside_nothing(body, answer.headers)):
            raise failure
        return output

    def status(self, receipt: Receipt) -> FalStatus:
        """Ask for one request's state, for somebody who waits. Raises ProviderBusy where no usable answer came."""
        answer = self._told("GET", receipt.status_url, most_bytes=MAX_BODY_BYTES, timeout_s=STATUS_TIMEOUT_S)
        try:
            if answer:
                return status_of(answer.status, parsed(answer.body))
        except NO_STATUS:
            pass
        raise ProviderBusy("fal does not tell the request's state right now")

    def _ended_in_error(self, receipt: Receipt) -> bool:
        """Ask the request's own state whether it failed; False where nobody tells."""
        answer = self._told("GET", receipt.status_url)
        body = parsed(answer.body) if answer else None
        return isinstance(body, dict) and bool(body.get("error") or body.get("error_type"))

    def cancel(self, receipt: Receipt) -> Stopped:
        """Ask fal to drop a request. Best effort: a running one may finish, and cost, all the same."""
        answer = self._told("PUT", receipt.cancel_url)
        body = parsed(answer.body) if answer else None
        if answer is None or not isinstance(body, dict) or body.get("success") is False:
            return Stopped.SILENT  # Nobody, some proxy's page, or fal's own "no".
        if answer.is_success or answer.status == 404:
            return Stopped.YES
        return Stopped.TOO_LATE if answer.status == 400 else Stopped.SILENT

    def _told(self, method: str, url: str, *, most_bytes: int = MAX_SUBMIT_BYTES, timeout_s: float | None = None) -> Answer | None:
        """Make a call whose answer may be missing."""
        try:
            return self._calls.call(method, url, most_bytes=most_bytes, timeout_s=timeout_s)
        except (NotSent, NoAnswer):
            return None

    def _is_fals(self, url: Any) -> bool:
        """Tell whether a value is an address our key may be sent to, in characters that every client sends as they are."""
        if not isinstance(url, str) or not url.isascii() or not url.isprintable() or len(url) > MAX_URL_CHARS:
            return False
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        return parts.scheme == "https" and parts.netloc in self._hosts


# -- answers as data: read within bounds, parsed whatever they hold ---------------------------------------------------------------------


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
