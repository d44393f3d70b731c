"""Requests are repeated with the same key while that can help, and refusals are told from doubt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from imagegen.gateway import Gateway
from imagegen.outcomes import Refused, Unreachable, WrongCall

Step = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers one step after the other, the last one for ever; time passes only by sleeping."""

    def __init__(self, *steps: Step, patience_s: float = 60.0) -> None:
        self.steps, self.requests, self.now, self.pauses = list(steps), list[httpx.Request](), 0.0, list[float]()
        self.told = list[str]()
        transport = httpx.MockTransport(self._answer)
        headers = {"X-API-Key": "k"}
        self.gateway = Gateway(
            "http://gateway.test",
            headers,
            patience_s=patience_s,
            tell=self.told.append,
            transport=transport,
            sleep=self._sleep,
            clock=lambda: self.now,
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.steps.pop(0)(request) if len(self.steps) > 1 else self.steps[0](request)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)


def answers(status: int, body: dict[str, Any] | None = None, **headers: str) -> Step:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: httpx.Response(status, json=body or {"code": "some_code", "message": "some words"}, headers=named)


def breaks(kind: type[httpx.TransportError]) -> Step:
    def step(request: httpx.Request) -> httpx.Response:
        raise kind("broken", request=request)

    return step


def test_an_order_is_repeated_with_the_same_key_and_body() -> None:
    server = Server(breaks(httpx.ConnectError), breaks(httpx.ReadTimeout), answers(503), answers(202, {"jobId": "1"}))

    answer = server.gateway.post("/api/images/generate", {"model": "m"}, key="k1")

    assert answer == {"jobId": "1"}
    assert {request.headers["Idempotency-Key"] for request in server.requests} == {"k1"}
    assert {request.content for request in server.requests} == {server.requests[0].content}
    assert len(server.requests) == 4


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "caf\udce9"])
def test_what_json_cannot_hold_is_refused_before_it_is_sent(value: Any) -> None:
    server = Server(answers(200))

    with pytest.raises(WrongCall, match="cannot be sent as JSON"):
        server.gateway.post("/api/images/generate", {"value": value}, key="k1")

    assert server.requests == []


def test_the_server_says_how_long_to_wait() -> None:
    server = Server(answers(429, Retry_After="7"), answers(200, {"ok": True}))

    server.gateway.get("/api/usage")

    assert server.pauses == [7.0]


def test_pauses_grow() -> None:
    server = Server(*[answers(503)] * 4, answers(200, {"ok": True}))

    server.gateway.get("/api/usage")

    assert server.pauses == sorted(server.pauses)
    assert 0.3 < server.pauses[0] < 0.7


def test_patience_ends_and_names_the_server() -> None:
    server = Server(breaks(httpx.ConnectError), patience_s=5)

    with pytest.raises(Unreachable, match=r"http://gateway\.test cannot be reached"):
        server.gateway.get("/api/usage")

    assert server.now <= 5


@pytest.mark.parametrize(
    ("before", "doubt"),
    [
        ([], False),
        ([breaks(httpx.ConnectError)], False),
        ([answers(429)], False),
        ([breaks(httpx.ReadTimeout)], True),
        ([answers(503)], True),
    ],
)
def test_a_refusal_tells_whether_an_earlier_try_may_have_been_accepted(before: list[Step], doubt: bool) -> None:
    server = Server(*before, answers(402, {"code": "budget_exceeded", "message": "No money"}))

    with pytest.raises(Refused) as refused:
        server.gateway.post("/api/images/generate", {}, key="k1")

    assert (refused.value.status, refused.value.code, refused.value.message) == (402, "budget_exceeded", "No money")
    assert refused.value.after_doubt is doubt


def test_a_fault_of_the_server_is_neither_repeated_nor_a_refusal() -> None:
    server = Server(answers(500))

    with pytest.raises(Unreachable, match="has a fault"):
        server.gateway.get("/api/usage")

    assert len(server.requests) == 1


def test_something_else_than_a_gateway_is_told() -> None:
    server = Server(lambda _: httpx.Response(200, text="<html>"))

    with pytest.raises(Unreachable, match="does not answer as an image gateway"):
        server.gateway.get("/api/usage")


def test_an_unchanged_job_is_not_read_twice() -> None:
    server = Server(answers(200, {"status": "pending"}, ETag='W/"1"'), lambda _: httpx.Response(304))

    first, etag = server.gateway.unless_same("/api/jobs/1", None)
    second, same = server.gateway.unless_same("/api/jobs/1", etag)

    assert first == {"status": "pending"}
    assert second is None
    assert etag == same == server.requests[1].headers["If-None-Match"]


def test_trouble_is_told_once_and_at_once_and_so_is_its_end() -> None:
    server = Server(breaks(httpx.ConnectError), breaks(httpx.ConnectError), answers(200, {"ok": True}))

    server.gateway.get("/api/usage")

    assert server.told == [
        "http://gateway.test cannot be reached (broken): is it the right one? Name another by --server or IMAGEGEN_SERVER. Trying again for 60 s",
        "http://gateway.test answers again",
    ]


def test_a_server_without_trouble_is_not_spoken_of() -> None:
    server = Server(answers(200, {"ok": True}))

    server.gateway.get("/api/usage")

    assert server.told == []


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ConnectTimeout])
def test_what_was_never_connected_leaves_no_doubt(kind: type[httpx.TransportError]) -> None:
    server = Server(breaks(kind), answers(402))

    with pytest.raises(Refused) as refused:
        server.gateway.post("/api/images/generate", {}, key="k1")

    assert refused.value.after_doubt is False


def test_a_certificate_that_is_not_trusted_is_no_reason_to_wait() -> None:
    def untrusted(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", request=request)

    server = Server(untrusted)

    with pytest.raises(Unreachable, match="SSL_CERT_FILE"):
        server.gateway.get("/api/usage")

    assert server.pauses == []
