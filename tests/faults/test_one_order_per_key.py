"""Twenty requests at once with one Idempotency-Key, over two web processes: one order, and all are told of it."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.acceptance.service import Answer, a_prompt
from tests.faults.customers import Customer, a_body
from tests.faults.place import Place
from tests.support.images import noise, saved

TIMES = 20
Send = Callable[[str, Any], httpx.Response]
PICTURE = saved(noise(64, 64), "PNG")


@pytest.fixture
def customer(place: Place) -> Customer:
    return place.customer()


def generate(place: Place, customer: Customer) -> tuple[Send, Any, Any]:
    send = lambda key, body: post(place, customer, "/api/images/generate", key, json=body)  # noqa: E731
    return send, a_body(a_prompt()), a_body(a_prompt())


def text_to_image(place: Place, customer: Customer) -> tuple[Send, Any, Any]:
    send = lambda key, body: post(place, customer, "/api/generate/text-to-image", key, json=body)  # noqa: E731
    return send, {"prompt": a_prompt()}, {"prompt": a_prompt()}


def image_reference(place: Place, customer: Customer) -> tuple[Send, Any, Any]:
    def send(key: str, body: Any) -> httpx.Response:
        return post(place, customer, "/api/generate/image-reference", key, data=body, files={"image": ("me.png", PICTURE)})

    return send, {"prompt": a_prompt(), "referenceType": "full_image"}, {"prompt": a_prompt(), "referenceType": "full_image"}


@pytest.mark.parametrize("route", [generate, text_to_image, image_reference])
def test_twenty_requests_with_one_key_are_one_job_one_hold_and_one_purchase(place: Place, customer: Customer, route: Any) -> None:
    send, body, _ = route(place, customer)

    answers = at_once(lambda: send("order-7", body))

    place.settle_down(30)
    jobs = list(place.database["jobs"].find({"userId": customer.id}))
    holds = place.database["ledger"].count_documents({"userId": customer.id, "type": "hold"})
    assert [answer.status_code for answer in answers] == [202] * TIMES, answers[0].text
    assert {job_of(answer) for answer in answers} == {job["_id"] for job in jobs}
    assert replays(answers) == TIMES - 1
    assert (len(jobs), holds, len(posts_for(place, jobs))) == (1, 1, 1)


@pytest.mark.parametrize("route", [generate, text_to_image, image_reference])
def test_one_key_with_two_bodies_is_refused_and_buys_nothing_more(place: Place, customer: Customer, route: Any) -> None:
    send, body, other = route(place, customer)
    first = send("order-7", body)

    refused = send("order-7", other)

    place.settle_down(30)
    assert first.status_code == 202, first.text
    assert (refused.status_code, refused.json()["code"]) == (400, "idempotency_mismatch")
    assert place.database["jobs"].count_documents({"userId": customer.id}) == 1


def test_twenty_retries_with_one_key_are_one_new_job(place: Place, customer: Customer) -> None:
    first = customer.order(a_prompt())
    place.settle_down(30)

    answers = at_once(lambda: post(place, customer, f"/api/jobs/{first}/retry", "again"))

    place.settle_down(30)
    jobs = list(place.database["jobs"].find({"userId": customer.id, "_id": {"$ne": first}}))
    assert [answer.status_code for answer in answers] == [202] * TIMES
    assert {answer.json()["jobId"] for answer in answers} == {job["_id"] for job in jobs}
    assert (len(jobs), replays(answers)) == (1, TIMES - 1)
    assert len(posts_for(place, jobs)) == 2
    assert place.database["ledger"].count_documents({"userId": customer.id, "type": "hold"}) == 2


@pytest.mark.parametrize("where", ["header", "body"])
def test_twenty_top_ups_with_one_key_add_tokens_once(place: Place, customer: Customer, where: str) -> None:
    admin, key = an_admin(place), uuid.uuid4().hex

    answers = at_once(lambda: top_up(place, admin, customer, key, 500, where))

    assert [answer.status_code for answer in answers] == [201] * TIMES, answers[0].text
    assert len({json.dumps(answer.json()["data"]["entry"]) for answer in answers}) == 1
    assert replays(answers) == TIMES - 1
    assert customer.balance() == (1500, 0)


@pytest.mark.parametrize("where", ["header", "body"])
def test_one_key_for_two_top_ups_is_refused(place: Place, customer: Customer, where: str) -> None:
    admin, key = an_admin(place), uuid.uuid4().hex
    top_up(place, admin, customer, key, 500, where)

    refused = top_up(place, admin, customer, key, 700, where)

    assert (refused.status_code, refused.json()["code"]) == (400, "idempotency_mismatch")
    assert customer.balance() == (1500, 0)


def test_a_top_up_without_a_key_or_with_two_is_refused(place: Place, customer: Customer) -> None:
    admin, body = an_admin(place), {"userId": customer.id, "amount": 500}

    without = place.client.post("/api/tokens/topup", json=body, headers=admin.headers)
    with_two = post(place, admin, "/api/tokens/topup", "one", json={**body, "idempotencyKey": "two"})

    assert [answer.status_code for answer in (without, with_two)] == [400, 400]
    assert all("idempotencyKey" in answer.json()["message"] for answer in (without, with_two))
    assert customer.balance() == (1000, 0)


def at_once(send: Callable[[], httpx.Response]) -> list[httpx.Response]:
    start = threading.Barrier(TIMES)

    def one(_: int) -> httpx.Response:
        start.wait(20)
        return send()

    with ThreadPoolExecutor(TIMES) as pool:
        return list(pool.map(one, range(TIMES)))


def post(place: Place, customer: Customer, path: str, key: str, **body: Any) -> httpx.Response:
    """Post to the web process whose turn it is."""
    base = place.stack.base_urls[threading.get_ident() // 8 % 2]
    return place.client.post(f"{base}{path}", headers={**customer.headers, "Idempotency-Key": key}, **body)


def top_up(place: Place, admin: Customer, customer: Customer, key: str, amount: int, where: str) -> httpx.Response:
    body = {"userId": customer.id, "amount": amount}
    if where == "header":
        return post(place, admin, "/api/tokens/topup", key, json=body)
    return place.client.post("/api/tokens/topup", json={**body, "idempotencyKey": key}, headers=admin.headers)


def an_admin(place: Place) -> Customer:
    admin = place.customer()
    place.database["accounts"].update_one({"_id": admin.id}, {"$set": {"role": "admin"}})
    return admin


def job_of(answer: httpx.Response) -> str:
    body = answer.json()
    return str(body["jobId"] if "jobId" in body else body["data"]["generationId"])


def replays(answers: list[httpx.Response]) -> int:
    return sum(answer.headers.get("Idempotent-Replayed") == "true" for answer in answers)


def posts_for(place: Place, jobs: list[Answer]) -> list[Answer]:
    return [post for job in jobs for post in place.posts(job["config"]["inputs"]["prompt"])]
