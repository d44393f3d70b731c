"""`imagegen mcp`: what goes over HTTP for each line, and what comes back as a line."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx

from imagegen.bridge import Bridge
from imagegen.gateway import Gateway

Respond = Callable[[httpx.Request], httpx.Response]
ENVELOPE = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


class Talk:
    """A conversation with a gateway that answers as `respond` says."""

    def __init__(self, respond: Respond, *, patience_s: float = 60.0) -> None:
        self.seen: list[httpx.Request] = []
        self._respond = respond
        transport = httpx.MockTransport(self._answer)
        self._gateway = Gateway("http://gateway", {"X-API-Key": "secret"}, patience_s=patience_s, transport=transport, sleep=lambda _: None)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        return self._respond(request)

    def said(self, *messages: Any) -> list[Any]:
        """Say each message, a text as it is; return what was answered."""
        out = io.BytesIO()
        lines = "".join(f"{m if isinstance(m, str) else json.dumps(m)}\n" for m in messages)
        Bridge(self._gateway, out).run(io.BytesIO(lines.encode()))
        return [json.loads(line) for line in out.getvalue().splitlines()]


def message(method: str, number: int | None = 7, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params} | ({} if number is None else {"id": number})


def echo(request: httpx.Request) -> httpx.Response:
    asked = json.loads(request.content)
    if "id" not in asked:
        return httpx.Response(202)
    return httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "result": {"protocolVersion": "2025-11-25"}})


def test_a_message_is_sent_on_as_it_is_and_a_notification_has_no_answer() -> None:
    talk = Talk(echo)

    answers = talk.said(message("ping"), "", message("notifications/initialized", None))

    assert [answer["id"] for answer in answers] == [7]
    assert {json.loads(request.content)["method"] for request in talk.seen} == {"ping", "notifications/initialized"}
    assert len(talk.seen) == 2
    assert {request.headers["X-API-Key"] for request in talk.seen} == {"secret"}
    assert "secret" not in json.dumps(answers)


def test_what_was_agreed_upon_is_said_with_all_that_follows() -> None:
    talk = Talk(echo)

    talk.said(message("initialize", protocolVersion="2025-11-25"), message("tools/list"))

    assert [request.headers.get("MCP-Protocol-Version") for request in talk.seen] == [None, "2025-11-25"]


def test_since_2026_headers_say_what_the_body_says() -> None:
    talk = Talk(echo)

    talk.said(message("tools/call", name="générer", _meta=ENVELOPE))

    headers = talk.seen[0].headers
    assert (headers["MCP-Protocol-Version"], headers["Mcp-Method"]) == ("2026-07-28", "tools/call")
    assert headers["Mcp-Name"] == "=?base64?Z8OpbsOpcmVy?="


def test_a_message_whose_answer_was_lost_is_sent_again_as_the_same_order() -> None:
    def lose_the_first(request: httpx.Request) -> httpx.Response:
        if len(talk.seen) == 1:
            raise httpx.ReadError("cut")
        return echo(request)

    talk = Talk(lose_the_first)

    answers = talk.said(message("tools/call", 1), message("tools/call", 2))

    keys = {json.loads(request.content)["id"]: set() for request in talk.seen}
    for request in talk.seen:
        keys[json.loads(request.content)["id"]].add(request.headers["Idempotency-Key"])
    assert len(talk.seen) == 3
    assert {len(each) for each in keys.values()} == {1}
    assert keys[1] != keys[2]
    assert {answer["id"] for answer in answers} == {1, 2}


def test_a_refusal_is_passed_on_under_the_messages_own_id() -> None:
    error = {"code": -32600, "message": "Send an API key"}
    talk = Talk(lambda _: httpx.Response(401, json={"jsonrpc": "2.0", "id": None, "error": error}))

    assert talk.said(message("tools/list")) == [{"jsonrpc": "2.0", "id": 7, "error": error}]


def test_a_gateway_that_does_not_answer_is_an_error_of_the_message() -> None:
    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    for respond, words in (
        (nobody, "cannot be reached"),
        (lambda _: httpx.Response(502, text="<html>"), "answers 502"),
        (lambda _: httpx.Response(200, text="<html>"), "not as an image gateway does"),
        (lambda _: httpx.Response(404, json={"detail": "Not found"}), "answers 404"),
    ):
        (answer,) = Talk(respond, patience_s=0).said(message("tools/call"))

        assert (answer["id"], answer["error"]["code"]) == (7, -32603)
        assert words in answer["error"]["message"]


def test_what_is_no_json_is_refused_here_and_goes_nowhere() -> None:
    talk = Talk(echo)

    answers = talk.said("{", "[" * 100_000)

    assert [(answer["id"], answer["error"]["code"]) for answer in answers] == [(None, -32700)] * 2
    assert talk.seen == []


def test_a_picture_that_is_waited_for_keeps_nothing_else_waiting() -> None:
    answered = threading.Event()

    def wait_for_the_other(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content)["id"] == 1:
            assert answered.wait(30)
        else:
            answered.set()
        return echo(request)

    answers = Talk(wait_for_the_other).said(message("tools/call", 1), message("tools/call", 2))

    assert [answer["id"] for answer in answers] == [2, 1]
