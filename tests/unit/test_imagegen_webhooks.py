"""`imagegen webhook-listen` and `webhook-verify`: the verifier is ours, what it must take is signed by the library of Standard Webhooks."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner, Result
from standardwebhooks import Webhook

from imagegen.cli import cli
from imagegen.signatures import Forged, key_of, verify
from imagegen.webhooks import Inbox, Listener

SECRET = "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OTHER = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = json.dumps({"type": "job.completed", "timestamp": "2026-11-26T10:00:00.000Z", "data": {"jobId": "a-job"}})
NOW = time.time()


def signed(body: str = BODY, *, secret: str = SECRET, message_id: str = "msg_1", age_s: float = 0, now_s: float = NOW) -> dict[str, str]:
    at = datetime.fromtimestamp(now_s, UTC) - timedelta(seconds=age_s)
    signature = Webhook(secret).sign(message_id, at, body)
    return {"Webhook-Id": message_id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def fresh(**more: Any) -> dict[str, str]:
    return signed(now_s=time.time(), **more)


def test_what_the_library_of_standard_webhooks_signs_is_genuine() -> None:
    assert verify(signed(), BODY.encode(), [key_of(SECRET)], now_s=NOW) == "msg_1"


def test_one_of_two_signatures_by_one_of_two_keys_is_enough() -> None:
    headers = signed()
    headers["webhook-signature"] = f"v1a,abc {signed(secret=OTHER)['webhook-signature']} {headers['webhook-signature']}"

    assert verify(headers, BODY.encode(), [key_of("whsec_AAAA"), key_of(SECRET)], now_s=NOW) == "msg_1"


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        (signed(), BODY + " ", "the signature does not fit"),
        (signed(secret=OTHER), BODY, "the signature does not fit"),
        (signed() | {"webhook-signature": "v1,é"}, BODY, "the signature does not fit"),
        (signed() | {"Webhook-Id": "msg_2"}, BODY, "the signature does not fit"),
        (signed(age_s=301), BODY, "seconds off"),
        (signed(age_s=-302), BODY, "seconds off"),
        (signed() | {"webhook-timestamp": "now"}, BODY, "no number of seconds"),
        ({}, BODY, "without the header webhook-id"),
        ({"webhook-id": "msg_1", "webhook-timestamp": "1"}, BODY, "without the header webhook-signature"),
    ],
)
def test_anything_else_is_not_and_the_reason_is_said(headers: dict[str, str], body: str, reason: str) -> None:
    with pytest.raises(Forged, match=reason):
        verify(headers, body.encode(), [key_of(SECRET)], now_s=NOW)


@contextmanager
def listening(reports: list[dict[str, Any]], **more: Any) -> Iterator[str]:
    inbox = Inbox([key_of(SECRET)], reports.append)
    with Listener("127.0.0.1", 0, inbox, status=more.get("status", 200)) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_port}/hook"
        finally:
            listener.shutdown()
            thread.join()


def test_the_listener_reports_each_webhook_tells_a_repeat_and_answers_a_forgery_with_401() -> None:
    reports: list[dict[str, Any]] = []

    with listening(reports) as url:
        answers = [httpx.post(url, content=BODY, headers=headers).status_code for headers in (fresh(), fresh(), fresh(secret=OTHER))]

    assert answers == [200, 200, 401]
    assert [(found["id"], found["verified"], found["again"]) for found in reports] == [
        ("msg_1", True, False),
        ("msg_1", True, True),
        ("msg_1", False, False),
    ]
    assert reports[0]["body"]["data"] == {"jobId": "a-job"}


def test_the_listener_can_be_told_to_fail_so_that_retries_can_be_seen() -> None:
    with listening([], status=503) as url:
        answer = httpx.post(url, content=BODY, headers=fresh())

    assert answer.status_code == 503


def test_the_listener_reads_no_body_that_no_webhook_has() -> None:
    reports: list[dict[str, Any]] = []

    with listening(reports) as url:
        chunked = httpx.post(url, content=iter([b"x"]), headers=fresh())
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        connection.putrequest("POST", "/hook")
        connection.putheader("Content-Length", "1000001")
        connection.endheaders()
        huge = connection.getresponse().status
        connection.close()

    assert (chunked.status_code, huge, reports) == (411, 413, [])


def verified(tmp_path: Path, *arguments: str, headers: dict[str, str] | None = None, secret: str = SECRET) -> Result:
    (tmp_path / "body.json").write_text(BODY)
    lower = {name.lower(): value for name, value in (headers or signed(age_s=9000)).items()}
    options = [word for name in ("id", "timestamp", "signature") for word in (f"--{name}", lower[f"webhook-{name}"])]
    call = ["webhook-verify", str(tmp_path / "body.json"), *options, "--secret", secret, *arguments]
    return CliRunner().invoke(cli, call, standalone_mode=False)


def test_a_kept_webhook_of_any_age_is_verified(tmp_path: Path) -> None:
    found = verified(tmp_path, "--json")

    assert (found.return_value, json.loads(found.stdout)) == (0, {"verified": True, "id": "msg_1"})


def test_a_forged_or_too_old_one_ends_with_1_and_what_is_no_secret_with_2(tmp_path: Path) -> None:
    assert verified(tmp_path, headers=signed(secret=OTHER)).return_value == 1
    assert verified(tmp_path, "--tolerance", "60").return_value == 1
    assert verified(tmp_path, secret="whsec_%%%").return_value == 2
