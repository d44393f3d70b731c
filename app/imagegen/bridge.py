"""`imagegen mcp`: an agent's program speaks on standard input and output, the gateway over HTTP; each line is a message, sent on as it is.

The credential stays here: agents' programs write arguments into their logs and pass them to models.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
import uuid
from collections.abc import Mapping
from typing import IO, Any

import click
import httpx

from imagegen.gateway import Gateway
from imagegen.outcomes import ClientError
from imagegen.session import Session, with_session

PATH = "/mcp"
META_VERSION = "io.modelcontextprotocol/protocolVersion"
NOT_JSON, NOT_ANSWERED = -32700, -32603
#: More messages at once than this wait for each other.
AT_ONCE = 32
Message = dict[str, Any]


class Bridge:
    """Sends each message on in a thread of its own: a picture that is waited for keeps nothing else waiting."""

    def __init__(self, gateway: Gateway, out: IO[bytes]) -> None:
        self._gateway, self._out = gateway, out
        self._writing = threading.Lock()
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._threads: set[threading.Thread] = set()
        self._version: str | None = None

    def run(self, lines: IO[bytes]) -> None:
        """Answer every line; returns when the input has ended and all is answered."""
        for line in lines:
            if line.strip():
                self._take(line)
        for thread in list(self._threads):
            thread.join()

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return self._write(_error(None, NOT_JSON, "This line is not JSON"))
        if not isinstance(message, dict) or message.get("method") == "initialize":
            return self._pass_on(message, line)  # What is agreed upon in `initialize` is said with all that follows.
        thread = threading.Thread(target=self._in_its_place, args=(message, line), daemon=True)
        self._threads.add(thread)
        return thread.start()

    def _in_its_place(self, message: Message, line: bytes) -> None:
        with self._places:
            self._pass_on(message, line)
        self._threads.discard(threading.current_thread())

    def _pass_on(self, message: Any, line: bytes) -> None:
        asked = message if isinstance(message, dict) else {}
        try:
            answer = _answer_of(self._gateway.relay(PATH, line, headers=self._headers(asked)))
        except ClientError as exc:
            answer = _error(None, NOT_ANSWERED, f"{exc.message}. Whether an order has arrived is not known; list_jobs shows it if so")
        if asked.get("method") == "initialize" and isinstance(result := (answer or {}).get("result"), dict):
            self._version = result.get("protocolVersion")
        if answer is not None and (asked.get("id") is not None or not asked):
            self._write({**answer, "id": asked.get("id", answer.get("id"))})

    def _headers(self, message: Mapping[str, Any]) -> dict[str, str]:
        """Return what HTTP wants said beside a message. A key of its own makes an order that is sent again the same order."""
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        meta = params.get("_meta")
        modern = meta.get(META_VERSION) if isinstance(meta, dict) else None
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Idempotency-Key": uuid.uuid4().hex}
        if isinstance(modern, str):
            headers |= {"MCP-Protocol-Version": modern, "Mcp-Method": _header(message.get("method"))}
            if isinstance(params.get("name"), str):
                headers["Mcp-Name"] = _header(params["name"])
        elif self._version and message.get("method") != "initialize":
            headers["MCP-Protocol-Version"] = self._version
        return headers

    def _write(self, message: Message) -> None:
        with self._writing:
            self._out.write(json.dumps(message).encode() + b"\n")
            self._out.flush()


@click.command("mcp", short_help="Serve agents on standard input and output.")
@with_session
def mcp(session: Session) -> int:
    """Be an MCP server on standard input and output, for agents that start their servers as commands."""
    with session.gateway() as gateway:
        Bridge(gateway, sys.stdout.buffer).run(sys.stdin.buffer)
    return 0


def _answer_of(response: httpx.Response) -> Message | None:
    """Return the gateway's message; None where it has none to send. What is no message becomes one that says so."""
    if not response.content:
        return None
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if isinstance(answer, dict) and answer.get("jsonrpc") == "2.0":
        return answer
    return _error(None, NOT_ANSWERED, f"{response.request.url.host} answers {response.status_code}, and not as an image gateway does")


def _error(message_id: Any, code: int, text: str) -> Message:
    return {"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": text}}


def _header(value: Any) -> str:
    """Return a text as a header can carry it."""
    text = str(value)
    if text.isascii() and text.isprintable() and text == text.strip() and not text.startswith("=?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode('utf-8', 'replace')).decode()}?="
