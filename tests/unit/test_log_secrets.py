"""What reads the logs of a test run finds each kind of secret, however it is spelled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.log_secrets import LogReader, leaks, secrets_of

ENV = {"JWT_SECRET": "j" * 40, "MONGODB_URI": "mongodb://app:mongo-password@db/imagegw", "REDIS_URL": "redis://localhost", "FAL_KEY": ""}
PASSWORD = "geheimes café 1234"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("X-API-Key: igk_0123456789abcdef_" + "k" * 43, "an API key"),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "a token"),
        ('{"event": "ordered", "prompt": "a red bicycle"}', "a prompt"),
        ("secret is " + "j" * 40, "a secret of this run"),
        ("cannot reach mongodb://app:mongo-password@db", "a secret of this run"),
        ("password = " + PASSWORD, "a secret of this run"),
        ('{"exception": "geheimes caf\\u00e9 1234"}', "a secret of this run"),
    ],
)
def test_a_secret_in_a_log_is_found(tmp_path: Path, line: str, what: str) -> None:
    log = tmp_path / "web.log"
    log.write_text(f"GET /healthz 200\n{line}\n")

    assert list(leaks(log, [PASSWORD, *secrets_of(ENV)])) == [(what, line)]


def test_a_log_without_secrets_is_clean(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("POST /api/auth/password 200\njob completed igk_0123456789abcdef\n")

    assert list(leaks(log, [PASSWORD, *secrets_of(ENV)])) == []


def test_the_passwords_of_requests_are_remembered_and_common_words_are_not() -> None:
    reader = LogReader()

    for body in (
        b'{"password": "correct horse battery"}',
        b'{"newPassword": "a lighthouse at dawn"}',
        b'{"password": "password"}',
        b"[1]",
        b"x",
    ):
        reader.note_request(body)

    assert reader._passwords == {"correct horse battery", "a lighthouse at dawn"}


def test_what_was_asked_for_is_no_prompt_that_leaked(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text('{"event": "GET /api/webhooks/a red bicycle/deliveries 404"}\n{"event": "ordered", "prompt": "a red bicycle"}\n')

    assert list(leaks(log, [])) == [("a prompt", '{"event": "ordered", "prompt": "a red bicycle"}')]
