"""`imagegen webhook-listen` receives webhooks, verifies and prints them; `imagegen webhook-verify` checks one that was kept."""

from __future__ import annotations

import collections
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any

import click

from imagegen.outcomes import ClientError, Exit, WrongCall
from imagegen.session import AMOUNT, Session, with_session
from imagegen.showing import emit, notice, say
from imagegen.signatures import Forged, key_of, verify

#: A webhook has 20 kB at most; more is not read.
MAX_BODY_BYTES = 1_000_000
REMEMBERED_IDS = 10_000
CLIENT_TIMEOUT_S = 15
SECRET_OPTION = click.option(
    "--secret",
    "secrets",
    multiple=True,
    envvar="IMAGEGEN_WEBHOOK_SECRET",
    metavar="WHSEC",
    help="The endpoint's secret; several while one is rotated. Otherwise your own, asked of the gateway.  [IMAGEGEN_WEBHOOK_SECRET]",
)
Report = Callable[[dict[str, Any]], None]


class Inbox:
    """What has come: each webhook is verified and reported once for every time that it arrives."""

    def __init__(self, keys: Sequence[bytes], report: Report, *, clock: Callable[[], float] = time.time) -> None:
        self._keys, self._report, self._clock = keys, report, clock
        self._seen: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._lock = threading.Lock()

    def take(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Verify and report a webhook; tell whether it is genuine. `headers` by their names in lower case."""
        now = self._clock()
        found: dict[str, Any] = {"id": headers.get("webhook-id"), "verified": True, "again": False, "body": _json(body)}
        try:
            message_id = verify(headers, body, self._keys, now_s=now)
        except Forged as exc:
            found |= {"verified": False, "reason": str(exc)}
            message_id = None
        with self._lock:  # Lines of two webhooks must not be mixed.
            if message_id is not None:
                found["again"] = message_id in self._seen
                self._seen[message_id] = None
                if len(self._seen) > REMEMBERED_IDS:
                    self._seen.popitem(last=False)
            self._report(found)
        return message_id is not None


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_TIMEOUT_S

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return self._answer(HTTPStatus.LENGTH_REQUIRED)
        if int(length) > MAX_BODY_BYTES:
            return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return None
        server: Listener = self.server  # type: ignore[assignment]
        is_genuine = server.inbox.take({name.lower(): value for name, value in self.headers.items()}, body)
        return self._answer(HTTPStatus(server.status) if is_genuine else HTTPStatus.UNAUTHORIZED)

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing: what has come is reported by the inbox."""


class Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, inbox: Inbox, *, status: int) -> None:
        super().__init__((host, port), _Handler)
        self.inbox, self.status = inbox, status

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone."""


@click.command("webhook-listen", short_help="Receive webhooks here, verify and print each.")
@click.option("--port", default=8787, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--status", default=200, show_default=True, type=click.IntRange(200, 599), help="What to answer to a genuine webhook.")
@SECRET_OPTION
@with_session
def webhook_listen(session: Session, *, port: int, host: str, status: int, secrets: Sequence[str]) -> int:
    """Receive webhooks here until Ctrl-C; verify and print each. One that is not genuine is answered with 401."""
    inbox = Inbox(_keys(session, secrets), _reporter(as_json=session.as_json))
    try:
        listener = Listener(host, port, inbox, status=status)
    except OSError as exc:
        raise WrongCall(f"Cannot listen at {host}:{port}: {exc.strerror}") from exc
    with listener:
        notice(f"Listening at http://{host}:{listener.server_port}/; Ctrl-C ends it")
        try:
            listener.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


@click.command("webhook-verify", short_help="Verify a webhook that was kept.")
@click.argument("body", type=click.File("rb"))
@click.option("--id", "message_id", required=True, metavar="ID", help="The header webhook-id.")
@click.option("--timestamp", required=True, metavar="SECONDS", help="The header webhook-timestamp.")
@click.option("--signature", required=True, metavar="V1", help="The header webhook-signature.")
@click.option("--tolerance", type=AMOUNT, help="How many seconds old it may be; of any age unless given.", metavar="SECONDS")
@SECRET_OPTION
@with_session
def webhook_verify(
    session: Session, *, body: IO[bytes], message_id: str, timestamp: str, signature: str, tolerance: float | None, secrets: Sequence[str]
) -> int:
    """Verify a webhook that was kept: BODY is a file with its very bytes, or - for standard input. Ends with 1 for a forged one."""
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}
    try:
        verify(headers, body.read(), _keys(session, secrets), now_s=time.time(), tolerance_s=tolerance)
    except Forged as exc:
        raise NotGenuine(f"Not genuine: {exc}") from exc
    emit({"verified": True, "id": message_id}) if session.as_json else say(f"{message_id} is genuine")
    return 0


class NotGenuine(ClientError):
    exit_code = Exit.FAILED
    code = "forged"


def _keys(session: Session, secrets: Sequence[str]) -> list[bytes]:
    """Return the keys to verify with: of the secrets that were named, else the caller's own, by which webhooks of orders are signed."""
    if not secrets:
        with session.gateway() as gateway:
            secrets = [str(gateway.get("/api/webhooks/secret")["secret"])]
    return [key_of(secret) for secret in secrets]


def _reporter(*, as_json: bool) -> Report:
    return emit if as_json else _say_webhook


def _say_webhook(found: Mapping[str, Any]) -> None:
    body = found["body"] if isinstance(found["body"], dict) else {}
    mark = "verified" if found["verified"] else f"NOT GENUINE ({found['reason']})"
    say(" ".join(str(word) for word in (body.get("timestamp", "-"), body.get("type", "-"), found["id"], mark, *_more(found, body))))


def _more(found: Mapping[str, Any], body: Mapping[str, Any]) -> list[str]:
    data = body.get("data")
    job = data.get("jobId") or data.get("batchId") if isinstance(data, dict) else None
    return [*([str(job)] if job else []), *(["(again)"] if found["again"] else [])]


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")
