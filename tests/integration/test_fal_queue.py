from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from app.clients.fal.queue import FalQueue, Stopped
from app.domain.errors import (
    GatewayError,
    ProviderBadKey,
    ProviderBusy,
    ProviderLocked,
    ProviderRefused,
    ResultUnavailable,
    ResultUnusable,
    SubmitOutcomeUnknown,
)
from app.domain.fal_request import Receipt
from tests.support.emulator import Emulator
from tests.support.factories import make_receipt
from tests.support.fal_calls import FLUX, wait_until
from tests.support.fal_place import FalPlace
from tests.support.https_server import Call, Server, https_server

KEY = "test-id:test-secret"
PROMPT = {"prompt": "a red bicycle"}


@pytest.fixture
def fal(fal_place: FalPlace) -> Iterator[FalQueue]:
    made = FalQueue(KEY, frozenset({fal_place.host}))
    yield made
    made.close()


@pytest.fixture
def server(fal_place: FalPlace) -> Iterator[Server]:
    with https_server(fal_place.tls_dir) as running:
        yield running


def finished(emulator: Emulator) -> None:
    wait_until(lambda: all(seen["state"] == "COMPLETED" for seen in emulator.requests()))


def receipt_at(server: Server) -> Receipt:
    return make_receipt(host=server.host)


def result_url(server: Server) -> str:
    return receipt_at(server).response_url.removeprefix(f"https://{server.host}")


def test_a_request_goes_from_submit_to_result(fal: FalQueue, fal_emulator: Emulator) -> None:
    receipt = fal.submit(FLUX, {**PROMPT, "num_images": 3})
    finished(fal_emulator)

    output = fal.result(receipt)

    (seen,) = fal_emulator.requests()
    assert (seen["requestId"], seen["arguments"]["num_images"], seen["webhook"]) == (receipt.request_id, 3, None)
    assert len(output.pictures) == 3
    assert all(picture.url.startswith(f"{fal_emulator.base_url}/files/") and not picture.flagged for picture in output.pictures)
    assert output.billable_units is not None
    assert float(output.billable_units) > 0
    assert int(output.seed or 0) > 2**63


def test_the_webhooks_address_goes_along(fal: FalQueue, fal_emulator: Emulator) -> None:
    fal.submit(FLUX, PROMPT, webhook_url="https://gateway.example/api/webhooks/fal/job/0?x=1")

    assert fal_emulator.requests()[0]["webhook"] == "https://gateway.example/api/webhooks/fal/job/0?x=1"


def test_flagged_pictures_are_marked(fal: FalQueue, fal_emulator: Emulator) -> None:
    fal_emulator.outcome("nsfw")
    receipt = fal.submit(FLUX, PROMPT)
    finished(fal_emulator)

    assert [picture.flagged for picture in fal.result(receipt).pictures] == [True]


def test_a_model_that_answers_with_one_image_object_has_one_picture(fal: FalQueue, fal_emulator: Emulator) -> None:
    receipt = fal.submit("fal-ai/face-swap", {"base_image_url": "https://x.example/a.png", "swap_image_url": "https://x.example/b.png"})
    finished(fal_emulator)

    assert len(fal.result(receipt).pictures) == 1


def test_a_waiting_request_can_be_canceled(fal: FalQueue, fal_emulator: Emulator) -> None:
    fal_emulator.settings(queueSeconds=30)
    receipt = fal.submit(FLUX, PROMPT)

    assert [fal.cancel(receipt), fal.cancel(receipt)] == [Stopped.YES, Stopped.TOO_LATE]
    assert fal_emulator.requests()[0]["canceled"]
    with pytest.raises(ProviderRefused) as refused:
        fal.result(receipt)
    assert refused.value.code == "client_cancelled"


def test_a_cancel_that_reaches_nobody_says_so(fal: FalQueue) -> None:
    assert fal.cancel(make_receipt(host="localhost:9")) is Stopped.SILENT


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("refuse_429", ProviderBusy),
        ("error_500", ProviderBusy),
        ("error_503", ProviderBusy),
        ("error_503_nginx", ProviderBusy),
        ("error_504", ProviderBusy),
        ("drop_before_read", SubmitOutcomeUnknown),
        ("drop_after_read", SubmitOutcomeUnknown),
        ("hang", SubmitOutcomeUnknown),
        ("html", SubmitOutcomeUnknown),
        ("locked_403", ProviderLocked),
        ("bad_key_401", ProviderBadKey),
        ("bad_input_422", ProviderRefused),
    ],
)
def test_a_submit_is_posted_once_whatever_comes_back(
    fal_place: FalPlace, fal_emulator: Emulator, kind: str, expected: type[GatewayError]
) -> None:
    fal = FalQueue(KEY, frozenset({fal_place.host}), timeout_s=1.0)
    fal_emulator.fault("submit", kind, times=None)

    with pytest.raises(GatewayError) as refused:
        fal.submit(FLUX, PROMPT)

    assert type(refused.value) is expected
    assert len(fal_emulator.requests()) == 1
    fal.close()


