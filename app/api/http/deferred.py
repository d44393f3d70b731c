"""An answer that is waited for, as long as `Prefer` asks.

Flask's context, the request's body and the stack of its view are gone meanwhile: waiting must cost little.
WSGI lets an application name status and headers as late as its first bytes (PEP 3333), and servers ask for those outside of the view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import structlog
from flask import Flask, Request, Response, current_app, g

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

T = TypeVar("T")

PREFER = {
    "in": "header",
    "name": "Prefer",
    "description": "`respond-async`: do not wait for the pictures; `wait=N`: wait at most N seconds.",
    "schema": {"type": "string"},
}


class Deferred(Response, Generic[T]):
    """Waits by `wait`, without any context, and then answers with what `answer` makes of it, in a context of the same request.

    What either raises is answered like an error of the view. The functions that run after a request see this first, for headers that are
    known already, and then the answer; those that count or log must leave this out.
    """

    def __init__(self, wait: Callable[[], T], answer: Callable[[T], Response]) -> None:
        super().__init__()
        self._wait, self._answer = wait, answer
        self._app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - Flask's documented way
        self._known: dict[str, Any] = vars(g)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        # A generator: nothing of it runs before the server asks for the first bytes.
        trouble, outcome = None, None
        try:
            outcome = self._wait()
        except Exception as exc:  # noqa: BLE001 - whatever it is, the application's error handlers know what to say
            trouble = exc
        with self._app.request_context(environ):
            vars(g).update(self._known)
            structlog.contextvars.bind_contextvars(request_id=g.request_id)
            response = self._app.finalize_request(self._answered(outcome, trouble))  # type: ignore[arg-type]
            for name, value in self.headers:
                if name not in response.headers:
                    response.headers[name] = value
            body = response(environ, start_response)
        try:
            yield from body
        finally:
            response.close()

    def _answered(self, outcome: T, trouble: Exception | None) -> Any:
        try:
            if trouble:
                raise trouble
            return self._answer(outcome)
        except Exception as exc:  # noqa: BLE001 - as above
            return self._app.handle_user_exception(exc)


@dataclass(frozen=True)
class Preference:
    """What `Prefer` (RFC 7240) asks for; unknown preferences are ignored, never an error."""

    respond_async: bool = False
    wait_s: float | None = None
    applied: str | None = None


def preference_of(req: Request, *, longest_s: float) -> Preference:
    """Read `Prefer: respond-async, wait=N`; both together mean: answer async unless done within N seconds."""
    wanted: dict[str, str] = {}
    for item in ",".join(req.headers.getlist("Prefer")).split(","):
        name, _, value = item.partition(";")[0].partition("=")
        wanted.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = wanted.get("wait")
    if wait is not None and ((wait.isascii() and wait.isdigit()) or wait == ""):
        seconds = min(float(wait), longest_s) if wait else longest_s
        return Preference("respond-async" in wanted, seconds, f"wait={seconds:g}" if wait else "wait")
    if "respond-async" in wanted:
        return Preference(respond_async=True, wait_s=0.0, applied="respond-async")
    return Preference()
