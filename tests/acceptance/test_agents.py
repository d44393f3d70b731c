"""Agents order pictures with the official SDK's client: over HTTP and over `imagegen mcp`, in every revision that is spoken."""

from __future__ import annotations

import base64
import io
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult, ImageContent, ResourceLink
from PIL import Image

from app.domain.api_key import KeyTerms, OrderLimits
from tests.acceptance.people import Person, accounts_of
from tests.acceptance.service import Answer, Service, a_prompt
from tests.support.agents import called, over_http, over_stdio, text_of
from tests.support.images import noise, saved

TOOLS = ["list_models", "get_model", "estimate_cost", "generate_image", "get_job", "cancel_job", "list_jobs", "upload_image", "get_usage"]
Call = Callable[..., CallToolResult]


def agent_of(service: Service, headers: dict[str, str] | None = None) -> Call:
    """Return what calls one tool, each time on a connection of its own."""

    def call(name: str, /, **arguments: Any) -> CallToolResult:
        return over_http(f"{service.stack.base_url}/mcp", called(name, **arguments), headers=headers)

    return call


def with_key(service: Service, terms: KeyTerms) -> Call:
    return agent_of(service, {"X-API-Key": accounts_of(service).make_key("an agent", terms)[1]})


def a_user() -> str:
    return f"user-{uuid.uuid4().hex[:12]}"


def shown(result: CallToolResult) -> Answer:
    assert not result.is_error, text_of(result)
    found: Answer = result.structured_content
    return found


def refusal(result: CallToolResult) -> str:
    """Return what a refused call says. It has nothing beside its words, so that no program takes it for an answer."""
    assert result.is_error, text_of(result)
    assert (result.structured_content, len(result.content)) == (None, 1)
    return text_of(result)


@pytest.fixture
def call(service: Service) -> Call:
    return agent_of(service)


async def a_conversation(client: Client) -> tuple[str, list[str], CallToolResult]:
    tools = (await client.list_tools()).tools
    result = await client.call_tool("generate_image", {"prompt": a_prompt(), "num_images": 2})
    return client.protocol_version, [tool.name for tool in tools], result


@pytest.mark.parametrize("over", ["http", "stdio"])
@pytest.mark.parametrize(
    ("mode", "offered", "spoken"), [("auto", None, "2026-07-28"), ("legacy", None, "2025-11-25"), ("legacy", "2025-06-18", "2025-06-18")]
)
def test_the_official_client_orders_pictures(
    service: Service, monkeypatch: pytest.MonkeyPatch, over: str, mode: str, offered: str | None, spoken: str
) -> None:
    if offered:
        monkeypatch.setattr("mcp.client.session.LATEST_HANDSHAKE_VERSION", offered)

    if over == "http":
        version, tools, result = over_http(f"{service.stack.base_url}/mcp", a_conversation, mode=mode)
    else:
        version, tools, result = over_stdio(a_conversation, env={"IMAGEGEN_SERVER": service.stack.base_url}, mode=mode)

    assert (version, tools) == (spoken, TOOLS)
    job = shown(result)
    assert (job["status"], job["cost"], len(job["images"])) == ("completed", 0.1, 2)
    assert service.document(job["jobId"])["userId"] == "anonymous"


def test_a_result_is_words_a_link_to_each_picture_and_one_small_preview(service: Service, call: Call) -> None:
    result = call("generate_image", prompt=a_prompt(), num_images=2, options={"image_size": {"width": 1600, "height": 900}})

    text, *links, preview = result.content
    assert "2 pictures by flux-pro, 0.1 USD" in text.text
    for link, image in zip(links, shown(result)["images"], strict=True):
        assert isinstance(link, ResourceLink)
        assert (str(link.uri), link.size, link.mime_type) == (image["url"], image["sizeBytes"], image["contentType"])
        assert service.client.get(image["url"]).headers["Content-Length"] == str(link.size)
        assert image["url"] in text.text
    assert isinstance(preview, ImageContent)
    assert (preview.mime_type, len(preview.data) <= 60_000) == ("image/jpeg", True)
    assert Image.open(io.BytesIO(base64.b64decode(preview.data))).size == (512, 288)


def test_one_idempotency_key_is_one_order_and_two_calls_without_are_two(service: Service, call: Call) -> None:
    once, twice = a_prompt(), a_prompt()
    key = uuid.uuid4().hex

    same = [shown(call("generate_image", prompt=once, idempotency_key=key, wait_seconds=wait))["jobId"] for wait in (20, 10)]
    other = [shown(call("generate_image", prompt=twice))["jobId"] for _ in range(2)]
    mixed_up = refusal(call("generate_image", prompt=twice, idempotency_key=key))

    assert (len(set(same)), len(service.posts(once))) == (1, 1)
    assert (len(set(other)), len(service.posts(twice))) == (2, 2)
    assert mixed_up.startswith("idempotency_mismatch:")


