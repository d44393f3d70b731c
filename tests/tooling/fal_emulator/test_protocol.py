from __future__ import annotations

import json
import time

import pytest

from tests.support.emulator import Emulator
from tests.support.fal_calls import FLUX, KEY, completed, submit, wait_until


def test_a_submit_answers_with_the_three_urls_of_the_app(fal: Emulator) -> None:
    response = submit(fal)

    body = response.json()
    assert response.status_code == 200
    assert body["status"] == "IN_QUEUE"
    assert body["queue_position"] >= 0
    own = f"{fal.base_url}/fal-ai/flux/requests/{body['request_id']}"
    assert body["response_url"] == own
    assert (body["status_url"], body["cancel_url"]) == (f"{own}/status", f"{own}/cancel")
    assert response.headers["x-fal-request-id"] == body["request_id"]


def test_both_path_forms_and_the_response_suffix_lead_to_a_request(fal: Emulator) -> None:
    submitted = submit(fal).json()
    completed(fal, submitted)

    bases = [f"/{path}/requests/{submitted['request_id']}" for path in ("fal-ai/flux", FLUX)]
    codes = {fal.http.get(base + end, headers=KEY).status_code for base in bases for end in ("", "/status", "/response")}

    assert codes == {200}
    assert fal.http.get(f"/fal-ai/other/requests/{submitted['request_id']}", headers=KEY).status_code == 404


def test_a_request_is_queued_then_in_progress_then_completed(fal: Emulator) -> None:
    fal.settings(seconds=0.3, queueSeconds=0.3)
    submitted = submit(fal).json()
    seen: list[tuple[int, str]] = []
    positions: list[int] = []

    while not seen or seen[-1][1] != "COMPLETED":
        response = fal.http.get(submitted["status_url"], params={"logs": "true"}, headers=KEY)
        body = response.json()
        seen.append((response.status_code, body["status"]))
        positions += [body["queue_position"]] if "queue_position" in body else []
        assert body["status"] == "IN_QUEUE" or isinstance(body["logs"], list)
        time.sleep(0.02)

    assert list(dict.fromkeys(seen)) == [(202, "IN_QUEUE"), (202, "IN_PROGRESS"), (200, "COMPLETED")]
    assert positions == sorted(positions, reverse=True)
    assert positions[-1] == 0
    assert 0.25 < body["metrics"]["inference_time"] < 10


def test_the_concurrency_limit_keeps_requests_in_the_queue(fal: Emulator) -> None:
    fal.settings(seconds=0.3, concurrency=1)

    jobs = [submit(fal).json() for _ in range(3)]
    states = [fal.http.get(job["status_url"], headers=KEY).json() for job in jobs]

    assert [state["status"] for state in states] == ["IN_PROGRESS", "IN_QUEUE", "IN_QUEUE"]
    assert [state["queue_position"] for state in states[1:]] == [0, 1]
    fal.settings(concurrency=0)
    assert completed(fal, jobs[2])["status"] == "COMPLETED"


def test_a_full_queue_answers_429_to_who_asked_for_it(fal: Emulator) -> None:
    fal.settings(queueSeconds=5)
    submit(fal)

    refused = fal.http.post(f"/{FLUX}?fal_max_queue_length=0", json={"prompt": "x"}, headers=KEY)
    taken = fal.http.post(f"/{FLUX}?fal_max_queue_length=1", json={"prompt": "x"}, headers=KEY)

    assert (refused.status_code, taken.status_code) == (429, 200)


def test_the_stream_tells_each_state_until_the_end(fal: Emulator) -> None:
    fal.settings(seconds=0.2, queueSeconds=0.2)
    submitted = submit(fal).json()

    lines = fal.http.get(submitted["status_url"] + "/stream?logs=1", headers=KEY).text.splitlines()

    states = [json.loads(line.removeprefix("data: "))["status"] for line in lines if line]
    assert list(dict.fromkeys(states)) == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]


