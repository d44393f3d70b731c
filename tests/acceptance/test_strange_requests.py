"""Requests that are no HTTP, or that two servers could read in two ways: each has the one error body and its right status."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest

from tests.acceptance.service import Service

HOST = b"Host: localhost\r\n"
LOGIN = b"POST /api/auth/login HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"


def spoken(service: Service, request: bytes) -> tuple[int, dict[str, Any]]:
    """Send a request as it stands; return the status and the body of the first answer."""
    with socket.create_connection(("127.0.0.1", service.client.base_url.port or 80), timeout=10) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, rest = answer.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    return int(head.split()[1]), json.loads(rest[:length])


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, id="address too long"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 9000 + b"\r\n\r\n", 431, id="header too long"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 200 + b"\r\n", 431, id="too many headers"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + (b"X: " + b"a" * 8000 + b"\r\n") * 10 + b"\r\n", 431, id="headers too large"),
        pytest.param(b"nonsense\r\n\r\n", 400, id="no request"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, id="HTTP/2"),
        pytest.param(b"GET /healthz HTTP/9.9\r\n" + HOST + b"\r\n", 505, id="HTTP/9.9"),
        pytest.param(b"GET /healthz HTTP/x\r\n" + HOST + b"\r\n", 400, id="no version"),
        pytest.param(b"GET /healthz\r\n\r\n", 505, id="HTTP/0.9"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400, id="two hosts"),
        pytest.param(b"GET /caf\xe9 HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="bytes in the address"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + b"no colon\r\n\r\n", 400, id="no header"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n", 400, id="blank before the colon"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400, id="folded"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", 400, id="NUL in a header"),
        pytest.param(LOGIN + b"Content-Length: -1\r\n\r\n", 400, id="negative length"),
        pytest.param(LOGIN + b"Content-Length: +2\r\n\r\n{}", 400, id="signed length"),
        pytest.param(LOGIN + b"Content-Length: 1_0\r\n\r\n{}        ", 400, id="underscored length"),
        pytest.param(LOGIN + b"Content-Length: abc\r\n\r\n", 400, id="no length"),
        pytest.param(LOGIN + b"Content-Length:\r\n\r\n", 400, id="empty length"),
        pytest.param(LOGIN + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400, id="length of thousands of digits"),
        pytest.param(LOGIN + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, id="two lengths"),
        pytest.param(LOGIN + b"Content-Length: 2, 2\r\n\r\n{}", 400, id="a list of lengths"),
        pytest.param(LOGIN + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="length and chunks"),
        pytest.param(LOGIN + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, id="another coding"),
        pytest.param(LOGIN + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, id="nearly chunked"),
        pytest.param(LOGIN + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501, id="chunked twice"),
        pytest.param(LOGIN.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="chunks in HTTP/1.0"),
        pytest.param(LOGIN + b"Transfer-Encoding: chunked\r\n\r\nz\r\n{}\r\n0\r\n\r\n", 400, id="no size of a chunk"),
        pytest.param(LOGIN + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", 400, id="0x"),
        pytest.param(LOGIN + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", 400, id="negative chunk"),
        pytest.param(LOGIN + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n", 400, id="longer chunk"),
        pytest.param(LOGIN + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}", 400, id="half a chunk"),
        pytest.param(LOGIN + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n", 400, id="chunks by newlines"),
        pytest.param(LOGIN + b"Content-Length: 9\r\n\r\n{}", 400, id="half a body"),
        pytest.param(b"GET /api/jobs/%00 HTTP/1.1\r\n" + HOST + b"\r\n", 404, id="NUL in the path"),
        pytest.param(b"GET /api/jobs/%zz%ff HTTP/1.1\r\n" + HOST + b"\r\n", 404, id="bad percent encoding"),
        pytest.param(b"GET /files/" + b"a" * 300 + b".png HTTP/1.1\r\n" + HOST + b"\r\n", 404, id="name too long"),
        pytest.param(b"GET /files/" + b"a/" * 3000 + b"a.png HTTP/1.1\r\n" + HOST + b"\r\n", 404, id="folders too deep"),
        pytest.param(b"GET /files/%00.png HTTP/1.1\r\n" + HOST + b"\r\n", 404, id="NUL in a name"),
        pytest.param(b"NONSENSE /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 405, id="unknown method"),
        pytest.param(b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"\r\n", 404, id="CONNECT"),
        pytest.param(b"GET http://other/healthzz HTTP/1.1\r\n" + HOST + b"\r\n", 404, id="absolute address"),
    ],
)
def test_a_strange_request_has_the_one_error_body(service: Service, request_bytes: bytes, status: int) -> None:
    seen, body = spoken(service, request_bytes)

    assert (seen, body["status"], body["success"]) == (status, status, False), body
    assert body["requestId"]
    assert body["message"]


def test_a_head_may_end_its_lines_by_newlines_alone_and_come_by_http_1_0(service: Service) -> None:
    assert spoken(service, b"GET /healthz HTTP/1.0\n\n") == (200, {"status": "ok"})


@pytest.mark.parametrize("digits", ["9" * 5000, "\u0664\u0662", "1e3", "-1", ""])
def test_a_webhooks_timestamp_that_is_none_is_refused(service: Service, digits: str) -> None:
    headers = [(b"X-Fal-Webhook-Timestamp", digits.encode()), (b"X-Fal-Webhook-Signature", b"00")]

    answer = httpx.post(f"{service.client.base_url}/api/webhooks/fal/x/0", content=b"{}", headers=headers, trust_env=False)

    assert answer.status_code == 401


def test_two_requests_at_once_are_answered_one_after_the_other(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.client.base_url.port or 80), timeout=10) as client:
        body = b'{"email": "a@example.com", "password": "wrong"}'
        chunked = b"Transfer-Encoding: chunked\r\n\r\n%x;note=1\r\n%s\r\n0\r\nTrailer: x\r\n\r\n" % (len(body), body)
        client.sendall(LOGIN + chunked + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: client.recv(65536), b""))

    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] in ([b"401", b"200"], [b"400", b"200"])
