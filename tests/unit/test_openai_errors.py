"""Errors in OpenAI's shape: the codes and statuses that its SDKs know, and what must not be sent again."""

from __future__ import annotations

import pytest
from flask import Flask

from app.api.http.errors import Fault
from app.api.openai.errors import shape
from app.domain.errors import FieldError

INVALID = "invalid_request_error"


@pytest.mark.parametrize(
    ("status", "ours", "job_id", "expected"),
    [
        (401, "unauthorized", None, (401, INVALID, "invalid_api_key", None)),
        (403, "forbidden", None, (403, INVALID, "forbidden", None)),
        (429, "rate_limited", None, (429, INVALID, "rate_limit_exceeded", None)),
        (402, "budget_exceeded", None, (429, "insufficient_quota", "insufficient_quota", "false")),
        (400, "insufficient_tokens", None, (429, "insufficient_quota", "insufficient_quota", "false")),
        (400, "max_cost_exceeded", None, (400, INVALID, "max_cost_exceeded", None)),
        (413, "quota_exceeded", None, (413, INVALID, "quota_exceeded", None)),
        (500, "content_policy_violation", "job", (400, "image_generation_user_error", "moderation_blocked", "false")),
        (500, "generation_failed", "job", (500, "server_error", "generation_failed", "false")),
        (503, "busy", None, (503, "server_error", "busy", None)),
        (500, "internal_error", None, (500, "server_error", "internal_error", None)),
    ],
)
def test_an_error_has_the_code_that_sdks_know(
    status: int, ours: str, job_id: str | None, expected: tuple[int, str, str, str | None]
) -> None:
    with Flask("test").test_request_context():
        answer = shape(Fault(status=status, code=ours, message="in words", job_id=job_id))

    error = answer.get_json()["error"]
    assert (answer.status_code, error["type"], error["code"], answer.headers.get("x-should-retry")) == expected
    assert error["message"] == "in words"


@pytest.mark.parametrize(
    ("pointer", "param"),
    [
        ("/inputs/prompt", "prompt"),
        ("/options/num_images", "n"),
        ("/options/width", "size"),
        ("/inputs/image_urls/3", "image"),
        ("/inputs/base_image_url", "image"),
        ("/inputs/mask_image_url", "mask"),
        ("/metadata/a.b", "metadata"),
        ("/inputs/seed", "seed"),
        ("", None),
    ],
)
def test_what_is_wrong_is_called_as_the_caller_calls_it(pointer: str, param: str | None) -> None:
    with Flask("test").test_request_context():
        answer = shape(Fault(status=400, code="invalid_request", message="x", errors=[FieldError(pointer, "x")]))

    assert answer.get_json()["error"]["param"] == param