def test_a_result_asked_too_early_is_400_and_an_unknown_one_404(fal: Emulator) -> None:
    fal.settings(seconds=5)
    submitted = submit(fal).json()

    early = fal.http.get(submitted["response_url"], headers=KEY)
    unknown = fal.http.get("/fal-ai/flux/requests/0e6f2c1e-0000-0000-0000-000000000000/status", headers=KEY)

    assert (early.status_code, early.json()) == (400, {"detail": "Request is still in progress"})
    assert (unknown.status_code, unknown.json()) == (404, {"status": "NOT_FOUND"})


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, "Cannot access application"),
        ({"Authorization": "Key bad:secret"}, "No user found"),
        ({"Authorization": "Bearer x"}, "Invalid Key Authorization header format"),
    ],
)
def test_a_missing_or_bad_key_is_401_everywhere(fal: Emulator, headers: dict[str, str], text: str) -> None:
    submitted = submit(fal).json()

    answers = [
        fal.http.post(f"/{FLUX}", json={"prompt": "x"}, headers=headers),
        fal.http.get(submitted["status_url"], headers=headers),
        fal.http.put(submitted["cancel_url"], headers=headers),
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert text in answers[0].json()["detail"]


def test_an_unknown_application_is_404(fal: Emulator) -> None:
    response = submit(fal, "somebody/something")

    assert response.status_code == 404
    assert "not found" in response.json()["detail"]


def test_a_waiting_request_can_be_canceled_and_then_reports_it(fal: Emulator) -> None:
    fal.settings(queueSeconds=30)
    submitted = submit(fal).json()

    canceled = fal.http.put(submitted["cancel_url"], headers=KEY)

    assert (canceled.status_code, canceled.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
    assert completed(fal, submitted)["error_type"] == "client_cancelled"
    assert fal.http.get(submitted["response_url"], headers=KEY).status_code == 499
    again = fal.http.put(submitted["cancel_url"], headers=KEY)
    assert (again.status_code, again.json()) == (400, {"status": "ALREADY_COMPLETED"})
    unknown = fal.http.put("/fal-ai/flux/requests/none/cancel", headers=KEY)
    assert (unknown.status_code, unknown.json()) == (404, {"status": "NOT_FOUND"})


def test_a_running_request_completes_in_spite_of_a_cancel(fal: Emulator) -> None:
    fal.settings(seconds=0.2)
    submitted = submit(fal).json()
    wait_until(lambda: fal.requests()[0]["state"] == "IN_PROGRESS")

    canceled = fal.http.put(submitted["cancel_url"], headers=KEY)

    assert canceled.status_code == 202
    assert "error" not in completed(fal, submitted)
    assert fal.requests()[0]["cancelRequested"]


def test_the_direct_call_answers_with_the_result_once_it_is_there(fal: Emulator) -> None:
    fal.settings(seconds=0.3, queueSeconds=0)
    began = time.monotonic()

    answer = fal.http.post(f"/_emulator/run/{FLUX}", json={"prompt": "a red bicycle"}, headers=KEY)
    nobody = fal.http.post("/_emulator/run/nobody/nothing", json={"prompt": "a red bicycle"}, headers=KEY)
    keyless = fal.http.post(f"/_emulator/run/{FLUX}", json={"prompt": "a red bicycle"})

    assert (answer.status_code, len(answer.json()["images"])) == (200, 1)
    assert time.monotonic() - began >= 0.3
    assert (nobody.status_code, keyless.status_code) == (404, 401)


def test_a_stream_may_be_late(fal: Emulator) -> None:
    fal.settings(seconds=0.05, queueSeconds=0)
    fal.fault("stream", "late", seconds=0.4)
    submitted = submit(fal).json()
    completed(fal, submitted)
    began = time.monotonic()

    events = fal.http.get(submitted["status_url"] + "/stream", headers=KEY).text

    assert '"COMPLETED"' in events
    assert time.monotonic() - began >= 0.4
    (request,) = fal.requests()
    assert request["streams"] == 1
