"""fal's calls: one that settles a submit nobody heard back from, and all those that must change nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scripts.fal_emulator.webhooks import OLD_SECONDS, Signer
from tests.acceptance.service import Answer, a_prompt, wait_until
from tests.faults.place import Place, running_place
from tests.faults.soundness import problems

UNKNOWN_SECONDS = 5


@pytest.fixture(scope="module")
def place_with_webhooks() -> Iterator[Place]:
    with running_place(with_webhooks=True, SUBMIT_UNKNOWN_SECONDS=str(UNKNOWN_SECONDS)) as running:
        yield running


@pytest.fixture
def place(place_with_webhooks: Place) -> Iterator[Place]:
    place_with_webhooks.calm()
    yield place_with_webhooks
    place_with_webhooks.settle_down(30)
    assert problems(place_with_webhooks) == []


@pytest.fixture(scope="module")
def signer(place_with_webhooks: Place) -> Signer:
    """fal's own signature."""
    assert place_with_webhooks.stack.bundle is not None
    return Signer(Path(place_with_webhooks.stack.bundle).with_name("webhook.key"))


def test_a_webhook_settles_a_submit_whose_answer_was_lost_and_the_picture_is_delivered(place: Place) -> None:
    customer, prompt = place.customer(), a_prompt()
    place.emulator.fault("submit", "drop_after_read", times=None, promptContains=prompt)

    job_id = customer.order(prompt)

    place.settle_down(30)
    job = customer.job(job_id)
    assert (job["status"], len(job["images"]), job["cost"]) == ("completed", 1, 0.025)
    assert len(place.posts(prompt)) == 1
    assert customer.balance() == (900, 0)


def test_a_webhook_that_is_faster_than_the_submits_own_answer_changes_only_the_pace(place: Place) -> None:
    customer, prompt = place.customer(), a_prompt()
    place.emulator.fault("submit", "slow", seconds=2.0, promptContains=prompt)
    started = time.monotonic()

    job_id = customer.order(prompt)
    ended_in_s = ended(place, job_id) - started

    time.sleep(max(0.0, 2.5 - (time.monotonic() - started)))
    assert ended_in_s < 2.0
    assert customer.job(job_id)["status"] == "completed"
    assert len(place.posts(prompt)) == 1
    assert customer.balance() == (900, 0)


def test_a_webhook_five_times_is_one_completion_and_one_charge(place: Place) -> None:
    customer, prompt = place.customer(), a_prompt()
    place.emulator.fault("webhook", "repeat", value=5, promptContains=prompt)

    job_id = customer.order(prompt)

    place.settle_down(20)
    wait_until(lambda: len(place.posts(prompt)[0]["deliveries"]) == 5, 30, "five calls")
    before = place.document(job_id)
    assert [call["status"] for call in place.posts(prompt)[0]["deliveries"]] == [200] * 5
    assert (before["status"], place.document(job_id)["rev"]) == ("completed", before["rev"])
    assert customer.balance() == (900, 0)


def test_calls_that_fal_did_not_sign_are_refused_and_change_nothing(place: Place, signer: Signer) -> None:
    job, _ = an_unknown_job(place)
    body = json.dumps({"request_id": "made-up", "status": "OK", "payload": {"images": [{"url": "https://example.com/x.png"}]}}).encode()
    now = int(time.time())
    forged = {
        "no signature": {},
        "a stranger's signature": signer.headers("made-up", body, timestamp=now, wrong=True),
        "an old one": signer.headers("made-up", body, timestamp=now - OLD_SECONDS),
        "one of the future": signer.headers("made-up", body, timestamp=now + OLD_SECONDS),
        "another body's": signer.headers("made-up", body + b" ", timestamp=now),
        "another request's": {**signer.headers("made-up", body, timestamp=now), "X-Fal-Webhook-Request-Id": "another"},
        "no hex": {**signer.headers("made-up", body, timestamp=now), "X-Fal-Webhook-Signature": "zz"},
    }

    answers = {name: call(place, job, body, headers).status_code for name, headers in forged.items()}

    assert answers == dict.fromkeys(forged, 401)
    assert place.document(job["_id"]) == job


