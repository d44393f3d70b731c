from __future__ import annotations

import io
import time

import httpx
import pytest
from PIL import Image

from tests.support.emulator import Emulator
from tests.support.fal_calls import FLUX, KEY, completed, first_file, run, submit, wait_until


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("refuse_429", 429),
        ("error_500", 500),
        ("error_503", 503),
        ("error_503_nginx", 503),
        ("error_504", 504),
        ("locked_403", 403),
        ("bad_key_401", 401),
        ("bad_input_422", 422),
        ("html", 200),
    ],
)
def test_a_refused_submit_registers_nothing(fal: Emulator, kind: str, status: int) -> None:
    fal.fault("submit", kind)

    response = submit(fal)

    assert response.status_code == status
    assert ("x-fal-request-id" in response.headers) == (kind not in {"error_503_nginx", "html"})
    seen = fal.requests()
    assert [(request["refusal"], request["requestId"]) for request in seen] == [(kind, None)]
    assert submit(fal).json()["status"] == "IN_QUEUE"


def test_a_locked_account_and_nginx_use_their_own_words(fal: Emulator) -> None:
    fal.fault("submit", "locked_403")
    fal.fault("submit", "error_503_nginx")

    locked, nginx = submit(fal), submit(fal)

    assert locked.json()["detail"].startswith("User is locked. Reason: Exhausted balance.")
    assert "nginx" in nginx.text


@pytest.mark.parametrize(("kind", "registered"), [("drop_after_read", True), ("drop_before_read", False)])
def test_a_dropped_connection_with_and_without_a_job_behind_it(fal: Emulator, kind: str, registered: bool) -> None:
    fal.fault("submit", kind)

    with pytest.raises(httpx.TransportError):
        submit(fal)

    seen = fal.requests()
    assert len(seen) == 1
    assert (seen[0]["requestId"] is not None) == registered
    if registered:
        wait_until(lambda: fal.requests()[0]["state"] == "COMPLETED")


def test_a_hanging_submit_has_registered_the_job(fal: Emulator) -> None:
    fal.fault("submit", "hang")

    with pytest.raises(httpx.ReadTimeout):
        fal.http.post(f"/{FLUX}", json={"prompt": "x"}, headers=KEY, timeout=0.3)

    assert wait_until(lambda: fal.requests()[0]["state"] == "COMPLETED")


def test_a_slow_submit_answers_late(fal: Emulator) -> None:
    fal.fault("submit", "slow", seconds=0.3)

    started = time.monotonic()
    response = submit(fal)

    assert time.monotonic() - started >= 0.3
    assert response.json()["status"] == "IN_QUEUE"


def test_a_huge_answer_is_larger_than_anybody_wants_to_keep(fal: Emulator) -> None:
    fal.fault("submit", "huge")
    read = 0

    with fal.http.stream("POST", f"/{FLUX}", json={"prompt": "x"}, headers=KEY) as response:
        for piece in response.iter_raw():
            read += len(piece)
            if read > 4_000_000:
                break

    assert read > 4_000_000


def test_foreign_urls_lead_to_another_host(fal: Emulator) -> None:
    fal.fault("submit", "foreign_urls", value="https://elsewhere.example")

    body = submit(fal).json()

    urls = [body[name] for name in ("status_url", "response_url", "cancel_url")]
    assert all(url.startswith("https://elsewhere.example/fal-ai/flux/requests/") for url in urls)


@pytest.mark.parametrize(
    ("value", "status", "error_type"),
    [("content_policy", 422, "content_policy_violation"), ("error_500", 500, "runner_server_error")],
)
def test_a_failed_run_is_completed_with_an_error(fal: Emulator, value: str, status: int, error_type: str) -> None:
    fal.outcome(value)
    submitted = submit(fal).json()

    state = completed(fal, submitted)
    result = fal.http.get(submitted["response_url"], headers=KEY)

    assert (state["status"], state["error_type"]) == ("COMPLETED", error_type)
    assert state["error"]
    assert result.status_code == status
    assert error_type in result.text


def test_the_flags_and_the_number_of_images_follow_the_order(fal: Emulator) -> None:
    for value in ("nsfw", "fewer", "none"):
        fal.outcome(value)

    flagged, fewer, none = (run(fal, num_images=3).json() for _ in range(3))

    assert flagged["has_nsfw_concepts"] == [True, True, True]
    assert [len(body["images"]) for body in (flagged, fewer, none)] == [3, 2, 0]


def test_a_run_can_never_end(fal: Emulator) -> None:
    fal.outcome("never")
    submitted = submit(fal).json()

    time.sleep(0.3)

    assert fal.http.get(submitted["status_url"], headers=KEY).json()["status"] == "IN_PROGRESS"


