"""Batches over HTTP: what is accepted and refused, how far a batch is, and that nobody waits behind somebody else's 500."""

from __future__ import annotations

import time
import uuid
from typing import Any

import httpx
import pytest

from tests.acceptance.people import headers_of, registered
from tests.acceptance.service import Answer, Service, a_prompt, order, wait_until

IMAGE_COST = 0.05
"""USD of one picture of flux-pro."""


def item(prompt: str = "a red bicycle", **changes: Any) -> Answer:
    return {"model": "flux-pro", "inputs": {"prompt": prompt}, "options": {"image_size": "square"}, **changes}


def body(items: int = 2, **fields: Any) -> Answer:
    return {"items": [item(f"a red bicycle {n}") for n in range(items)], "userId": "user123", **fields}


def post(client: httpx.Client, sent: Answer, **headers: str) -> httpx.Response:
    return client.post("/api/images/batch", json=sent, headers=headers)


def ended(client: httpx.Client, batch_id: str, within_s: float = 20) -> Answer:
    def over() -> Answer | None:
        found: Answer = client.get(f"/api/batches/{batch_id}").json()
        return None if found["status"] in ("pending", "processing") else found

    return wait_until(over, within_s, f"the end of batch {batch_id}")


@pytest.fixture
def ada(client: httpx.Client) -> dict[str, str]:
    """The headers of a signed-in user of 1,000 tokens."""
    return headers_of(registered(client))


def test_a_batch_is_accepted_generated_and_shown(client: httpx.Client) -> None:
    accepted = post(client, body(3, projectId="autumn", metadata={"run": 7}))

    answer = accepted.json()
    assert accepted.status_code == 202, accepted.text
    assert answer.keys() == {"success", "batchId", "jobIds", "cost", "statusUrl"}
    assert (answer["success"], answer["cost"]) == (True, pytest.approx(3 * IMAGE_COST))
    assert accepted.headers["Location"] == answer["statusUrl"] == f"/api/batches/{answer['batchId']}"
    done = ended(client, answer["batchId"])
    assert done["counts"] == {"pending": 0, "processing": 0, "completed": 3, "failed": 0, "canceled": 0}
    assert (done["status"], done["progress"], done["cost"]) == ("completed", 100, pytest.approx(3 * IMAGE_COST))
    listed = client.get("/api/jobs", params={"batchId": answer["batchId"]}).json()["jobs"]
    assert [job["jobId"] for job in reversed(listed)] == answer["jobIds"]
    assert {(job["batchId"], job["projectId"], job["metadata"]["run"], len(job["images"])) for job in listed} == {
        (answer["batchId"], "autumn", 7, 1)
    }


def test_a_job_that_fails_leaves_the_others_alone(client: httpx.Client, service: Service) -> None:
    bad = a_prompt()
    service.emulator.outcome("content_policy", promptContains=bad)
    accepted = post(client, {**body(), "items": [item(bad), item(a_prompt())]}).json()

    done = ended(client, accepted["batchId"])

    assert (done["status"], done["counts"]["completed"], done["counts"]["failed"]) == ("completed", 1, 1)
    assert done["cost"] == IMAGE_COST


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        ({"items": [item()] * 7 + [item(inputs={})], "userId": "u"}, "/items/7/inputs/prompt"),
        ({"items": [item(), item(model="nothing")], "userId": "u"}, "/items/1/model"),
        ({"items": [item(), item(options={"image_size": "vast"})], "userId": "u"}, "/items/1/options/image_size"),
        ({"items": [item(), item(inptus={})], "userId": "u"}, "/items/1/inptus"),
        ({"items": [item(), {"inputs": {}}], "userId": "u"}, "/items/1/model"),
        ({"items": [item(), 7], "userId": "u"}, "/items/1"),
        ({"items": [item(inputs={"prompt": "x" * 3, "image_urls": 7})], "userId": "u"}, "/items/0/inputs/image_urls"),
        (body(501), "/items"),
        (body(0), "/items"),
        ({"userId": "u"}, "/items"),
        ({"items": [item()]}, "/userId"),
        (body(maxCost=-1), "/maxCost"),
        (body(maxCost="cheap"), "/maxCost"),
        (body(wait=True), "/wait"),
    ],
)
def test_a_bad_body_is_refused_whole_with_a_pointer_to_what_is_wrong(service: Service, sent: Answer, pointer: str) -> None:
    before = service.footprint(), service.database["batches"].count_documents({})

    answer = post(service.client, sent)

    assert answer.status_code == 400, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert (service.footprint(), service.database["batches"].count_documents({})) == before