def test_a_call_of_another_fal_account_is_refused_and_changes_nothing(place: Place, signer: Signer) -> None:
    customer = place.customer()
    customer.order(a_prompt())
    place.settle_down(30)  # Its webhook has told whose account ours is.
    job, _ = an_unknown_job(place)
    body = json.dumps({"request_id": "made-up", "status": "OK", "payload": {"images": []}}).encode()

    answer = call(place, job, body, signer.headers("made-up", body, timestamp=int(time.time()), user_id="somebody-else"))

    assert answer.status_code == 401
    assert place.document(job["_id"]) == job
    place.settle_down(20)


def test_another_jobs_signed_call_sent_to_an_unknown_job_changes_nothing(place: Place, signer: Signer) -> None:
    customer = place.customer()
    other = customer.order(a_prompt())
    place.settle_down(20)
    job, prompt = an_unknown_job(place)
    request_id = place.document(other)["requests"][0]["requestId"]
    body = json.dumps({"request_id": request_id, "status": "OK", "payload": {"images": []}}).encode()

    answer = call(place, job, body, signer.headers(request_id, body, timestamp=int(time.time())))

    assert (answer.status_code, answer.json()["news"]) == (200, False)
    assert place.document(job["_id"]) == job
    place.settle_down(20)
    assert place.document(job["_id"])["error"]["code"] == "submit_outcome_unknown"
    assert len(place.posts(prompt)) == 1


def test_calls_about_nothing_are_taken_and_change_nothing(place: Place, signer: Signer) -> None:
    customer = place.customer()
    job_id = customer.order(a_prompt())
    place.settle_down(20)
    job, now = place.document(job_id), int(time.time())
    bodies = [b"", b"[]", b"{", b"null", b'{"request_id": 7}', b'{"request_id": "../../x"}', b"[" * 100_000]

    answers = [call(place, job, body, signer.headers("x", body, timestamp=now)) for body in bodies]
    body = json.dumps({"request_id": job["requests"][0]["requestId"]}).encode()
    headers = signer.headers("x", body, timestamp=now)
    elsewhere = [
        call(place, {"_id": other}, body, headers) for other in (job_id + "/7", "no-such-job", "01a1fbb9-ae99-76ef-85b8-99f0e4849dc8")
    ]

    assert {(answer.status_code, answer.json().get("news")) for answer in answers} == {(200, False)}
    assert [answer.status_code for answer in elsewhere] == [404, 200, 200]
    assert place.document(job_id) == job


def test_a_late_call_for_a_canceled_job_brings_nothing_back(place: Place, signer: Signer) -> None:
    place.emulator.settings(seconds=60.0)
    place.emulator.fault("cancel", "stop")
    place.emulator.fault("webhook", "delayed", seconds=2.0)
    customer, prompt = place.customer(), a_prompt()
    job_id = customer.order(prompt)
    wait_until(lambda: any(post["state"] == "IN_PROGRESS" for post in place.posts(prompt)), 30, "fal to begin")

    canceled = customer.cancel(job_id)

    wait_until(lambda: place.posts(prompt)[0]["deliveries"], 30, "fal's call")
    place.settle_down(20)
    job = customer.job(job_id)
    assert canceled == 202
    assert (job["status"], job["images"], job["cost"]) == ("canceled", [], 0)
    assert customer.balance() == (1000, 0)


def an_unknown_job(place: Place) -> tuple[Answer, str]:
    """Return the document and the prompt of a job whose submit had no answer and whose webhook does not come."""
    customer, prompt = place.customer(), a_prompt()
    place.emulator.fault("submit", "drop_after_read", times=None, promptContains=prompt)
    place.emulator.fault("webhook", "withheld", times=None, promptContains=prompt)
    job_id = customer.order(prompt)
    wait_until(lambda: place.document(job_id)["requests"][0]["state"] == "unknown", 30, "the lost answer")
    return place.document(job_id), prompt


def call(place: Place, job: Answer, body: bytes, headers: dict[str, str]) -> httpx.Response:
    return place.client.post(f"/api/webhooks/fal/{job['_id']}/0", content=body, headers=headers)


def ended(place: Place, job_id: str) -> float:
    """Return when a job has ended, by the monotonic clock."""
    place.ended(job_id)
    return time.monotonic()
