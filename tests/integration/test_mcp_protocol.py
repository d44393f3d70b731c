"""`POST /mcp` as HTTP and JSON-RPC: what is refused before any tool is called, and in which shape."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.api.application import build
from app.api.mcp.protocol import HANDSHAKE, MODERN, SPOKEN
from app.bootstrap import Services
from app.domain.api_key import KeyTerms, Scope
from tests.support.services import with_parts

NEWEST = MODERN[-1]
ENVELOPE = {"io.modelcontextprotocol/protocolVersion": NEWEST, "io.modelcontextprotocol/clientCapabilities": {}}
ORDERS = {"generate_image", "cancel_job", "upload_image"}


class Agent:
    """Somebody who posts messages with a key."""

    def __init__(self, services: Services, terms: KeyTerms = KeyTerms()) -> None:  # noqa: B008 - a frozen value
        self.client: FlaskClient = build(services.settings, services).test_client()
        self.headers = {"Authorization": f"Bearer {services.accounts.make_key('an agent', terms)[1]}"}

    def post(self, message: Any, **headers: str) -> TestResponse:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **self.headers}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post("/mcp", data=body, headers={**sent, **named})

    def asked(self, method: str, params: Any = None, **headers: str) -> Any:
        return self.post(request(method, params), **headers).get_json()

    def modern(self, method: str, params: Any = None, **headers: str) -> TestResponse:
        names = {"Mcp_Name": str(params["name"])} if params and "name" in params else {}
        sent = {"MCP_Protocol_Version": NEWEST, "Mcp_Method": method, **names, **headers}
        return self.post(request(method, {**(params or {}), "_meta": ENVELOPE}), **sent)


def request(method: str, params: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method} | ({} if params is None else {"params": params})


def error_of(answer: TestResponse) -> tuple[int, int, Any]:
    body = answer.get_json()
    assert body["jsonrpc"] == "2.0", body
    return answer.status_code, body["error"]["code"], body["id"]


NO_MESSAGES: tuple[tuple[Any, int], ...] = (
    (b"{", -32700),
    (b'{"jsonrpc": "2.0", "id": 1, "id": 2, "method": "ping"}', -32700),
    (b'{"jsonrpc": "2.0", "id": NaN, "method": "ping"}', -32700),
    ([request("ping"), request("ping")], -32600),
    ("ping", -32600),
    ({}, -32600),
    ({**request("ping"), "jsonrpc": "1.0"}, -32600),
    ({**request("ping"), "id": None}, -32600),
    ({**request("ping"), "id": True}, -32600),
    ({**request("ping"), "id": 1.5}, -32600),
    ({**request("ping"), "method": ""}, -32600),
    ({**request("ping"), "params": []}, -32600),
)


@pytest.fixture
def agent(services: Services) -> Agent:
    return Agent(services)


def test_initialize_agrees_to_the_revision_that_the_client_names_or_names_the_latest_that_begins_so(agent: Agent) -> None:
    known = {"capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    asked = [*HANDSHAKE, "2024-11-05", "2025-03-26", NEWEST, "1999-01-01"]

    results = [agent.asked("initialize", {"protocolVersion": version, **known})["result"] for version in asked]

    assert [result["protocolVersion"] for result in results] == [*HANDSHAKE, *[HANDSHAKE[-1]] * 4]
    assert (results[0]["capabilities"], results[0]["serverInfo"]["name"]) == ({"tools": {}}, "imagegw")
    assert "idempotency_key" in results[0]["instructions"]
    assert error_of(agent.post(request("initialize"))) == (200, -32602, 7)


def test_a_notification_is_taken_and_has_no_answer(agent: Agent) -> None:
    answers = [agent.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, MCP_Protocol_Version=version) for version in SPOKEN]

    assert [(answer.status_code, answer.data) for answer in answers] == [(202, b"")] * 3


def test_an_answer_that_nobody_has_asked_for_is_taken_only_where_servers_may_ask(agent: Agent) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "result": {}}

    assert agent.post(message, MCP_Protocol_Version="2025-06-18").status_code == 202
    assert error_of(agent.post(message, MCP_Protocol_Version=NEWEST)) == (400, -32600, 1)


def test_a_revision_that_is_not_spoken_is_400_and_names_those_that_are(agent: Agent) -> None:
    for version in ("2025-03-26", "2027-01-01", "x", ""):
        answer = agent.post(request("tools/list"), MCP_Protocol_Version=version)

        assert error_of(answer) == (400, -32022, None)
        assert answer.get_json()["error"]["data"] == {"supported": list(SPOKEN), "requested": version}


def test_there_is_no_stream_and_no_session_to_end(agent: Agent) -> None:
    for method in ("GET", "DELETE", "PUT"):
        answer = agent.client.open("/mcp", method=method, headers=agent.headers)

        assert error_of(answer) == (405, -32600, None)
        assert "POST" in answer.headers["Allow"]


def test_what_is_no_single_message_is_refused_as_json_rpc_says(agent: Agent) -> None:
    for message, code in NO_MESSAGES:
        assert error_of(agent.post(message))[:2] == (400, code), message


def test_each_wrong_head_has_its_status_and_the_shape_of_json_rpc(agent: Agent) -> None:
    ping = request("ping")

    assert error_of(agent.post(ping, Accept="text/html")) == (406, -32600, None)
    assert error_of(agent.post(ping, Content_Type="text/plain")) == (415, -32600, None)
    assert error_of(agent.post(ping, Content_Encoding="gzip")) == (415, -32600, None)
    assert error_of(agent.post(ping, Origin="https://evil.example")) == (403, -32600, None)
    assert agent.post(ping, Accept="*/*").get_json() == {"jsonrpc": "2.0", "id": 7, "result": {}}


def test_without_a_credential_or_with_a_wrong_one_nothing_is_read(agent: Agent) -> None:
    answers = [agent.post(b"not JSON", Authorization=value) for value in ("", "Bearer wrong", "Bearer")]

    for answer in answers:
        assert error_of(answer) == (401, -32600, None)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.get_json()["error"]["data"]["code"] == "unauthorized"


def test_an_unknown_method_is_an_error_of_the_protocol(agent: Agent) -> None:
    assert error_of(agent.post(request("resources/list"))) == (200, -32601, 7)
    assert error_of(agent.modern("resources/list")) == (404, -32601, 7)
    assert error_of(agent.modern("ping")) == (404, -32601, 7)
    assert error_of(agent.modern("initialize", {"protocolVersion": NEWEST})) == (404, -32601, 7)


def test_an_unknown_tool_is_an_error_of_the_protocol_that_names_the_near_one(agent: Agent) -> None:
    answer = agent.post(request("tools/call", {"name": "generate_images", "arguments": {}}))

    assert error_of(answer) == (200, -32602, 7)
    assert "Did you mean 'generate_image'?" in answer.get_json()["error"]["message"]


def test_a_call_that_is_none_is_an_error_of_the_protocol(agent: Agent) -> None:
    for params in ({}, {"name": 1}, {"name": "list_models", "arguments": []}, {"name": "list_models", "arguments": "x"}):
        assert error_of(agent.post(request("tools/call", params))) == (200, -32602, 7), params


def test_since_2026_each_request_says_in_its_headers_what_it_says_in_its_body(agent: Agent) -> None:
    call = {"name": "list_models", "arguments": {}}

    assert agent.modern("tools/call", call).status_code == 200
    packed = f"=?base64?{base64.b64encode(b'list_models').decode()}?="
    assert agent.modern("tools/call", call, Mcp_Name=packed).status_code == 200
    for wrong in ({"Mcp_Name": "get_model"}, {"Mcp_Name": "=?base64?!?="}, {"Mcp_Method": "tools/list"}):
        assert error_of(agent.modern("tools/call", call, **wrong)) == (400, -32020, 7)
    assert error_of(agent.post(request("tools/list", {"_meta": ENVELOPE}))) == (400, -32020, 7)
    assert error_of(agent.post(request("tools/list"), MCP_Protocol_Version=NEWEST, Mcp_Method="tools/list")) == (400, -32602, 7)


def test_since_2026_an_answer_says_what_it_is_and_how_long_it_may_be_kept(agent: Agent) -> None:
    discovered, listed = (agent.modern(method).get_json()["result"] for method in ("server/discover", "tools/list"))

    assert discovered["supportedVersions"] == list(SPOKEN)
    for result in (discovered, listed):
        assert (result["resultType"], result["cacheScope"]) == ("complete", "private")
        assert result["ttlMs"] > 0
        assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "imagegw"
    assert "resultType" not in agent.asked("tools/list")["result"]


def test_a_key_is_shown_the_tools_of_its_scopes_and_refused_the_others(services: Services) -> None:
    shown = {}
    for scopes in ((Scope.READ,), (Scope.GENERATE,), (Scope.READ, Scope.GENERATE)):
        agent = Agent(services, KeyTerms(scopes=scopes))
        shown[scopes] = {tool["name"] for tool in agent.asked("tools/list")["result"]["tools"]}
    reader = Agent(services, KeyTerms(scopes=(Scope.READ,)))

    refused = reader.asked("tools/call", {"name": "generate_image", "arguments": {"prompt": "a red bicycle"}})["result"]

    assert shown[Scope.GENERATE,] == ORDERS
    assert not shown[Scope.READ,] & ORDERS
    assert shown[Scope.READ, Scope.GENERATE] == shown[Scope.READ,] | ORDERS
    assert refused["isError"]
    assert refused["content"][0]["text"].startswith("forbidden: This needs an API key with the scope 'generate'")
    assert services.database["jobs"].count_documents({}) == 0


def test_each_request_counts_for_a_keys_rate(services: Services) -> None:
    agent = Agent(services, KeyTerms(rate_per_minute=2))

    answers = [agent.post(request("ping")) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2].headers["Retry-After"]) > 0


def test_orders_count_for_the_rate_of_submits_and_questions_do_not(services: Services) -> None:
    limited = with_parts(services, settings=services.settings.__class__(**{**vars(services.settings), "rate_limit_submit": "1/minute"}))
    agent = Agent(limited)
    order = request("tools/call", {"name": "generate_image", "arguments": {"prompt": "a red bicycle", "wait_seconds": 0}})

    first, second = (agent.post(order).get_json()["result"] for _ in range(2))
    question = agent.asked("tools/call", {"name": "list_models"})["result"]

    assert ("isError" in first, "isError" in question) == (False, False)
    assert second["content"][0]["text"].startswith("rate_limited:")
    assert services.database["jobs"].count_documents({}) == 1