def test_a_batch_above_its_highest_cost_is_refused(client: httpx.Client) -> None:
    refused = post(client, body(2, maxCost=0.09))
    accepted = post(client, body(2, maxCost=0.1))

    assert (refused.status_code, refused.json()["code"]) == (400, "max_cost_exceeded")
    assert refused.json()["details"] == {"cost": 0.1, "maxCost": 0.09}
    assert accepted.status_code == 202


def test_a_repeat_with_the_same_key_is_the_same_batch(client: httpx.Client) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first, again, other = post(client, body(2), **key), post(client, body(2), **key), post(client, body(3), **key)

    assert (first.status_code, again.status_code, again.json()) == (202, 202, first.json())
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
    assert (other.status_code, other.json()["code"]) == (400, "idempotency_mismatch")


def test_a_signed_in_user_pays_in_tokens_and_all_or_none(client: httpx.Client, ada: dict[str, str]) -> None:
    own = {key: value for key, value in body(11).items() if key != "userId"}
    too_many = post(client, own, **ada)
    accepted = post(client, {**own, "items": own["items"][:10]}, **ada)
    held = client.get("/api/tokens/balance", headers=ada).json()["data"]

    assert (too_many.status_code, too_many.json()["code"]) == (400, "insufficient_tokens")
    assert accepted.status_code == 202, accepted.text
    assert held["balance"] == 0
    batch = f"/api/batches/{accepted.json()['batchId']}"
    assert client.get(batch, headers=ada).status_code == 200
    others = headers_of(registered(client))
    assert [client.get(batch, headers=others).status_code, client.post(f"{batch}/cancel", headers=others).status_code] == [404, 404]
    assert client.get(f"/api/batches/{uuid.uuid4()}").json()["code"] == "not_found"


def test_another_users_five_hundred_hold_up_neither_a_single_order_nor_a_small_batch(client: httpx.Client, service: Service) -> None:
    began = time.monotonic()
    hog = post(client, {**body(500), "userId": "hog"}).json()
    accepting_s = time.monotonic() - began

    single = service.generate({**order(a_prompt()), "userId": "somebody"})
    small = post(client, {**body(5), "userId": "somebody-else"}).json()
    done = ended(client, small["batchId"])
    meanwhile = client.get(f"/api/batches/{hog['batchId']}").json()
    canceled = client.post(f"/api/batches/{hog['batchId']}/cancel")
    over = ended(client, hog["batchId"])
    again = client.post(f"/api/batches/{hog['batchId']}/cancel")

    assert accepting_s < 2
    assert single.status_code == 201
    assert done["counts"]["completed"] == 5
    assert meanwhile["status"] == "processing"
    assert meanwhile["counts"]["pending"] > 300
    assert canceled.status_code in (200, 202), "202 where fal is asked to stop some"
    assert (canceled.json()["cancelRequested"], canceled.json()["counts"]["pending"]) == (True, 0)
    assert (over["status"], over["counts"]["canceled"] > 300) == ("canceled", True)
    assert (again.status_code, again.json()["code"]) == (409, "already_finished")


def estimate(client: httpx.Client, sent: Answer, **headers: str) -> httpx.Response:
    return client.post("/api/images/batch/estimate", json=sent, headers=headers)