def test_an_answer_of_a_size_nobody_expects_is_unknown(fal_place: FalPlace, fal_emulator: Emulator) -> None:
    fal = FalQueue(KEY, frozenset({fal_place.host}))
    fal_emulator.fault("submit", "huge")

    with pytest.raises(SubmitOutcomeUnknown):
        fal.submit(FLUX, PROMPT)

    assert len(fal_emulator.requests()) == 1
    fal.close()


def test_a_refused_key_is_the_operators_and_not_the_callers_fault(fal_place: FalPlace, fal_emulator: Emulator) -> None:
    fal = FalQueue("bad", frozenset({fal_place.host}))

    with pytest.raises(ProviderBadKey):
        fal.submit(FLUX, PROMPT)
    fal.close()


def test_what_fal_says_about_the_input_reaches_the_caller(fal: FalQueue, fal_emulator: Emulator) -> None:
    fal_emulator.fault("submit", "bad_input_422")

    with pytest.raises(ProviderRefused) as refused:
        fal.submit(FLUX, PROMPT)

    assert refused.value.details is not None
    assert (refused.value.details["falStatus"], refused.value.message[:8]) == (422, "fal.ai: ")


def test_a_connection_that_was_never_made_may_be_tried_again(fal: FalQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fal_client.client.QUEUE_URL_FORMAT", "https://localhost:9/")

    with pytest.raises(ProviderBusy) as refused:
        fal.submit(FLUX, PROMPT)

    assert type(refused.value) is ProviderBusy


def test_where_fals_first_domain_is_not_to_be_reached_the_second_takes_the_one_post(
    fal: FalQueue, fal_place: FalPlace, fal_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fal_client.client.QUEUE_URL_FORMAT", "https://localhost:9/")
    monkeypatch.setattr("app.clients.fal.calls.BACKUP_HOSTS", {"localhost:9": fal_place.host})

    receipt = fal.submit(FLUX, PROMPT, webhook_url="https://gateway.example/hook?x=1")

    (seen,) = fal_emulator.requests()
    assert (seen["requestId"], seen["webhook"]) == (receipt.request_id, "https://gateway.example/hook?x=1")


def test_what_was_sent_to_the_first_domain_is_never_sent_to_the_second(
    fal: FalQueue, fal_place: FalPlace, fal_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.clients.fal.calls.BACKUP_HOSTS", {fal_place.host: fal_place.host})
    fal_emulator.fault("submit", "drop_after_read", times=None)

    with pytest.raises(SubmitOutcomeUnknown):
        fal.submit(FLUX, PROMPT)

    assert len(fal_emulator.requests()) == 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_result_that_somebody_has_packed_on_its_way_is_read(fal: FalQueue, server: Server, encoding: str) -> None:
    body = json.dumps({"images": [{"url": "https://fal.media/a.png"}], "seed": 7}).encode()
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    server.on(result_url(server), body=packed, Content_Encoding=encoding)

    output = fal.result(receipt_at(server))

    assert ([picture.url for picture in output.pictures], output.seed) == (["https://fal.media/a.png"], "7")


def test_a_packed_result_is_as_long_as_it_is_unpacked(fal_place: FalPlace, server: Server) -> None:
    fal = FalQueue(KEY, frozenset({fal_place.host}), max_result_bytes=10_000)
    server.on(result_url(server), body=gzip.compress(b" " * 1_000_000), Content_Encoding="gzip")

    with pytest.raises(ResultUnusable):
        fal.result(receipt_at(server))
    fal.close()


def test_one_connection_serves_call_after_call(fal: FalQueue, server: Server) -> None:
    places = set[object]()

    def answer(call: Call) -> None:
        places.add(call.client_address)
        call.answer(200, b'{"images": []}')

    server.call(result_url(server), answer)
    for _ in range(5):
        fal.result(receipt_at(server))

    assert len(places) == 1


def test_our_key_goes_to_no_host_but_fals(fal: FalQueue, fal_emulator: Emulator, server: Server) -> None:
    fal_emulator.fault("submit", "foreign_urls", value=f"https://{server.host}")

    receipt = fal.submit(FLUX, PROMPT)
    finished(fal_emulator)
    output = fal.result(receipt)
    fal.cancel(receipt)

    assert {url.partition("/fal-ai/")[0] for url in (receipt.status_url, receipt.response_url, receipt.cancel_url)} == {
        fal_emulator.base_url
    }
    assert len(output.pictures) == 1
    assert server.seen == []


def test_a_redirected_result_is_not_followed_with_our_key(fal: FalQueue, server: Server) -> None:
    server.on("/elsewhere", body=b"{}")
    server.on(result_url(server), 302, location="/elsewhere")

    with pytest.raises(GatewayError):
        fal.result(receipt_at(server))

    assert [path for _, path, *_ in server.seen] == [result_url(server)]


@pytest.mark.parametrize("kind", ["error_503", "too_early", "drop"])
def test_a_result_that_cannot_be_had_now_is_had_later(fal: FalQueue, fal_emulator: Emulator, kind: str) -> None:
    receipt = fal.submit(FLUX, PROMPT)
    finished(fal_emulator)
    fal_emulator.fault("result", kind)

    with pytest.raises(ResultUnavailable):
        fal.result(receipt)

    assert len(fal.result(receipt).pictures) == 1


def test_a_silent_result_is_had_later(fal_place: FalPlace, server: Server) -> None:
    fal = FalQueue(KEY, frozenset({fal_place.host}), timeout_s=0.2)
    server.call(result_url(server), lambda call: wait_until(lambda: call.wfile.closed, seconds=0.5))

    with pytest.raises(ResultUnavailable):
        fal.result(receipt_at(server))
    fal.close()


@pytest.mark.parametrize(
    ("outcome", "expected", "code"),
    [
        ("content_policy", ProviderRefused, "content_policy_violation"),
        ("error_500", ResultUnusable, "generation_failed"),
        ("html_result", ResultUnusable, "bad_provider_answer"),
    ],
)
def test_completed_is_not_success(fal: FalQueue, fal_emulator: Emulator, outcome: str, expected: type[GatewayError], code: str) -> None:
    fal_emulator.outcome(outcome)
    receipt = fal.submit(FLUX, PROMPT)
    finished(fal_emulator)

    with pytest.raises(GatewayError) as refused:
        fal.result(receipt)

    assert (type(refused.value), refused.value.code) == (expected, code)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"images": None},
        {"images": "x"},
        {"images": [None, 7, {"url": 5}, {}]},
        {"image": []},
        {"images": [], "has_nsfw_concepts": "no", "seed": "x"},
    ],
)
def test_an_output_of_another_shape_has_no_pictures(fal: FalQueue, server: Server, body: Any) -> None:
    server.on(result_url(server), body=json.dumps(body).encode())

    output = fal.result(receipt_at(server))

    assert (output.pictures, output.seed) == ((), None)


