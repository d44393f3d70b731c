"""Heads that two servers could read in two ways, or that are no HTTP: what is wrong with one, and the answer to it.

A proxy and this server must never disagree about where a request ends: else one client's bytes become another's request.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from email import errors
from email.message import Message
from http import HTTPStatus

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
DIGITS = re.compile(r"[0-9]{1,18}")
TARGET = re.compile(r"[!-~]+")
#: A value over several lines, or with a character that another server may take for the end of a line.
BROKEN_VALUE = re.compile(r"[\r\n\0]")
TEMPORARY = (503,)
NO_HEADER = (errors.MissingHeaderBodySeparatorDefect, errors.FirstHeaderLineIsContinuationDefect)


@dataclass(frozen=True)
class Refusal:
    status: int
    code: str
    message: str


def refusal_of(version: str, target: str, headers: Message) -> Refusal | None:
    """Return why a head is refused, or None. `target` is as the client wrote it, `version` such as `HTTP/1.1`."""
    return _of_line(version, target) or _of_headers(headers) or _of_host(version, headers) or _of_length(version, headers)


def refused(refusal: Refusal, *, is_head: bool = False) -> bytes:
    """Return a whole answer in the one error body; the connection ends with it."""
    request_id = str(uuid.uuid4())
    body = {
        "success": False,
        "status": refusal.status,
        "code": refusal.code,
        "message": refusal.message,
        "retryable": refusal.status in TEMPORARY,
        "requestId": request_id,
    }
    content = json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        f"X-Request-Id: {request_id}",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *(["Retry-After: 2"] if refusal.status in TEMPORARY else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if is_head else content)


def _bad(message: str) -> Refusal:
    return Refusal(400, "bad_request", message)


def _of_line(version: str, target: str) -> Refusal | None:
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        return Refusal(505, "http_version_not_supported", "This server speaks HTTP/1.1")
    if not TARGET.fullmatch(target):
        return _bad("The address has characters that must be percent-encoded")
    return None


def _of_headers(headers: Message) -> Refusal | None:
    # Others of the parser's complaints are about the parts of a mail, which a form's type looks like.
    if any(isinstance(defect, NO_HEADER) for defect in headers.defects):
        return _bad("A line of the head is no header")
    for name, value in headers.items():
        if not TOKEN.fullmatch(name) or BROKEN_VALUE.search(str(value)):
            return _bad("A header's name or value has characters that it may not have")
    return None


def _of_host(version: str, headers: Message) -> Refusal | None:
    hosts = headers.get_all("Host", [])
    if len(hosts) > 1 or (not hosts and version != "HTTP/1.0"):
        return _bad("Send exactly one Host header")
    return None


def _of_length(version: str, headers: Message) -> Refusal | None:
    lengths, codings = headers.get_all("Content-Length", []), headers.get_all("Transfer-Encoding", [])
    if lengths and codings:
        return _bad("Content-Length and Transfer-Encoding are not allowed together")
    if len(set(lengths)) > 1 or not all(DIGITS.fullmatch(length) for length in lengths):
        return _bad("Content-Length must be one number")
    if codings and version == "HTTP/1.0":
        return _bad("Transfer-Encoding needs HTTP/1.1")
    if codings and [coding.strip().lower() for coding in codings] != ["chunked"]:
        return Refusal(501, "not_implemented", "The only Transfer-Encoding here is chunked")
    return None
