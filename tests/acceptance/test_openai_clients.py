"""The very bytes that applications send to OpenAI's image endpoints, and that each finds in the answer what it reads.

Taken from their sources in November 2026: Open WebUI (backend/open_webui/routers/images.py), LibreChat
(api/app/clients/tools/structured/OpenAIImageTools.js, DALLE3.js), LangChain.js (langchain-openai, tools/dalle.ts), LangChain
(langchain_community/utilities/dalle_image_generator.py), n8n (nodes-langchain, vendors/OpenAi), LiteLLM (litellm 1.x as a client).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import pytest

from tests.acceptance.openai_calls import a_key, job_of, seen, shown
from tests.acceptance.service import Answer, Service, a_prompt
from tests.support.factories import picture

PNG = picture("PNG")
#: What OpenAI's SDK for Node adds to each request, which LibreChat and LangChain.js use; Python's is like it.
NODE_SDK = {
    "accept": "application/json",
    "user-agent": "OpenAI/JS 7.57.0",
    "x-stainless-lang": "js",
    "x-stainless-os": "Linux",
    "x-stainless-package-version": "7.57.0",
    "x-stainless-retry-count": "0",
    "x-stainless-runtime": "node",
}
PYTHON_SDK = NODE_SDK | {"user-agent": "OpenAI/Python 3.57.0", "x-stainless-lang": "python", "x-stainless-read-timeout": "600"}


@dataclass
class Client:
    """An application that is given an address and a key. `PROMPT` in what it sends is a prompt no other test has."""

    service: Service
    key: str
    prompt: str = field(default_factory=a_prompt)

    def sent(self, path: str, body: bytes, *, streamed: bool = False, **headers: str) -> Answer:
        """Return the answer to a request, which must be right, and must have bought one order."""
        content = body.replace(b"PROMPT", self.prompt.encode())
        answer = httpx.post(
            f"{self.service.stack.base_url}{path}",
            content=_chunks(content) if streamed else content,
            headers={"Authorization": f"Bearer {self.key}"} | {name.replace("_", "-"): value for name, value in headers.items()},
            timeout=30,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        assert self.bought()
        found: Answer = answer.json()
        return found

    def bought(self) -> Answer:
        """Return what fal was asked for, once."""
        (post,) = self.service.posts(self.prompt)
        arguments: Answer = post["arguments"]
        return arguments

    def json(self, body: bytes, path: str = "/v1/images/generations", **headers: str) -> Answer:
        return self.sent(path, body, content_type="application/json", **headers)

    def form(self, parts: list[bytes], boundary: str, path: str = "/v1/images/edits", *, streamed: bool = False, **headers: str) -> Answer:
        """Send a form; each part is its own headers, an empty line and its value."""
        body = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), part) for part in parts) + b"--%s--\r\n" % boundary.encode()
        return self.sent(path, body, streamed=streamed, content_type=f"multipart/form-data; boundary={boundary}", **headers)


@pytest.fixture
def client(service: Service) -> Client:
    return Client(service, a_key(service))


def _chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 500):
        yield content[start : start + 500]


# -- Open WebUI: aiohttp; a link is preferred to base64, and is fetched with the same headers -------------------------------------------

WEBUI = {"accept": "*/*", "user-agent": "Python/3.11 aiohttp/3.13.2"}


def webui_field(name: str, value: str) -> bytes:
    return f'Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def webui_file(name: str) -> bytes:
    head = f'Content-Type: image/png\r\nContent-Disposition: form-data; name="{name}"; filename="{uuid.uuid4()}.png"\r\n\r\n'
    return head.encode() + PNG


def test_open_webui_with_a_name_of_its_url_models_gets_base64_and_nothing_that_it_would_fetch(client: Client) -> None:
    body = client.json(b'{"model": "gpt-image-1", "prompt": "PROMPT", "n": 1, "size": "auto"}', **WEBUI)

    assert [set(image) for image in body["data"]] == [{"b64_json"}]
    assert shown(body["data"][0]["b64_json"]) == ("JPEG", (1024, 768))


def test_open_webui_with_any_other_name_gets_the_base64_that_it_asks_for(client: Client) -> None:
    user = {"X_OpenWebUI_User_Name": "Ada", "X_OpenWebUI_User_Id": "6f1c", "X_OpenWebUI_User_Email": "ada@example.com"}

    body = client.json(
        b'{"model": "flux-pro", "prompt": "PROMPT", "n": 2, "size": "512x512", "response_format": "b64_json"}',
        **WEBUI,
        **user,
        X_OpenWebUI_User_Role="user",
    )

    assert [set(image) for image in body["data"]] == [{"b64_json"}] * 2
    assert shown(body["data"][0]["b64_json"]) == ("JPEG", (512, 512))
    assert job_of(client.service, body)["userId"] == "6f1c"


def test_open_webui_with_an_azure_version_in_its_settings_is_answered_alike(client: Client) -> None:
    path = "/v1/images/generations?api-version=2025-04-01-preview"

    body = client.json(b'{"model": "gpt-image-1", "prompt": "PROMPT", "n": 1, "size": "512x512"}', path, **WEBUI)

    assert shown(body["data"][0]["b64_json"])[1] == (512, 512)


@pytest.mark.parametrize("files", [["image"], ["image[]", "image[]"]])
def test_open_webui_edits_one_picture_or_several(client: Client, files: list[str]) -> None:
    parts = [webui_field("model", "gpt-image-1"), webui_field("prompt", "PROMPT"), webui_field("n", "1")]

    body = client.form([*parts, *map(webui_file, files)], uuid.uuid4().hex, **WEBUI)

    assert [set(image) for image in body["data"]] == [{"b64_json"}]
    assert len(client.bought()["image_urls"]) == len(files)


# -- LibreChat: OpenAI's SDK for Node, axios for edits; only data[0].b64_json is read, DALLE3.js reads data[0].url ----------------------


def test_librechat_gets_the_png_that_it_takes_every_picture_for(client: Client) -> None:
    body = client.json(
        b'{"model":"gpt-image-1","prompt":"PROMPT","n":1,"background":"auto","output_format":"png","quality":"auto","size":"auto"}',
        **NODE_SDK,
    )

    assert shown(body["data"][0]["b64_json"]) == ("PNG", (1024, 768))


def test_librechat_gets_the_webp_that_it_is_configured_for(client: Client) -> None:
    body = client.json(
        b'{"model":"gpt-image-1","prompt":"PROMPT","n":1,"background":"opaque","output_format":"webp","output_compression":100,'
        b'"quality":"high","size":"1024x1024"}',
        **NODE_SDK,
    )

    assert shown(body["data"][0]["b64_json"]) == ("WEBP", (1024, 1024))


def test_librechat_edits_with_a_form_whose_length_nobody_knows(client: Client) -> None:
    fields = [("model", "gpt-image-1"), ("prompt", "PROMPT"), ("quality", "auto"), ("size", "auto")]
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields]
    file = b'Content-Disposition: form-data; name="image[]"; filename="img-0b6c.png"\r\nContent-Type: image/png\r\n\r\n' + PNG

    body = client.form(
        [*parts, file],
        f"{'-' * 26}514063937823187163405428",
        streamed=True,
        accept="application/json, text/plain, */*",
        user_agent="axios/1.13.2",
    )

    assert shown(body["data"][0]["b64_json"])[0] == "PNG"


def test_librechats_older_tool_gets_a_link_whose_last_part_is_a_file_name(client: Client) -> None:
    body = client.json(b'{"model":"dall-e-3","quality":"standard","style":"vivid","size":"1024x1024","prompt":"PROMPT","n":1}', **NODE_SDK)

    assert re.search(r"[\w-]+\.(png|jpg)$", urlsplit(body["data"][0]["url"]).path)


# -- LangChain: several pictures are several requests; links are read ------------------------------------------------------------------


def test_langchain_for_javascript_gets_the_link_that_it_asks_for(client: Client) -> None:
    body = client.json(
        b'{"model":"dall-e-3","prompt":"PROMPT","n":1,"size":"1024x1024","response_format":"url","style":"vivid","quality":"standard"}',
        **NODE_SDK,
    )

    assert [set(image) for image in body["data"]] == [{"url"}]
    assert seen(httpx.get(body["data"][0]["url"], trust_env=False).content) == ("JPEG", (1024, 1024))


def test_langchain_for_python_gets_a_link_without_asking_for_one(client: Client) -> None:
    body = client.json(b'{"prompt":"PROMPT","model":"dall-e-2","n":1,"quality":"standard","size":"1024x1024"}', **PYTHON_SDK)

    assert body["data"][0]["url"].startswith("http")


# -- n8n: JSON to generate; a form whose numbers are text to edit ----------------------------------------------------------------------


def n8n_field(name: str, value: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def n8n_file(name: str, file_name: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"; filename="{file_name}"\r\nContent-Type: image/png\r\n\r\n'.encode() + PNG


N8N = {
    "accept": "application/json,text/html,application/xhtml+xml,application/xml,text/*;q=0.9, image/*;q=0.8, */*;q=0.7",
    "user-agent": "n8n",
}
N8N_BOUNDARY = f"{'-' * 26}318209384756102938475610"


@pytest.mark.parametrize(
    ("model", "extra", "read"),
    [
        ("dall-e-3", b',"quality":"hd","response_format":"b64_json"', "b64_json"),
        ("dall-e-3", b',"quality":"hd","style":"natural","response_format":"url"', "url"),
        ("gpt-image-1-mini", b',"quality":"medium"', "b64_json"),
    ],
)
def test_n8n_generates(client: Client, model: str, extra: bytes, read: str) -> None:
    body = client.json(b'{"prompt":"PROMPT","model":"%s","n":1,"size":"1024x1024"%s}' % (model.encode(), extra), **N8N)

    assert [set(image) for image in body["data"]] == [{read}]


def test_n8n_edits_with_dall_e_and_numbers_as_text(client: Client) -> None:
    fields = [
        ("prompt", "PROMPT"),
        ("model", "dall-e-2"),
        ("n", "2"),
        ("size", "1024x1024"),
        ("response_format", "url"),
        ("user", "test-user-123"),
    ]

    body = client.form([n8n_file("image", "test.png"), *(n8n_field(*pair) for pair in fields)], N8N_BOUNDARY, **N8N)

    assert [set(image) for image in body["data"]] == [{"url"}] * 2
    assert job_of(client.service, body)["userId"] == "test-user-123"


def test_n8n_edits_with_gpt_image_in_the_format_that_it_names(client: Client) -> None:
    fields = [
        ("prompt", "PROMPT"),
        ("model", "gpt-image-1"),
        ("n", "1"),
        ("size", "1536x1024"),
        ("quality", "high"),
        ("background", "opaque"),
        ("input_fidelity", "high"),
        ("output_format", "webp"),
        ("output_compression", "85"),
    ]
    files = [n8n_file("image[]", "image1.png"), n8n_file("image[]", "image2.png")]

    body = client.form([*files, *(n8n_field(*pair) for pair in fields)], N8N_BOUNDARY, **N8N)

    assert shown(body["data"][0]["b64_json"])[0] == "WEBP"
    bought = client.bought()
    assert (bought["resolution"], bought["aspect_ratio"], len(bought["image_urls"])) == ("2K", "3:2", 2)


# -- LiteLLM: OpenAI's SDK for Python ---------------------------------------------------------------------------------------------------


def test_litellm_forwards_and_is_answered(client: Client) -> None:
    body = client.json(b'{"prompt":"PROMPT","model":"flux-pro","n":1,"size":"1024x1024","user":"team-7"}', **PYTHON_SDK)

    assert body["data"][0]["b64_json"]
    assert "usage" not in body
    assert job_of(client.service, body)["userId"] == "team-7"