def test_what_takes_longer_gives_its_job_and_get_job_the_picture(service: Service, call: Call) -> None:
    service.emulator.settings(seconds=1.0)

    first = call("generate_image", prompt=a_prompt(), wait_seconds=0)
    job_id = shown(first)["jobId"]
    later = call("get_job", job_id=job_id.upper(), wait_seconds=30)

    assert shown(first)["status"] in ("pending", "processing")
    assert f"Job {job_id} is" in text_of(first)
    assert "get_job" in text_of(first)
    assert (shown(later)["status"], later.content[-1].type) == ("completed", "image")


def test_an_order_costs_at_most_what_is_allowed_and_else_one_dollar(service: Service, call: Call) -> None:
    narrow = with_key(service, KeyTerms(orders=OrderLimits(max_micros=100_000)))
    wide = with_key(service, KeyTerms(orders=OrderLimits(max_micros=5_000_000)))
    order = {"prompt": a_prompt(), "wait_seconds": 0}
    before = service.footprint()

    usual = refusal(call("generate_image", **order, num_images=21))
    asked = refusal(call("generate_image", **order, num_images=2, max_cost=0.05))
    keys = refusal(narrow("generate_image", **order, num_images=3, max_cost=9))

    assert service.footprint() == before
    assert "1.05 USD, more than max_cost (1)" in usual
    assert "call again with max_cost 0.1." in asked
    assert "more than this API key may spend on one (0.1)" in keys
    assert shown(call("generate_image", **order, num_images=2, max_cost=0.1))["estimatedCost"] == 0.1
    assert shown(wide("generate_image", **order, num_images=21))["estimatedCost"] == 1.05


WRONG: tuple[tuple[Answer, str, str], ...] = (
    ({"prompt": "x", "model": "flux-prp"}, "unknown_model", "Did you mean 'flux-pro'?"),
    ({}, "invalid_request", "prompt: Missing data for required field."),
    ({"prompt": " "}, "missing_inputs", "prompt"),
    ({"prompt": "x", "image_size": "square"}, "invalid_request", "It belongs in 'options'."),
    ({"prompt": "x", "num_image": 2}, "invalid_request", "Did you mean 'num_images'?"),
    ({"prompt": "x", "num_images": 101}, "invalid_request", "num_images"),
    ({"prompt": "x", "num_images": 2, "options": {"num_images": 3}}, "invalid_request", "leave one out"),
    ({"prompt": "x", "options": {"image_sise": "square"}}, "invalid_request", "Did you mean 'image_size'?"),
    ({"prompt": "x", "model": "flux-pro", "images": ["https://example.com/a.png"]}, "invalid_request", "Models that take pictures: "),
    ({"prompt": "a cat", "images": ["http://example.com/a.png"]}, "invalid_request", "image_urls"),
    ({"prompt": "a cat", "images": ["upload:01a1fbb9-ae99-76ef-85b8-99f0e4849dc8"]}, "invalid_request", "No such upload"),
    ({"prompt": "a cat", "images": ["data:image/png;base64,AAAA"]}, "invalid_request", "not a complete"),
    ({"prompt": "x", "max_cost": -1}, "invalid_request", "max_cost"),
    ({"prompt": "x", "wait_seconds": 1e9}, "invalid_request", "wait_seconds"),
    ({"prompt": "x", "idempotency_key": "a\nb"}, "invalid_request", "idempotency_key"),
    ({"prompt": "x", "model": "face-swap"}, "missing_inputs", "base_image_url"),
)


def test_what_is_wrong_with_an_order_is_told_to_the_agent_and_nothing_is_bought(service: Service) -> None:
    before = service.footprint()

    async def talk(client: Client) -> list[CallToolResult]:
        return [await client.call_tool("generate_image", arguments) for arguments, *_ in WRONG]

    results = over_http(f"{service.stack.base_url}/mcp", talk)

    assert service.footprint() == before
    for result, (arguments, code, words) in zip(results, WRONG, strict=True):
        text = refusal(result)
        assert text.startswith(f"{code}: "), (arguments, text)
        assert words in text, (arguments, text)
        assert result.meta is not None
        assert result.meta["error"]["code"] == code


def test_somebody_elses_job_is_not_there(service: Service) -> None:
    mine, theirs = (with_key(service, KeyTerms(users=(a_user(),))) for _ in range(2))
    job_id = shown(theirs("generate_image", prompt=a_prompt(), wait_seconds=0))["jobId"]

    answers = [refusal(mine(name, job_id=job_id)) for name in ("get_job", "cancel_job")]
    unknown = refusal(mine("get_job", job_id="no-id"))

    assert len({*answers, unknown}) == 1
    assert unknown.startswith("not_found: ")
    assert shown(mine("list_jobs"))["jobs"] == []
    assert [job["jobId"] for job in shown(theirs("list_jobs"))["jobs"]] == [job_id]


