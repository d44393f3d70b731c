from __future__ import annotations

from typing import Any

import bson
import pytest

from app.clients.fal.errors import error_beside_nothing, model_failure, result_failure, submit_refusal, words_of
from app.domain.errors import (
    GatewayError,
    ProviderBadKey,
    ProviderBusy,
    ProviderForbidden,
    ProviderLocked,
    ProviderRefused,
    ResultUnavailable,
    ResultUnusable,
)
from tests.support.cases import fal_case

LOCKED = {"detail": "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."}
POLICY = {
    "detail": [{"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation", "input": {"prompt": "secret words"}}]
}
NGINX = "<html><head><title>503 Service Temporarily Unavailable</title></head>nginx</html>"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"detail": "bad"}, ProviderRefused),
        (401, {"detail": "No user found for Key ID and Secret"}, ProviderBadKey),
        (403, LOCKED, ProviderLocked),
        (403, {"detail": "Invalid key"}, ProviderBadKey),
        (403, {"detail": "Forbidden"}, ProviderForbidden),
        (403, None, ProviderForbidden),
        (403, {"detail": "Access to this application is restricted"}, ProviderRefused),
        (403, {"error": {"message": "You have no access to this model"}}, ProviderRefused),
        (402, {"detail": "Exhausted balance"}, ProviderLocked),
        (302, "", ProviderBusy),
        (404, {"detail": "Application not found"}, ProviderRefused),
        (408, None, ProviderBusy),
        (409, None, ProviderBusy),
        (413, "too large", ProviderRefused),
        (422, POLICY, ProviderRefused),
        (429, {"detail": "Too many requests"}, ProviderBusy),
        (500, {"detail": "Internal"}, ProviderBusy),
        (503, NGINX, ProviderBusy),
        (504, "", ProviderBusy),
    ],
)
def test_an_answered_submit_means_one_thing(status: int, body: Any, expected: type[GatewayError]) -> None:
    assert type(submit_refusal(status, body, None)) is expected


@pytest.mark.parametrize(
    ("status", "body", "expected", "code"),
    [
        (400, {"detail": "Request is still in progress"}, ResultUnavailable, "result_unavailable"),
        (400, {"detail": "Bad input"}, ProviderRefused, "generation_failed"),
        (401, None, ResultUnavailable, "result_unavailable"),
        (403, LOCKED, ResultUnavailable, "result_unavailable"),
        (404, {"status": "NOT_FOUND"}, ResultUnusable, "result_gone"),
        (422, POLICY, ProviderRefused, "content_policy_violation"),
        (429, None, ResultUnavailable, "result_unavailable"),
        (500, {"detail": "Internal server error", "error_type": "runner_server_error"}, ResultUnusable, "generation_failed"),
        (503, NGINX, ResultUnavailable, "result_unavailable"),
        (504, {"detail": "Timeout", "error_type": "generation_timeout"}, ResultUnusable, "generation_timeout"),
    ],
)
def test_an_unsuccessful_result_means_one_thing(status: int, body: Any, expected: type[GatewayError], code: str) -> None:
    failure = result_failure(status, body, {})

    assert (type(failure), failure.code) == (expected, code)


def test_the_headers_type_comes_before_the_bodys() -> None:
    failure = result_failure(422, POLICY, {"x-fal-error-type": "no_media_generated"})

    assert failure.code == "no_media_generated"


def test_an_unknown_type_is_told_in_the_details_only() -> None:
    failure = model_failure(422, {"detail": "odd", "error_type": "brand_new"}, None)

    assert (failure.code, failure.message) == ("generation_failed", "fal.ai: odd")
    assert failure.details == {"falStatus": 422, "falErrorType": "brand_new"}


def test_what_was_sent_is_not_repeated_to_the_reader() -> None:
    failure = model_failure(422, POLICY, None)

    assert failure.details is not None
    assert failure.details["problems"] == [{"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation"}]
    assert "secret words" not in str(failure.details)


def test_long_texts_are_cut() -> None:
    entry = {"loc": ["x" * 1000] * 50, "msg": "m" * 10_000, "type": "t" * 10_000}

    failure = model_failure(422, {"detail": [entry] * 50}, None)

    assert len(str(failure.details)) < 20_000
    assert len(failure.message) < 600


@pytest.mark.parametrize("body", [None, [], 7, NGINX, {"detail": None}, {"detail": [1, None]}, {"detail": []}, {"detail": {"msg": None}}])
def test_an_answer_without_a_word_gives_a_plain_sentence(body: Any) -> None:
    assert model_failure(418, body, None).message == "fal.ai: the request was refused without a reason"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "too dark"}, "too dark"),
        ({"detail": ["too dark", "too small"]}, "too dark; too small"),
        ({"detail": {"message": "too dark", "code": "x"}}, "too dark"),
        ({"detail": {"error": {"reason": "too dark"}}}, "too dark"),
        ({"detail": [{"msg": None, "type": None}, {"msg": "too dark"}]}, "too dark"),
        ({"detail": [{"msg": None, "type": "image_too_small"}]}, "image_too_small"),
        ({"detail": None, "error": "too dark"}, "too dark"),
        ({"detail": [], "error": {"message": "too dark"}}, "too dark"),
        ({"error": {"type": "t", "message": "too dark"}}, "too dark"),
        ({"message": "too dark"}, "too dark"),
        ("too dark", "too dark"),
        (["too dark"], "too dark"),
    ],
)
def test_fals_reason_is_found_in_every_shape_of_its_answers(body: Any, words: str) -> None:
    assert words_of(body) == words
    assert model_failure(422, body, None).message == f"fal.ai: {words}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("422_detail_half_emoji", "fal.ai: bad \N{REPLACEMENT CHARACTER} half"),
        ("422_detail_object", "fal.ai: prompt refused by filter"),
        ("422_msg_null", "fal.ai: the request was refused without a reason"),
    ],
)
def test_answers_that_were_once_passed_on_wrongly_say_what_fal_said(name: str, message: str) -> None:
    status, body = fal_case(name)

    failure = result_failure(status, body, {})

    assert (type(failure), failure.message) == (ProviderRefused, message)
    assert bson.encode({"failure": [failure.message, failure.details]})


def test_an_application_that_is_not_open_to_the_key_concerns_only_who_ordered_it() -> None:
    refusal = submit_refusal(*fal_case("submit_403_one_model_restricted"), None)

    assert (type(refusal), refusal.message) == (ProviderRefused, "fal.ai: Access to this application is restricted")


@pytest.mark.parametrize(
    ("body", "message"),
    [({"error": "too dark"}, "fal.ai: too dark"), ({"error": {}, "detail": "no"}, "fal.ai: no"), ({"images": [], "prompt": "x"}, None)],
)
def test_a_result_of_status_200_may_tell_of_a_failure(body: dict[str, Any], message: str | None) -> None:
    failure = error_beside_nothing(body, {})

    assert (failure and failure.message) == message


@pytest.mark.parametrize("kind", [7, ["a"], {"a": 1}, True])
def test_an_error_type_that_is_no_text_is_passed_over(kind: Any) -> None:
    assert model_failure(422, {"detail": "odd", "error_type": kind}, None).code == "generation_failed"


@pytest.mark.parametrize("loc", ["body", None, {"a": 1}, [None, {"deep": 1}, 3.5]])
def test_an_odd_place_in_an_answer_does_no_harm(loc: Any) -> None:
    failure = model_failure(422, {"detail": [{"loc": loc, "msg": "odd"}]}, None)

    assert failure.message == "fal.ai: odd"
