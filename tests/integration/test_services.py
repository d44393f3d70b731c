"""A job's life through the real services, stores, queue and fal client, without worker processes."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.domain import clock
from app.domain.errors import Gone, InvalidRequest, MissingInputs, NotFound, UnknownModelName
from app.domain.job import JobStatus, Settlement
from app.stores.jobs import JobFilter
from tests.support.factories import certain
from tests.support.gateway import Gateway

PRICE = 25_000


def test_an_order_becomes_stored_pictures_a_charge_and_a_history(gateway: Gateway) -> None:
    job = gateway.order(num_images=2)
    assert gateway.tasks() == [("submit", [job.id])]

    sent = gateway.dispatch(job)
    done = gateway.collect(sent)

    assert (job.status, sent.status, done.status) == (JobStatus.PENDING, JobStatus.PROCESSING, JobStatus.COMPLETED)
    assert [entry.message for entry in done.history] == ["Waiting for a worker", "Sent to fal", "Completed"]
    assert (done.charged_micros, done.settlement, done.attention_at) == (2 * PRICE, Settlement.DONE, None)
    assert [image.key for image in done.images] == [f"generated-images/user-1/{job.id}/image_{n}.jpg" for n in range(2)]
    assert [hashlib.sha256(content).hexdigest() for content in gateway.stored(done)] == [image.sha256 for image in done.images]
    assert {(image.width, image.height) for image in done.images} == {(64, 64)}
    assert done.requests[0].billable_units is not None
    assert [gateway.services.uploads.get(image.upload_id, user_id="user-1").key for image in done.images] == [i.key for i in done.images]
    assert [(record["_id"], record["chargedMicros"], record["images"]) for record in gateway.usage()] == [(job.id, 2 * PRICE, 2)]


def test_fals_own_links_are_kept_nowhere_but_in_the_receipt(gateway: Gateway) -> None:
    done = gateway.generated(gateway.order())

    (document,) = gateway.services.database["jobs"].find()
    assert f"{gateway.fal.base_url}/files/" not in json.dumps(document, default=str)
    assert done.requests[0].receipt is not None


def test_ten_images_are_three_requests_of_four_four_and_two(gateway: Gateway) -> None:
    done = gateway.generated(gateway.order(num_images=10))

    assert gateway.posts() == [4, 4, 2]
    assert (done.status, done.charged_micros) == (JobStatus.COMPLETED, 10 * PRICE)
    assert [image.number for image in done.images] == list(range(10))
    assert len({image.key for image in done.images}) == 10
    assert len({request.receipt.request_id for request in done.requests if request.receipt}) == 3


def test_a_repeated_task_posts_nothing_again(gateway: Gateway) -> None:
    job = gateway.order(num_images=6)

    for _ in range(3):
        gateway.dispatch(job)

    assert gateway.posts() == [4, 2]


def test_racing_workers_post_each_request_once(gateway: Gateway) -> None:
    job = gateway.order(num_images=10)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: gateway.services.dispatcher.post(job.id), range(8)))

    assert sorted(gateway.posts()) == [2, 4, 4]
    assert gateway.generated(job).status is JobStatus.COMPLETED


def test_racing_collectors_end_a_job_once(gateway: Gateway) -> None:
    job = gateway.dispatch(gateway.order(num_images=4))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: gateway.collect(job), range(4)))

    done = gateway.job(job.id)
    assert [entry.status for entry in done.history].count(JobStatus.COMPLETED) == 1
    assert (len(done.images), done.charged_micros, len(gateway.usage())) == (4, 4 * PRICE, 1)
    assert len(gateway.services.database["uploads"].distinct("_id")) == 4


def test_three_of_four_images_are_delivered_and_charged(gateway: Gateway) -> None:
    gateway.fal.outcome("fewer")

    done = gateway.generated(gateway.order(num_images=4))

    assert (done.status, done.message, done.charged_micros) == (JobStatus.COMPLETED, "3 of 4 images were delivered", 3 * PRICE)
    assert gateway.usage()[0]["images"] == 3


def test_one_failed_request_of_several_costs_only_its_own_images(gateway: Gateway) -> None:
    gateway.fal.outcome("content_policy")

    done = gateway.generated(gateway.order(num_images=6))

    assert (done.status, done.charged_micros) == (JobStatus.COMPLETED, 2 * PRICE)
    assert [image.number for image in done.images] == [4, 5]


def test_a_deleted_or_unknown_job_is_no_work(gateway: Gateway) -> None:
    gateway.services.dispatcher.post(clock.new_id())
    gateway.services.collector.collect(clock.new_id(), 0)

    assert gateway.services.recovery.sweep() == 0


def test_a_job_is_its_owners_only(gateway: Gateway) -> None:
    job = gateway.order(user_id="user-1")

    assert gateway.services.job_actions.job(job.id, user_id=None) == certain(gateway.services.jobs.get(job.id))
    for user_id, job_id in (("user-2", job.id), ("user-1", clock.new_id()), ("user-1", "../../etc")):
        with pytest.raises(NotFound):
            gateway.services.job_actions.job(job_id, user_id=user_id)


def test_a_refused_order_leaves_nothing_behind(gateway: Gateway) -> None:
    for refused, fields in (
        (UnknownModelName, {"model": "flux-nothing"}),
        (InvalidRequest, {"num_images": 0}),
        (MissingInputs, {"model": "nano-banana-edit"}),
    ):
        with pytest.raises(refused):
            gateway.order(**fields)

    assert gateway.tasks() == []
    assert gateway.services.jobs.count(JobFilter()) == 0


def test_a_deleted_job_is_gone_with_its_pictures(gateway: Gateway) -> None:
    done = gateway.generated(gateway.order())

    gateway.services.job_actions.delete(done.id, user_id="user-1")

    with pytest.raises(Gone):
        gateway.services.job_actions.job(done.id, user_id="user-1")
    with pytest.raises(NotFound):
        gateway.services.storage.open(done.images[0].key)
    assert len(gateway.usage()) == 1


def test_the_audit_counts_accounts_that_do_not_add_up(gateway: Gateway) -> None:
    accounts = [gateway.services.accounts.register(f"user{number}@example.com", "correct horse") for number in range(3)]
    assert gateway.services.billing.audit() == 0
    gateway.services.database["accounts"].update_one({"_id": accounts[1].id}, {"$inc": {"tokens": 1}})

    gateway.services.mend()

    assert [s.value for s in gateway.services.metrics.samples() if s.name == "imagegw_ledger_imbalance"] == [1]