def test_an_exhausted_budget_orders_nothing_and_says_so(service: Service) -> None:
    person = Person(service)
    call = agent_of(service, person.headers)
    admin = Person(service)
    service.database["accounts"].update_one({"_id": admin.id}, {"$set": {"role": "admin"}})
    answer = service.client.put("/api/budgets", json={"userId": person.id, "monthly": 0.07}, headers=admin.headers)
    assert answer.status_code == 200, answer.text

    first = call("generate_image", prompt=a_prompt())
    second = refusal(call("generate_image", prompt=a_prompt()))

    assert shown(first)["cost"] == 0.05
    assert second.startswith("budget_exceeded: ")
    assert "only the operator can raise it" in second
    assert shown(call("get_usage"))["totals"]["images"] == 1


def test_a_failed_generation_is_an_error_that_says_what_to_do(service: Service, call: Call) -> None:
    result = call("generate_image", prompt=f"{a_prompt()} [emulator: fail=content_policy]")
    looked_at = call("get_job", job_id=result.structured_content["jobId"])

    assert result.is_error
    assert "nothing was charged" in text_of(result)
    assert "content_policy_violation" in text_of(result)
    assert "Say it in other words." in text_of(result)
    assert shown(looked_at)["error"]["code"] == "content_policy_violation"


def test_an_uploaded_picture_and_a_generated_one_can_be_worked_from(service: Service, call: Call) -> None:
    prompt = a_prompt()
    content = base64.b64encode(saved(noise(64, 64), "PNG")).decode()

    uploads = [shown(call("upload_image", image=text, file_name="a.png")) for text in (content, f"data:image/png;base64,{content}")]
    first = shown(call("generate_image", prompt=a_prompt()))
    result = shown(call("generate_image", prompt=prompt, images=[uploads[0]["reference"], first["images"][0]["reference"]]))

    assert uploads[0]["id"] == uploads[1]["id"]
    assert result["model"] == "nano-banana-edit"
    assert len(service.posts(prompt)[0]["arguments"]["image_urls"]) == 2
    assert "invalid_image" in refusal(call("upload_image", image="AAAA"))
    assert "not valid base64" in refusal(call("upload_image", image="/home/me/cat.png"))


def test_models_prices_and_cancelling(service: Service, call: Call) -> None:
    key = with_key(service, KeyTerms(orders=OrderLimits(models=("flux-*",))))
    service.emulator.settings(seconds=20.0)

    estimate = shown(call("estimate_cost", num_images=10))
    edit = shown(call("estimate_cost", images=["https://example.com/a.png"], options={"resolution": "4K"}))
    model = shown(call("get_model", name="flux-pro"))
    listed = {each["name"]: each["costPerImage"] for each in shown(key("list_models"))["models"]}
    job_id = shown(call("generate_image", prompt=a_prompt(), wait_seconds=0))["jobId"]
    canceled = shown(call("cancel_job", job_id=job_id))

    assert estimate == {"model": "flux-pro", "costPerImage": 0.05, "totalCost": 0.5, "numImages": 10}
    assert (edit["model"], edit["totalCost"]) == ("nano-banana-edit", 0.3)
    assert model["inputSchema"]["properties"]["inputs"]["required"] == ["prompt"]
    assert listed["flux-pro"] == 0.05
    assert "nano-banana-edit" not in listed
    assert "may not use the model" in refusal(key("generate_image", prompt="a cat", images=["https://example.com/a.png"]))
    assert "Did you mean 'flux-pro'?" in refusal(call("get_model", name="flux-prp"))
    assert canceled["cancelRequested"] or canceled["status"] == "canceled"


def test_what_the_tools_say_of_themselves_is_whole(service: Service) -> None:
    async def talk(client: Client) -> list[Any]:
        return list((await client.list_tools()).tools)

    tools = over_http(f"{service.stack.base_url}/mcp", talk)

    for tool in tools:
        assert tool.title
        assert tool.description
        assert tool.input_schema["additionalProperties"] is False
        assert all(argument.get("description") for argument in tool.input_schema["properties"].values()), tool.name
        assert tool.output_schema["type"] == "object"
        assert "$ref" not in str(tool.input_schema) + str(tool.output_schema)
    assert {tool.name for tool in tools if tool.annotations.read_only_hint} == set(TOOLS) - {"generate_image", "cancel_job", "upload_image"}
    assert [tool.name for tool in tools if tool.annotations.destructive_hint] == ["cancel_job"]
