"""The server as the client sees it: requests that are repeated where that is safe, and answers turned into values or errors."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from imagegen.outcomes import Refused, Unreachable, WrongCall

Answer = dict[str, Any]
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
#: An agent may have the server wait for two minutes.
LONG_TIMEOUT = httpx.Timeout(150.0, connect=5.0)
#: Longest pause between two tries, unless the server asks for more. Seconds.
LONGEST_PAUSE_S = 15.0
#: After so many seconds without an answer somebody who waits is told what for.
QUIET_S = 5.0
AGAIN = {429, 502, 503, 504}
#: TLS faults that no second try mends.
HOPELESS = re.compile("CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER")
HERE = {"localhost", "127.0.0.1", "::1"}


class Gateway:
    """Talks to one server as one caller.

    Every request is repeated for `patience_s` while the network fails or the server asks for patience. That is safe for reading, and for
    an order because it carries its idempotency key. Trouble is told to `tell` at once, and its end too. Raises Unreachable when the
    patience is over, Refused for a 4xx.
    """

    def __init__(
        self,
        server: str,
        headers: Mapping[str, str],
        *,
        patience_s: float,
        tell: Callable[[str], None] = lambda _: None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = server
        self._patience_s, self._tell, self._sleep, self._clock = patience_s, tell, sleep, clock
        self._http = httpx.Client(base_url=server, headers=headers, timeout=TIMEOUT, transport=transport)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Answer:
        params = {name: value for name, value in query.items() if value is not None}
        return _body(self._sent("GET", path, params=params))

    def ask(self, path: str) -> httpx.Response:
        return self._sent("GET", path)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, key: str | None = None) -> Answer:
        headers = {"Idempotency-Key": key} if key else {}
        if body is None:
            return _body(self._sent("POST", path, headers=headers))
        return _body(self._sent("POST", path, content=_encoded(body), headers={**headers, "Content-Type": "application/json"}))

    def delete(self, path: str) -> None:
        self._sent("DELETE", path)

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[bytes]]:
        """Give a file's content as it comes. Raises Unreachable, Refused."""
        try:
            with self._http.stream("GET", path) as response:
                if response.status_code != 200:
                    response.read()
                    _checked(response, after_doubt=False)
                yield response.iter_bytes()
        except httpx.TransportError as exc:
            raise Unreachable(f"{self.server} did not send all of it: {exc or type(exc).__name__}") from exc

    def relay(self, path: str, content: bytes, *, headers: Mapping[str, str]) -> httpx.Response:
        """Return the answer to a body sent as it is, whatever the answer says; a 4xx is one, too."""
        return self._answered("POST", path, content=content, headers=headers, timeout=LONG_TIMEOUT)[0]

    def unless_same(self, path: str, etag: str | None) -> tuple[Answer | None, str | None]:
        """Return the answer and its ETag; None for an answer that is still the one of `etag`."""
        response = self._sent("GET", path, headers={"If-None-Match": etag} if etag else {})
        if response.status_code == 304:
            return None, etag
        return _body(response), response.headers.get("ETag")

    def _sent(self, method: str, path: str, **request: Any) -> httpx.Response:
        response, in_doubt = self._answered(method, path, **request)
        return _checked(response, after_doubt=in_doubt)

    def _answered(self, method: str, path: str, **request: Any) -> tuple[httpx.Response, bool]:
        """Return the answer, and whether an earlier try may have been accepted."""
        give_up_at = self._clock() + self._patience_s
        in_doubt, tries = False, 0
        while True:
            tries += 1
            try:
                with nullcontext() if "timeout" in request else self._telling_when_quiet():
                    response = self._http.request(method, path, **request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
                trouble, wait_s = self._not_reached(exc), pause_s(tries)
            except httpx.TransportError as exc:
                trouble, wait_s, in_doubt = f"{self.server} did not answer: {exc or type(exc).__name__}", pause_s(tries), True
            except (httpx.InvalidURL, UnicodeError) as exc:
                raise Unreachable(f"{self.server} is no address of a server: {exc}") from exc
            else:
                if not _asks_for_another(response):
                    if tries > 1:
                        self._tell(f"{self.server} answers again")
                    return response, in_doubt
                # A server in trouble may have written the order down before.
                in_doubt = in_doubt or response.status_code != 429
                trouble = f"{self.server} answers {response.status_code}: {_message(response)}"
                wait_s = asked_pause_s(response) or pause_s(tries)
            if self._clock() + wait_s > give_up_at:
                raise Unreachable(f"{trouble}. Tried for {self._patience_s:g} s" if tries > 1 else trouble)
            if tries == 1:
                self._tell(f"{trouble}. Trying again for {self._patience_s:g} s")
            self._sleep(wait_s)

    def _not_reached(self, exc: httpx.TransportError) -> str:
        """Return what the matter is and what can be done. Raises Unreachable where a second try is no use."""
        reason = re.sub(r"^\[Errno -?\d+\] ", "", str(exc)) or type(exc).__name__
        told = f"{self.server} cannot be reached ({reason})"
        if HOPELESS.search(reason):
            raise Unreachable(f"{told}. Trust its authority with SSL_CERT_FILE, or check the address: --server or IMAGEGEN_SERVER")
        start = "start it with scripts/dev, or name" if self._http.base_url.host in HERE else "is it the right one? Name"
        return f"{told}: {start} another by --server or IMAGEGEN_SERVER"

    @contextmanager
    def _telling_when_quiet(self) -> Iterator[None]:
        text = f"{self.server} has not answered yet. Waiting for up to {TIMEOUT.read:g} s"
        timer = threading.Timer(QUIET_S, self._tell, [text])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _encoded(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON. Raises WrongCall for what a person can type and JSON does not have: NaN, or bytes that are no text."""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as exc:
        raise WrongCall(f"This cannot be sent as JSON: {exc}") from exc


def pause_s(tries: int) -> float:
    """Return how long to wait after that many failures: doubling, with jitter so that many clients do not come back together."""
    return float(min(LONGEST_PAUSE_S, 0.5 * 2 ** (tries - 1)) * random.uniform(0.75, 1.25))  # noqa: S311 - no secret


def asked_pause_s(response: httpx.Response) -> float | None:
    """Return the seconds of `Retry-After`, a number or a date (RFC 9110); None without a usable one."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (at - datetime.now(UTC)).total_seconds()) if at.tzinfo else None


def _asks_for_another(response: httpx.Response) -> bool:
    if response.status_code in AGAIN:
        return True
    # A batch whose first request is still at work: the answer comes in a moment.
    return response.status_code == 409 and _error(response).get("code") == "not_finished" and "Idempotency-Key" in response.request.headers


def _checked(response: httpx.Response, *, after_doubt: bool) -> httpx.Response:
    status = response.status_code
    if status < 300 or status == 304:
        return response
    if 400 <= status < 500:
        error = _error(response)
        raise Refused(_message(response), status=status, code=error.get("code"), after_doubt=after_doubt, errors=_complaints(error))
    raise Unreachable(f"The server has a fault ({status}): {_message(response)}", code=_error(response).get("code"))


def _error(response: httpx.Response) -> Answer:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _complaints(error: Answer) -> list[tuple[str, str]]:
    entries = error.get("errors")
    return [(str(e.get("pointer")), str(e.get("detail"))) for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _message(response: httpx.Response) -> str:
    message = _error(response).get("message")
    return str(message) if message else f"HTTP {response.status_code} {response.reason_phrase}".strip()


def _body(response: httpx.Response) -> Answer:
    body = _error(response)
    if not body:
        raise Unreachable(f"{response.request.url.copy_with(query=None)} does not answer as an image gateway does")
    return body