@pytest.mark.parametrize(
    "body",
    [
        {"images": [], "image": {"url": "https://x.example/a.png"}},
        {"images": {"url": "https://x.example/a.png"}},
        {"images": ["https://x.example/a.png"]},
        {"image": "https://x.example/a.png", "error": None},
        {"image": {"url": "https://x.example/a.png"}, "error": "a warning beside a picture"},
    ],
)
def test_one_picture_is_found_wherever_a_model_puts_it(fal: FalQueue, server: Server, body: Any) -> None:
    server.on(result_url(server), body=json.dumps(body).encode())

    assert [picture.url for picture in fal.result(receipt_at(server)).pictures] == ["https://x.example/a.png"]


@pytest.mark.parametrize("body", [b'{"image": {"url": "https://x.example/a.png"}, "prompt": "\xff\xfe", "seed": ' + b"9" * 5000 + b"}"])
def test_bytes_that_are_no_text_and_numbers_without_end_do_not_hide_a_picture(fal: FalQueue, server: Server, body: bytes) -> None:
    server.on(result_url(server), body=body)

    assert len(fal.result(receipt_at(server)).pictures) == 1


@pytest.mark.parametrize("status", [202, 204, 302])
def test_a_result_that_is_neither_there_nor_refused_is_had_later(fal: FalQueue, server: Server, status: int) -> None:
    server.on(result_url(server), status)

    with pytest.raises(ResultUnavailable):
        fal.result(receipt_at(server))


def test_a_cookie_of_odd_letters_breaks_no_request_after_it(fal: FalQueue, server: Server) -> None:
    server.on(result_url(server), body=b'{"image": {"url": "https://x.example/a.png"}}', Set_Cookie="\u00e0=\u00ff")

    fal.result(receipt_at(server))

    assert len(fal.result(receipt_at(server)).pictures) == 1


def test_a_result_that_never_ends_is_given_up(fal_place: FalPlace, server: Server) -> None:
    fal = FalQueue(KEY, frozenset({fal_place.host}), max_result_bytes=100_000)

    def endless(call: Call) -> None:
        call.start(200)
        for _ in range(100):
            call.wfile.write(bytes(65_536))

    server.call(result_url(server), endless)

    with pytest.raises(ResultUnusable, match="too large"):
        fal.result(receipt_at(server))
    fal.close()