def test_an_estimate_tells_each_price_and_orders_nothing(client: httpx.Client, service: Service, ada: dict[str, str]) -> None:
    before = service.footprint()
    items = [item(), item(options={"image_size": "square", "num_images": 3})]

    told = estimate(client, {"items": items}, **ada)

    assert told.status_code == 200, told.text
    assert told.json() == {
        "cost": pytest.approx(4 * IMAGE_COST),
        "tokens": 400,
        "numImages": 4,
        "items": [
            {"cost": IMAGE_COST, "tokens": 100, "numImages": 1},
            {"cost": pytest.approx(3 * IMAGE_COST), "tokens": 300, "numImages": 3},
        ],
    }
    assert service.footprint() == before


def test_an_estimate_names_every_bad_item(client: httpx.Client) -> None:
    refused = estimate(client, {"items": [item(), item(model="nothing"), item(inputs={})], "userId": "user123"})

    assert refused.status_code == 400
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/items/1/model", "/items/2/inputs/prompt"]


def test_failed_jobs_are_ordered_again_as_a_batch_by_their_ids(client: httpx.Client, service: Service, ada: dict[str, str]) -> None:
    bad = a_prompt()
    service.emulator.outcome("content_policy", promptContains=bad)
    first = post(client, {"items": [item(bad, options={"image_size": "square", "seed": 7})]}, **ada).json()
    failed = first["jobIds"][0]
    wait_until(lambda: service.document(failed)["settlement"] == "done", 30, "the end of the first")
    service.emulator.clear()

    told = estimate(client, {"items": [{"jobId": failed}]}, **ada).json()
    again = post(client, {"items": [{"jobId": failed}], "maxCost": told["cost"]}, **ada)

    assert again.status_code == 202, again.text
    job = client.get(f"/api/jobs/{again.json()['jobIds'][0]}", headers=ada).json()
    assert (job["config"]["inputs"]["prompt"], job["config"]["options"]["seed"]) == (bad, 7)
    assert again.json()["cost"] == told["cost"] == IMAGE_COST
    assert client.get(f"/api/batches/{again.json()['batchId']}", headers=ada).json()["maxCost"] == IMAGE_COST


def test_jobs_that_cannot_be_ordered_again_are_named_by_their_place(client: httpx.Client, ada: dict[str, str]) -> None:
    strangers = post(client, body(1)).json()["jobIds"][0]
    sent = {"items": [item(), {"jobId": strangers}]}

    refused = [post(client, sent, **ada), estimate(client, sent, **ada)]
    mixed = post(client, {"items": [{"jobId": strangers, "options": {}}], "userId": "user123"})

    for answer in refused:
        assert (answer.status_code, answer.json()["errors"]) == (400, [{"pointer": "/items/1/jobId", "detail": "No such job"}])
    assert (mixed.status_code, mixed.json()["errors"][0]["pointer"]) == (400, "/items/0/options")


def test_a_batchs_user_cannot_be_another_than_its_jobs(client: httpx.Client) -> None:
    job_id = post(client, body(1)).json()["jobIds"][0]
    wait_until(lambda: client.get(f"/api/jobs/{job_id}").json()["completedAt"], 30, "the end of the job")

    refused = post(client, {"items": [{"jobId": job_id}], "userId": "somebody-else"})

    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/items/0/jobId")


def test_batches_are_listed_newest_first_and_only_to_their_owner(client: httpx.Client, ada: dict[str, str]) -> None:
    ids = [post(client, {"items": [item()]}, **ada).json()["batchId"] for _ in range(3)]
    post(client, body(1))

    first = client.get("/api/batches", params={"limit": 2}, headers=ada).json()
    rest = client.get("/api/batches", params={"limit": 2, "cursor": first["cursor"]["next"]}, headers=ada).json()

    assert [batch["batchId"] for batch in first["batches"] + rest["batches"]] == ids[::-1]
    assert (first["cursor"]["hasMore"], rest["cursor"]["hasMore"]) == (True, False)
    assert first["batches"][0]["counts"].keys() == {"pending", "processing", "completed", "failed", "canceled"}
    assert client.get("/api/batches", params={"userId": "user123"}, headers=ada).status_code == 403
