"""How bodies are read: after the credential, each route its own size, chunked or announced, and large ones beside everything else."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.acceptance.service import Service, a_prompt, order

WRONG_KEY = {"X-API-Key": "wrong", "Content-Type": "application/json"}


@pytest.mark.parametrize(
    "path", ["images/generate", "images/batch", "images/estimate-cost", "generate/text-to-image", "generate/image-reference", "uploads"]
)
def test_a_body_is_not_waited_for_where_the_credential_is_wrong(service: Service, path: str) -> None:
    head = f"POST /api/{path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: wrong\r\nContent-Type: application/json\r\nContent-Length: 20000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.client.base_url.port or 80), timeout=10) as client:
        client.sendall(head.encode())

        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("path", ["auth/login", "auth/register", "tokens/topup", "jobs/0/cancel", "generate/text-to-image"])
def test_a_body_above_what_a_route_needs_is_too_large(service: Service, path: str) -> None:
    answer = service.client.post(
        f"/api/{path}", content=b'{"email": "' + b"a" * 70_000 + b'"}', headers={"Content-Type": "application/json"}
    )

    assert answer.status_code in ((413,) if "cancel" not in path and "text" not in path and "topup" not in path else (401, 404, 413))


def in_chunks(body: bytes, size: int = 7) -> Iterator[bytes]:
    yield from (body[start : start + size] for start in range(0, len(body), size))


def test_a_chunked_body_is_taken(service: Service) -> None:
    body = json.dumps({**order(a_prompt()), "async": True}).encode()

    answer = service.client.post("/api/images/generate", content=in_chunks(body), headers={"Content-Type": "application/json"})

    assert answer.status_code == 202, answer.text


def test_a_chunked_body_is_bounded_as_any_other(service: Service) -> None:
    body = b'{"email": "' + b"a" * 70_000 + b'"}'

    answer = service.client.post("/api/auth/login", content=in_chunks(body, 9000), headers={"Content-Type": "application/json"})

    assert answer.status_code == 413


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"model": [' + b"1," * 150_000 + b"1]}"])
def test_absurd_depth_and_absurdly_many_values_are_refused(service: Service, content: bytes) -> None:
    answer = service.client.post("/api/images/generate", content=content, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_request"


NAMES = b",".join(b'"name%d": 1' % n for n in range(50_000))
ITEMS = b"[" + b",".join([b"1"] * 50_000) + b"]"
CALL = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "generate_image", "arguments": %s}}'


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/api/images/generate", b'{"model": "flux-pro", %s}' % NAMES),
        ("/api/images/generate", b'{"model": "flux-pro", "options": {%s}}' % NAMES),
        ("/v1/images/generations", b'{"prompt": "a red bicycle", %s}' % NAMES),
        ("/fal/queue/fal-ai/flux-pro/v1.1", b'{"prompt": "a red bicycle", %s}' % NAMES),
        ("/mcp", CALL % b'{"prompt": "a red bicycle", %s}' % NAMES),
        ("/mcp", CALL % b'{"prompt": "a red bicycle", "images": %s}' % ITEMS),
        ("/api/images/batch", b'{"userId": "user123", "items": %s}' % ITEMS),
    ],
)
def test_absurdly_many_names_and_items_are_refused_in_few_words(service: Service, path: str, content: bytes) -> None:
    before = service.footprint()

    answer = service.client.post(path, content=content, headers={"Content-Type": "application/json"})

    # Each of them as an error of its own is ten seconds of the loop's time, and megabytes of answer.
    assert len(answer.content) < 2000
    assert any(told in answer.text for told in ("more than 1000 names", "Longer than 1000 items"))
    assert service.footprint() == before


def test_large_bodies_do_not_hold_up_the_others(service: Service) -> None:
    large = json.dumps({"model": "flux-pro", "inputs": {"prompt": "a", "x": "b" * 25_000_000}, "userId": "user123"}).encode()
    many = b'{"model": [' + b"1," * 12_000_000 + b"1]}"

    with ThreadPoolExecutor(4) as pool:
        posts = [pool.submit(post_generation, service, body) for body in (large, many, large, many)]
        answered = 0
        while not all(post.done() for post in posts):
            answered += service.client.get("/healthz").status_code == 200

    assert {post.result() for post in posts} == {400}
    # A server that parses them in its turn answers about once between two of them.
    assert answered >= 12


def post_generation(service: Service, body: bytes) -> int:
    headers = {"Content-Type": "application/json"}
    return httpx.post(f"{service.client.base_url}/api/images/generate", content=body, headers=headers, timeout=120).status_code


def test_a_wrong_credential_costs_nothing_however_large_its_body(service: Service) -> None:
    began = time.monotonic()

    answer = service.client.post("/api/images/generate", content=b'{"a":' * 5_000_000, headers=WRONG_KEY)

    assert answer.status_code == 401
    assert time.monotonic() - began < 20
