"""Webhooks as their owners and receivers see them: what is told, signed by whom, how often, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.acceptance.people import Person
from tests.acceptance.service import Answer, Service, a_prompt, order, wait_until
from tests.support.receiver import Call, Receiver, running_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def ada(service: Service) -> Person:
    return Person(service)


def registered(who: Person, receiver: Receiver, *events: str, **more: Any) -> Answer:
    answer = call(who, "POST", "/api/webhooks", {"url": receiver.url(), "events": list(events or ("job.*",)), **more})
    assert answer.status_code == 201, answer.text
    found: Answer = answer.json()
    return found


def call(who: Person, method: str, path: str, body: Answer | None = None) -> httpx.Response:
    return who.service.client.request(method, path, json=body, headers=who.headers)


def generated(who: Person, **more: Any) -> str:
    body = {key: value for key, value in order(a_prompt()).items() if key != "userId"}
    answer = call(who, "POST", "/api/images/generate", {**body, "async": True, **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["jobId"])


def verified(received: Call, secret: str) -> bool:
    try:
        Webhook(secret).verify(received.body, received.headers)
    except WebhookVerificationError:
        return False
    return True


def done(who: Person, delivery_id: str) -> Answer:
    def look() -> Answer | None:
        found: Answer = call(who, "GET", f"/api/deliveries/{delivery_id}").json()
        return found if found["doneAt"] else None

    return wait_until(look, 30, f"the end of {delivery_id}")


def test_an_orders_webhook_is_told_of_its_end_as_the_job_is_shown(service: Service, receiver: Receiver) -> None:
    answer = service.generate({**order(a_prompt()), "webhook": receiver.url(), "async": True})
    secret = service.client.get("/api/webhooks/secret").json()["secret"]
    (received,) = receiver.wait()
    told = received.said["data"]

    assert verified(received, secret)
    assert received.headers["content-type"] == "application/json"
    assert received.said["type"] == "job.completed"
    assert told.pop("seq") == 3
    assert told.pop("jobUrl").endswith(f"/api/jobs/{answer.json()['jobId']}")
    assert told == service.job(answer.json()["jobId"])


def test_every_way_to_order_takes_a_webhook(service: Service, receiver: Receiver, ada: Person) -> None:
    prompt = a_prompt()
    web = {"prompt": prompt, "webhook": receiver.url("/web"), "webhookEvents": ["job.started", "job.completed"]}
    items = [{"model": "flux-pro", "inputs": {"prompt": prompt}} for _ in range(2)]
    batch = {"items": items, "webhook": receiver.url("/batch"), "webhookEvents": ["batch.completed"]}

    words = call(ada, "POST", "/api/generate/text-to-image", web).json()["data"]["jobId"]
    many = call(ada, "POST", "/api/images/batch", batch).json()["batchId"]
    started, ended = sorted(receiver.wait(2, path="/web"), key=lambda received: int(received.said["data"]["seq"]))
    (whole,) = receiver.wait(path="/batch", within_s=60)
    form = {"prompt": prompt, "referenceType": "full_image", "referenceImageId": service.job(words)["images"][0]["imageId"]}
    call(ada, "POST", "/api/generate/image-reference", {**form, "webhook": receiver.url("/reference")})
    again = call(ada, "POST", f"/api/jobs/{words}/retry", {"webhook": receiver.url("/retry")}).json()["jobId"]

    assert [received.said["type"] for received in (started, ended)] == ["job.started", "job.completed"]
    assert started.said["data"]["status"] == "processing"
    assert (whole.said["type"], whole.said["data"]["batchId"], whole.said["data"]["counts"]["completed"]) == ("batch.completed", many, 2)
    assert receiver.wait(path="/reference")[0].said["type"] == "job.completed"
    assert receiver.wait(path="/retry")[0].said["data"]["jobId"] == again


def test_a_webhook_is_a_part_of_what_an_idempotency_key_stands_for(service: Service, receiver: Receiver) -> None:
    headers, body = {"Idempotency-Key": a_prompt()}, {**order(a_prompt()), "async": True}
    first = service.client.post("/api/images/generate", json={**body, "webhook": receiver.url()}, headers=headers)

    repeated = service.client.post("/api/images/generate", json={**body, "webhook": receiver.url()}, headers=headers)
    other = service.client.post("/api/images/generate", json={**body, "webhook": receiver.url("/other")}, headers=headers)

    assert repeated.json()["jobId"] == first.json()["jobId"]
    assert (other.status_code, other.json()["code"]) == (400, "idempotency_mismatch")
    assert len(receiver.wait()) == 1


def test_a_repeated_registration_is_the_same_webhook(service: Service, receiver: Receiver, ada: Person) -> None:
    headers, body = {**ada.headers, "Idempotency-Key": a_prompt()}, {"url": receiver.url(), "events": ["*"]}

    first, again, other = (
        service.client.post("/api/webhooks", json=json, headers=headers) for json in (body, body, {**body, "events": ["job.failed"]})
    )

    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (400, "idempotency_mismatch")


def test_endpoints_hear_what_they_asked_for_and_nobody_elses(receiver: Receiver, ada: Person, service: Service) -> None:
    eve = Person(service, "eve")
    registered(ada, receiver, "job.*", filter={"metadata": {"campaign": "spring"}}, headers={"X-Shop": "bicycles"}, includeImages=False)
    registered(eve, receiver, "*")

    autumn, spring = generated(ada, metadata={"campaign": "autumn"}), generated(ada, metadata={"campaign": "spring"})
    heard = receiver.wait(2)
    service.ended(autumn)

    assert {received.said["type"] for received in heard} == {"job.started", "job.completed"}
    assert {received.said["data"]["jobId"] for received in receiver.calls} == {spring}
    assert all(received.headers["x-shop"] == "bicycles" and received.said["data"]["images"] == [] for received in heard)


def test_the_log_shows_each_attempt_of_one_webhook_id(receiver: Receiver, ada: Person) -> None:
    receiver.answers(500, 503, 200, retry_after="1")
    endpoint = registered(ada, receiver, "job.completed")

    generated(ada)
    calls = receiver.wait(3, within_s=60)
    found = done(ada, calls[0].id)

    assert {received.id for received in calls} == {found["id"]}
    assert {received.body.decode() for received in calls} == {found["body"]}
    assert [attempt["statusCode"] for attempt in found["attempts"]] == [500, 503, 200]
    assert (found["status"], found["attemptCount"], found["endpointId"]) == ("delivered", 3, endpoint["id"])
    listed = call(ada, "GET", f"/api/webhooks/{endpoint['id']}/deliveries?status=delivered").json()["deliveries"]
    assert [each["id"] for each in listed] == [found["id"]]


def test_while_a_secret_rotates_both_sign(receiver: Receiver, ada: Person) -> None:
    endpoint = registered(ada, receiver)
    path = f"/api/webhooks/{endpoint['id']}"

    rotated = call(ada, "POST", f"{path}/rotate", {"overlapHours": 24}).json()
    call(ada, "POST", f"{path}/test", {})
    leaked = call(ada, "POST", f"{path}/rotate", {"overlapHours": 0}).json()
    call(ada, "POST", f"{path}/test", {"type": "job.failed"})
    both, one = receiver.wait(2)

    secrets = [endpoint["secret"], rotated["secret"], leaked["secret"]]
    assert [verified(both, secret) for secret in secrets] == [True, True, False]
    assert [verified(one, secret) for secret in secrets] == [False, False, True]
    assert len(both.headers["webhook-signature"].split()) == 2
    assert one.said["type"] == "job.failed"
    assert "secret" not in call(ada, "GET", path).json()


def test_a_test_tells_what_the_receiver_answered_and_redelivery_sends_the_same_again(receiver: Receiver, ada: Person) -> None:
    receiver.answers(302, 200, Location="https://example.com/elsewhere")
    endpoint = registered(ada, receiver)

    failed = call(ada, "POST", f"/api/webhooks/{endpoint['id']}/test", {}).json()
    again = call(ada, "POST", f"/api/deliveries/{failed['deliveryId']}/redeliver")
    receiver.wait(2)
    found = done(ada, failed["deliveryId"])

    assert (failed["status"], failed["statusCode"]) == ("failed", 302)
    assert failed["error"] == "redirect to https://example.com/elsewhere not followed, register that URL"
    assert again.status_code == 202
    assert (found["status"], found["attemptCount"]) == ("delivered", 2)
    assert len({received.id for received in receiver.calls}) == 1


def test_a_receiver_that_wants_nothing_more_gets_nothing_more(receiver: Receiver, ada: Person) -> None:
    receiver.answers(410)
    endpoint = registered(ada, receiver, "job.completed")

    generated(ada)
    (received,) = receiver.wait()
    found = done(ada, received.id)
    shown = call(ada, "GET", f"/api/webhooks/{endpoint['id']}").json()

    assert (found["status"], shown["status"]) == ("dropped", "gone")


def test_what_was_given_up_is_recovered_and_what_a_deleted_webhook_waits_for_is_dropped(receiver: Receiver, ada: Person) -> None:
    receiver.answers(500, webhook_delivery="abort-message")
    endpoint = registered(ada, receiver, "job.completed")
    path = f"/api/webhooks/{endpoint['id']}"
    generated(ada)
    (received,) = receiver.wait()
    assert done(ada, received.id)["status"] == "failed"
    receiver.answers(200)

    recovered = call(ada, "POST", f"{path}/recover", {"since": "2026-01-01T00:00:00Z"})
    first, second = receiver.wait(2)
    deleted = call(ada, "DELETE", path)

    assert (recovered.status_code, recovered.json()) == (202, {"requeued": 1})
    assert first.id == second.id
    assert deleted.status_code == 204
    assert call(ada, "GET", path).status_code == 404


def test_somebody_elses_webhooks_and_deliveries_are_not_found(receiver: Receiver, ada: Person, service: Service) -> None:
    eve, endpoint = Person(service, "eve"), registered(ada, receiver)
    path = f"/api/webhooks/{endpoint['id']}"
    sent = call(ada, "POST", f"{path}/test", {}).json()["deliveryId"]
    receiver.wait()

    tried = [
        call(eve, "GET", path),
        call(eve, "PATCH", path, {"status": "disabled"}),
        call(eve, "DELETE", path),
        call(eve, "POST", f"{path}/rotate", {}),
        call(eve, "POST", f"{path}/test", {}),
        call(eve, "POST", f"{path}/recover", {"since": "2026-01-01T00:00:00Z"}),
        call(eve, "GET", f"{path}/deliveries"),
        call(eve, "GET", f"/api/deliveries/{sent}"),
        call(eve, "POST", f"/api/deliveries/{sent}/redeliver"),
    ]

    assert {answer.status_code for answer in tried} == {404}
    assert call(eve, "GET", "/api/webhooks").json()["webhooks"] == []
    assert len(receiver.calls) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "ftp://example.com/x"}, "/url"),
        ({"url": "https://user:password@example.com/x"}, "/url"),
        ({"url": "https://10.0.0.1/x"}, "/url"),
        ({"url": "https://[::ffff:10.0.0.1]/x"}, "/url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "/url"),
        ({"url": "https://no-such-host.invalid/x"}, "/url"),
        ({"url": "https://127.0.0.1:22/x"}, "/url"),
        ({"url": "https://example.com/" + "x" * 2000}, "/url"),
        ({"events": []}, "/events"),
        ({"events": ["job.exploded"]}, "/events/0"),
        ({"headers": {"Host": "evil"}}, "/headers"),
        ({"headers": {"X-Fine": "a\r\nContent-Length: 0"}}, "/headers"),
        ({"owner": "somebody"}, "/owner"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_what_no_webhook_may_be_is_refused_by_name(ada: Person, receiver: Receiver, change: Answer, field: str) -> None:
    answer = call(ada, "POST", "/api/webhooks", {"url": receiver.url(), "events": ["*"], **change})

    assert answer.status_code == 400, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [field]


def test_an_order_with_a_webhook_that_may_not_be_is_refused_and_nothing_is_bought(service: Service) -> None:
    before = service.footprint()

    refused = [
        service.generate({**order(a_prompt()), **hook})
        for hook in (
            {"webhook": "https://10.0.0.1/x"},
            {"webhookEvents": ["job.failed"]},
            {"webhook": "https://x.invalid", "webhookEvents": []},
        )
    ]

    assert {answer.status_code for answer in refused} == {400}
    assert [answer.json()["errors"][0]["pointer"] for answer in refused] == ["/webhook", "/webhookEvents", "/webhookEvents"]
    assert service.footprint() == before


def test_there_are_twenty_webhooks_at_most_and_overlaps_have_bounds(ada: Person, receiver: Receiver) -> None:
    found = [registered(ada, receiver) for _ in range(20)]

    one_more = call(ada, "POST", "/api/webhooks", {"url": receiver.url(), "events": ["*"]})
    wrong = [call(ada, "POST", f"/api/webhooks/{found[0]['id']}/rotate", {"overlapHours": hours}) for hours in (-1, 169, 1.5)]
    operators = call(ada, "POST", "/api/webhooks", {"url": receiver.url(), "events": ["*"], "owner": "operator"})

    assert (one_more.status_code, operators.status_code) == (400, 403)
    assert {answer.json()["errors"][0]["pointer"] for answer in wrong} == {"/overlapHours"}
