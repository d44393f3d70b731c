"""The receivers that docs/webhooks.md shows, run as they stand: they take what is genuine and refuse what is not."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

from scripts.stack.ports import free_port
from tests.support.node import node_folder
from tests.unit.test_docs import code_of

PAGE = "docs/webhooks.md"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
BODY = json.dumps({"type": "job.completed", "timestamp": "2026-11-26T10:00:00.000Z", "data": {"prompt": "ein rotes Fahrrad für Käthe"}})


def started(language: str, port: int, folder: Path) -> subprocess.Popen[str]:
    (code,) = [code for code in code_of(PAGE, language) if "WEBHOOK_SECRET" in code]
    command = [sys.executable, "receiver.py"] if language == "python" else ["node", "receiver.mjs"]
    place = folder if language == "python" else node_folder()
    (place / command[1]).write_text(code)
    settings = {**os.environ, "WEBHOOK_SECRET": SECRET, "PORT": str(port)}
    return subprocess.Popen(command, cwd=place, env=settings, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def posted(url: str, body: str, secret: str) -> int:
    """Post a webhook as soon as somebody listens; return the answer's status."""
    now, deadline = datetime.now(UTC), time.monotonic() + 30
    signature = Webhook(secret).sign("msg_1", now, body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    while True:
        try:
            return httpx.post(url, content=body, headers=headers | {"Content-Type": "application/json"}).status_code
        except httpx.TransportError:
            assert time.monotonic() < deadline, "nobody listens"
            time.sleep(0.05)


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_a_receiver_of_the_documents_takes_what_is_genuine_and_refuses_a_forgery(language: str, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/hook"

    with started(language, port, tmp_path) as process:
        try:
            statuses = [posted(url, BODY, SECRET), posted(url, BODY, "whsec_" + "A" * 32), posted(url, BODY, SECRET)]
        finally:
            process.terminate()
        output = process.stdout.read() if process.stdout else ""

    assert statuses[0] == statuses[2] == 204
    assert statuses[1] >= 400
    assert [line for line in output.splitlines() if line.startswith("msg_")] == ["msg_1 job.completed"] * 2
