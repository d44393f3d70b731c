"""The OpenAI Images API as its own SDK, and requests by hand, meet it."""

from __future__ import annotations

import httpx
import openai
import pytest

from app.domain.api_key import KeyTerms
from tests.acceptance.people import accounts_of
from tests.acceptance.service import Service, a_prompt

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"


@pytest.fixture
def key(service: Service) -> str:
    return accounts_of(service).make_key("an SDK", KeyTerms())[1]


@pytest.fixture
def sdk(service: Service, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.stack.base_url}/v1", api_key=key, max_retries=0)


def refused(answer: httpx.Response, status: int, code: str, param: str | None = None) -> str:
    """Check that an answer has OpenAI's shape; return its message."""
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param), answer.text
    assert answer.headers["x-request-id"]
    return str(error["message"])


def test_the_sdk_generates(service: Service, sdk: openai.OpenAI) -> None:
    prompt = a_prompt()

    made = sdk.images.generate(model="dall-e-3", prompt=prompt, n=2, size="1024x768", quality="standard", style="vivid", user="ann")

    post = service.posts(prompt)[0]
    assert made.data is not None
    assert len(made.data) == 2
    assert made.data[0].url is not None
    assert made.data[0].b64_json is not None
    assert made.size == "1024x768"
    assert (post["endpoint"], post["arguments"]["image_size"]) == ("fal-ai/flux-pro/v1.1", {"width": 1024, "height": 768})
