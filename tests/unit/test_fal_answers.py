"""What went wrong in the shapes of fal's answers, and a model's output as it is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from app.api.fal.errors import failed, shaped
from app.api.http.errors import Fault
from app.domain.errors import FieldError
from app.domain.fal_request import Failure
from app.domain.job import JobStatus
from app.domain.said_output import MAX_BYTES, said_of, said_text
from tests.support.factories import make_job


@pytest.fixture(params=["POST", "GET"])
def method(request: pytest.FixtureRequest) -> Iterator[str]:
    with Flask("test").test_request_context("/fal/queue/a/b", method=request.param):
        yield request.param


@pytest.fixture
def asked() -> Iterator[None]:
    with Flask("test").test_request_context("/fal/a/b", method="POST"):
        yield


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("code", "status", "detail"),
    [
        ("budget_exceeded", 403, "User is locked. Reason: Exhausted balance. No room"),
        ("insufficient_tokens", 403, "User is locked. Reason: Exhausted balance. No room"),
        ("max_cost_exceeded", 403, "No room"),
        ("unknown_model", 404, "No room"),
        ("gone", 404, "No room"),
    ],
)
def test_a_refusal_has_the_status_that_fals_clients_know(code: str, status: int, detail: str) -> None:
    answer = shaped(Fault(status=400, code=code, message="No room"))

    assert (answer.status_code, answer.get_json()["detail"]) == (status, detail)
    assert answer.headers["X-Fal-Error-Type"] == code


@pytest.mark.usefixtures("asked")
def test_what_is_wrong_with_arguments_is_told_in_the_way_of_pydantic() -> None:
    errors = [FieldError("/inputs/prompt", "'prompt' is required"), FieldError("/options/image_size/width", "must be a number")]
    fault = Fault(status=400, code="missing_inputs", message="", errors=errors, details={"missingInputs": ["prompt"]})

    detail = shaped(fault).get_json()["detail"]

    assert detail == [
        {"loc": ["body", "prompt"], "msg": "field required", "type": "missing"},
        {"loc": ["body", "image_size", "width"], "msg": "must be a number", "type": "value_error"},
    ]


def test_an_order_whose_answer_was_lost_is_no_503_which_the_javascript_client_would_post_again(method: str) -> None:
    lost = shaped(Fault(status=503, code="store_unavailable", message="The database does not answer"))
    undone = shaped(Fault(status=503, code="store_not_ready", message="The database lacks an index"))

    assert lost.status_code == (500 if method == "POST" else 503)
    assert undone.status_code == 503


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("code", "details", "status", "error_type", "retryable"),
    [
        ("generation_failed", {"falStatus": 500, "falErrorType": "runner_server_error"}, 500, "runner_server_error", "true"),
        ("generation_timeout", {"falStatus": 504}, 504, "generation_timeout", "true"),
        ("generation_failed", {"falStatus": 422}, 422, "generation_failed", "false"),
        ("generation_failed", {"falStatus": 200}, 500, "generation_failed", "true"),
        ("generation_failed", {"falStatus": 409}, 500, "generation_failed", "true"),
        ("deadline_exceeded", None, 504, "deadline_exceeded", "true"),
        ("submit_outcome_unknown", None, 500, "submit_outcome_unknown", "true"),
    ],
)
def test_a_failed_job_keeps_fals_status_but_none_that_clients_repeat(
    code: str, details: dict[str, Any] | None, status: int, error_type: str, retryable: str
) -> None:
    job = replace(make_job(), status=JobStatus.FAILED, failure=Failure(code, "fal.ai: no runner", details))

    answer = failed(job)

    assert (answer.status_code, answer.get_json()) == (status, {"detail": "no runner", "error_type": error_type})
    assert (answer.headers["X-Fal-Error-Type"], answer.headers["X-Fal-Retryable"]) == (error_type, retryable)


def test_an_output_is_kept_without_links_and_can_be_said_in_json() -> None:
    entry = {"url": "https://v3.fal.media/a.png", "file_name": "a.png", "mask": {"url": "data:image/png;base64,AAAA"}}
    body = {
        "images": [entry],
        "seed": 2**70,
        "timings": {"inference": float("inf")},
        "description": "a\ud800b\0c\nhttps://example.com is a place",
        "video": {"url": "http://v3.fal.media/a.mp4", "seconds": 3},
        "more": ["https://v3.fal.media/b.png", 1],
    }

    text = said_text(body, "images", [entry])
    said = said_of(text)

    assert text.isascii()
    assert "fal.media" not in text
    assert said.entries == [{"file_name": "a.png", "mask": {}}]
    assert said.fields == {
        "seed": 2**70,
        "timings": {"inference": None},
        "description": "a\ufffdbc\nhttps://example.com is a place",
        "video": {"seconds": 3},
        "more": [None, 1],
    }


def test_of_an_output_that_is_too_long_the_longest_fields_are_left_out() -> None:
    body = {"prompt": "p" * (MAX_BYTES - 3000), "description": "d" * 5000, "seed": 7, "huge": ["x" * 10_000] * 100}

    text = said_text(body, "images", [{"file_name": "f" * 100}])

    assert len(text) <= MAX_BYTES
    assert said_of(text).fields.keys() == {"description", "seed"}


def test_an_output_of_any_depth_is_kept_shallow() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = {"a": [deep]}

    assert len(json.dumps(said_of(said_text({"deep": deep}, "image", [None])).fields)) < 200
