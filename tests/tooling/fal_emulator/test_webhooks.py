from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.support.emulator import Emulator
from tests.support.fal_calls import submit, wait_until


class Receiver:
    """A web server that keeps what it is sent and answers with the statuses given, then with 200."""

    def __init__(self) -> None:
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.calls.append((dict(self.headers), body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


def signing_keys(fal: Emulator, headers: dict[str, str], body: bytes) -> list[str]:
    """Return the published keys under which the signature is right."""
    parts = [headers[f"X-Fal-Webhook-{name}"] for name in ("Request-Id", "User-Id", "Timestamp")]
    message = "\n".join([*parts, hashlib.sha256(body).hexdigest()]).encode()
    found = []
    for key in fal.http.get("/.well-known/jwks.json").json()["keys"]:
        public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
        try:
            public.verify(bytes.fromhex(headers["X-Fal-Webhook-Signature"]), message)
        except InvalidSignature:
            continue
        found.append(key["kid"])
    return found


def test_a_webhook_is_signed_with_one_of_several_published_keys(fal: Emulator, receiver: Receiver) -> None:
    submitted = submit(fal, webhook=receiver.url).json()

    headers, raw = wait_until(lambda: receiver.calls)[0]

    body = json.loads(raw)
    assert signing_keys(fal, headers, raw) == ["webhook"]
    assert len(fal.http.get("/.well-known/jwks.json").json()["keys"]) > 1
    assert abs(time.time() - int(headers["X-Fal-Webhook-Timestamp"])) < 5
    assert (body["request_id"], body["status"]) == (submitted["request_id"], "OK")
    assert body["payload"]["images"][0]["url"].startswith(fal.base_url)


def test_a_failed_run_is_told_with_the_failures_body(fal: Emulator, receiver: Receiver) -> None:
    fal.outcome("content_policy")
    submit(fal, webhook=receiver.url)

    body = json.loads(wait_until(lambda: receiver.calls)[0][1])

    assert (body["status"], body["error"]) == ("ERROR", "Invalid status code: 422")
    assert body["payload"]["detail"][0]["type"] == "content_policy_violation"


def test_a_webhook_is_repeated_until_taken_but_not_after_a_redirect(fal: Emulator, receiver: Receiver) -> None:
    fal.settings(webhookRetrySeconds=[0.05, 0.05])
    receiver.statuses = [500, 404, 200, 302]

    submit(fal, webhook=receiver.url)
    wait_until(lambda: fal.stats()["webhooksDelivered"] == 1)
    submit(fal, webhook=receiver.url)
    wait_until(lambda: fal.stats()["webhooksFailed"] == 1)

    statuses = [[delivery["status"] for delivery in request["deliveries"]] for request in fal.requests()]
    assert statuses == [[500, 404, 200], [302]]


def test_webhooks_can_be_repeated_late_forged_old_or_withheld(fal: Emulator, receiver: Receiver) -> None:
    fal.fault("webhook", "repeat", value=2, promptContains="repeat")
    fal.fault("webhook", "delayed", seconds=0.4, promptContains="late")
    fal.fault("webhook", "wrong_signature", promptContains="forged")
    fal.fault("webhook", "old_timestamp", promptContains="old")
    fal.fault("webhook", "withheld", promptContains="withheld")
    names = ("repeat", "late", "forged", "old", "withheld")

    ids = {name: submit(fal, prompt=name, webhook=receiver.url).json()["request_id"] for name in names}
    wait_until(lambda: len(receiver.calls) == 5)

    calls = {name: [call for call in receiver.calls if ids[name] in call[1].decode()] for name in names}
    assert {name: len(found) for name, found in calls.items()} == dict.fromkeys(names, 1) | {"repeat": 2, "withheld": 0}
    assert ids["late"] in receiver.calls[-1][1].decode()
    assert signing_keys(fal, *calls["forged"][0]) == []
    assert signing_keys(fal, *calls["old"][0]) == ["webhook"]
    assert time.time() - int(calls["old"][0][0]["X-Fal-Webhook-Timestamp"]) > 300
