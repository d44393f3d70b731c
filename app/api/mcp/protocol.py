"""The Model Context Protocol: JSON-RPC messages, which revisions are spoken, and what their headers must say. Nothing of tools.

There are two eras. Up to 2025-11-25 a client begins with `initialize`; since 2026-07-28 each request says in its `_meta` what `initialize`
said before, and headers repeat what is in the body. https://modelcontextprotocol.io/specification (read on 2026-11-26, beside the
official SDK, mcp 2.3.0). Sessions, streams and calls back to the client are optional in both, and not needed here.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from werkzeug.datastructures import Headers

HANDSHAKE = ("2025-06-18", "2025-11-25")
MODERN = ("2026-07-28",)
SPOKEN = (*HANDSHAKE, *MODERN)

META = "io.modelcontextprotocol/"
SERVER = {"name": "imagegw", "title": "Image generation gateway", "version": "1"}
VERSION_HEADER = "MCP-Protocol-Version"
#: How a header carries what a header cannot: other characters than printable ASCII.
PACKED = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
#: The tools of a key change when an operator changes the key.
LISTS_LAST_MS = 60_000


class Code(IntEnum):
    NOT_JSON = -32700
    INVALID_REQUEST = -32600
    UNKNOWN_METHOD = -32601
    INVALID_PARAMS = -32602
    INTERNAL = -32603
    HEADER_MISMATCH = -32020
    UNKNOWN_VERSION = -32022


class Refusal(Exception):
    """A message that cannot be answered with a result; `status` is HTTP's."""

    def __init__(self, code: Code, message: str, *, data: Any = None, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.data, self.status = code, message, data, status


@dataclass(frozen=True)
class Message:
    """A request, or without an id a notification; `version` is the revision in which it is answered."""

    id: str | int | None
    method: str
    params: Mapping[str, Any]
    version: str

    @property
    def is_modern(self) -> bool:
        return self.version in MODERN

    def result(self, result: Mapping[str, Any], *, lasts_ms: int | None = None) -> dict[str, Any]:
        """Return the answer, with what this revision wants beside the result; `lasts_ms` for what clients may keep."""
        extra: dict[str, Any] = {}
        if self.is_modern:
            extra = {"resultType": "complete", "_meta": {**result.get("_meta", {}), f"{META}serverInfo": SERVER}}
            if lasts_ms is not None:
                extra |= {"ttlMs": lasts_ms, "cacheScope": "private"}
        return {"jsonrpc": "2.0", "id": self.id, "result": {**result, **extra}}

    def refusal(self, code: Code, message: str, data: Any = None) -> Refusal:
        """Return what refuses this message. A well-formed one was answered with 200 before 2026, whatever the answer said."""
        status = {Code.UNKNOWN_METHOD: 404}.get(code, 400) if self.is_modern else 200
        return Refusal(code, message, data=data, status=status)


def refusal_body(refusal: Refusal, message_id: str | int | None) -> dict[str, Any]:
    error = {"code": int(refusal.code), "message": refusal.message} | ({} if refusal.data is None else {"data": refusal.data})
    return {"jsonrpc": "2.0", "id": message_id, "error": error}


def spoken_version(header: str | None) -> str:
    """Return the revision a request asks for; without the header, as from a person with curl, the latest that needs none.

    Raises Refusal naming those that are spoken.
    """
    if header is None:
        return HANDSHAKE[-1]
    if header not in SPOKEN:
        data = {"supported": list(SPOKEN), "requested": header}
        raise Refusal(Code.UNKNOWN_VERSION, f"{VERSION_HEADER} {header!r} is not spoken here; one of {', '.join(SPOKEN)} is", data=data)
    return header


def id_of(body: Mapping[str, Any]) -> str | int | None:
    """Return a message's id where it has a usable one."""
    found = body.get("id")
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None


def message_of(body: Mapping[str, Any], version: str) -> Message | None:
    """Return what a body says; None for an answer of the client's, which nobody has asked for. Raises Refusal."""
    if body.get("jsonrpc") != "2.0":
        raise Refusal(Code.INVALID_REQUEST, 'A message has "jsonrpc": "2.0"')
    method, params = body.get("method"), body.get("params", {})
    if "method" not in body and "id" in body and ("result" in body or "error" in body) and version in HANDSHAKE:
        return None
    if not isinstance(method, str) or not method:
        raise Refusal(Code.INVALID_REQUEST, "A message names its method")
    if not isinstance(params, dict):
        raise Refusal(Code.INVALID_REQUEST, "params must be an object")
    if "id" in body and id_of(body) is None:
        raise Refusal(Code.INVALID_REQUEST, "id must be a string or a whole number")
    return Message(id_of(body), method, params, version)


def check_headers(message: Message, headers: Headers) -> None:
    """Raise Refusal where a request and its headers say different things, or it lacks what its revision asks for."""
    meta = message.params.get("_meta")
    said = meta if isinstance(meta, dict) else {}
    if not message.is_modern:
        if said.get(f"{META}protocolVersion") in MODERN and message.method != "initialize":
            raise Refusal(Code.HEADER_MISMATCH, f"Send the header {VERSION_HEADER} with what _meta says")
        return
    missing = [name for name in (f"{META}protocolVersion", f"{META}clientCapabilities") if name not in said]
    if missing:
        raise Refusal(Code.INVALID_PARAMS, f"params._meta lacks {', '.join(missing)}")
    name = message.params.get("name") if message.method == "tools/call" else None
    pairs = (
        (VERSION_HEADER, headers.get(VERSION_HEADER), said[f"{META}protocolVersion"]),
        ("Mcp-Method", headers.get("Mcp-Method"), message.method),
        ("Mcp-Name", _unpacked(headers.get("Mcp-Name")) if name is not None else None, name),
    )
    for header, sent, meant in pairs:
        if sent != meant:
            raise Refusal(Code.HEADER_MISMATCH, f"The header {header} does not say what the message says")


def _unpacked(text: str | None) -> str | None:
    packed = PACKED.fullmatch(text or "")
    if packed is None:
        return text
    try:
        return base64.b64decode(packed[1], validate=True).decode()
    except (binascii.Error, ValueError):
        return None