def test_a_result_can_be_html(fal: Emulator) -> None:
    fal.outcome("html_result")

    result = run(fal)

    assert (result.status_code, result.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_files_that_are_no_pictures(fal: Emulator) -> None:
    for value in ("not_an_image", "missing_file", "bomb", "truncated_file", "redirect_private"):
        fal.outcome(value)

    text, missing, bomb, cut, redirect = (fal.http.get(first_file(fal)) for _ in range(5))

    assert text.headers["Content-Type"].startswith("text/plain")
    assert missing.status_code == 404
    assert len(bomb.content) < 1_000
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(bomb.content))
    with Image.open(io.BytesIO(cut.content)) as picture, pytest.raises(OSError, match="truncated"):
        picture.load()
    assert (redirect.status_code, redirect.headers["Location"][:23]) == (302, "http://169.254.169.254/")


def test_a_huge_file_and_a_slow_file_begin_like_any_other(fal: Emulator) -> None:
    fal.outcome("huge_file")
    fal.outcome("slow_file")

    with fal.http.stream("GET", first_file(fal)) as huge:
        size = sum(len(piece) for piece in huge.iter_raw())
    started = time.monotonic()
    with fal.http.stream("GET", first_file(fal)) as slow:
        next(slow.iter_raw())

    assert "Content-Length" not in huge.headers
    assert size > 60_000_000
    assert time.monotonic() - started > 0.2


def test_a_private_url_is_no_place_for_a_picture(fal: Emulator) -> None:
    fal.outcome("private_url")

    assert first_file(fal).startswith("http://169.254.169.254/")


@pytest.mark.parametrize("stage", ["status", "result"])
@pytest.mark.parametrize(
    ("kind", "status"), [("error_500", 500), ("error_503", 503), ("html", 200), ("too_early", 400), ("not_found", 404)]
)
def test_asking_can_fail_a_given_number_of_times(fal: Emulator, stage: str, kind: str, status: int) -> None:
    submitted = submit(fal).json()
    completed(fal, submitted)
    url = submitted["status_url" if stage == "status" else "response_url"]
    fal.fault(stage, kind, times=2)

    answers = [fal.http.get(url, headers=KEY) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert "json" in answers[2].headers["Content-Type"]


@pytest.mark.parametrize("stage", ["status", "result", "file"])
def test_asking_can_hang_or_be_dropped(fal: Emulator, stage: str) -> None:
    submitted = submit(fal).json()
    completed(fal, submitted)
    result = fal.http.get(submitted["response_url"], headers=KEY).json()
    urls = {"status": submitted["status_url"], "result": submitted["response_url"], "file": result["images"][0]["url"]}
    fal.fault(stage, "hang")
    fal.fault(stage, "drop")

    with pytest.raises(httpx.ReadTimeout):
        fal.http.get(urls[stage], headers=KEY, timeout=0.2)
    with pytest.raises(httpx.TransportError):
        fal.http.get(urls[stage], headers=KEY)

    assert fal.http.get(urls[stage], headers=KEY).status_code == 200


def test_a_file_can_be_unavailable_for_a_while(fal: Emulator) -> None:
    fal.fault("file", "error_503")
    url = first_file(fal)

    assert [fal.http.get(url).status_code for _ in range(2)] == [503, 200]


def test_a_fault_can_be_limited_to_an_endpoint_and_a_prompt(fal: Emulator) -> None:
    fal.fault("submit", "error_500", times=None, endpoint="flux-lora", promptContains="boat")

    codes = [
        submit(fal, endpoint, prompt=prompt).status_code
        for endpoint, prompt in ((FLUX, "a boat"), ("fal-ai/flux-lora", "a car"), ("fal-ai/flux-lora", "a boat"))
    ]

    assert codes == [200, 200, 500]
    fal.clear()
    assert submit(fal, "fal-ai/flux-lora", prompt="a boat").status_code == 200


def test_a_failure_can_be_ordered_in_the_prompt(fal: Emulator) -> None:
    started = time.monotonic()
    result = run(fal, prompt="a car [emulator: seconds=0.4, fail=content_policy]")

    assert time.monotonic() - started >= 0.4
    assert result.status_code == 422
    assert submit(fal, prompt="[emulator: submit=refuse_429]").status_code == 429


def test_an_unknown_fault_is_refused_with_a_list(fal: Emulator) -> None:
    with pytest.raises(httpx.HTTPStatusError) as refused:
        fal.fault("submit", "explode")

    assert "drop_after_read" in refused.value.response.json()["detail"]
