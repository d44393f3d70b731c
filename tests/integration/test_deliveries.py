"""Deliveries in one process, against a receiver on this machine: crashes, slow and forbidden receivers, endpoints that are given up."""

from __future__ import annotations

import copy
import dataclasses
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from app.bootstrap import Services
from app.clients.bounds import LANE_PLACES, SLOW_AFTER_FAILURES, Bounds
from app.clients.guarded import NotPublic, Receivers
from app.clients.queue import WEBHOOK_QUEUE
from app.clients.webhook_sender import WebhookSender
from app.domain import clock
from app.domain.api_key import USUAL_TERMS, KeyTerms
from app.domain.delivery import Delivery, DeliveryStatus
from app.domain.endpoint import OPERATOR, Endpoint, EndpointStatus, OrderHook
from app.domain.event import Event
from app.services.deliveries import produce
from app.services.deliveries.courier import Courier
from app.services.deliveries.endpoints import Wanted
from tests.support.factories import completed_job
from tests.support.receiver import Receiver, running_receiver
from tests.support.shop import Crash
from workers.couriers import Couriers

ADA = "user:ada"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def courier(services: Services) -> Iterator[Courier]:
    """The service's own, which may reach this machine."""
    courier = copy.copy(services.courier)
    sender = WebhookSender(Receivers(allow_http=True, private_hosts=["127.0.0.1"], own_url=None))
    courier._sender = sender
    yield courier
    sender.close()


def registered(services: Services, receiver: Receiver, path: str = "/hook", owner: str = ADA) -> Endpoint:
    return services.endpoints.create(owner, Wanted(url=receiver.url(path), events=("*",)))[0]


def produced(services: Services, *owners: str, count: int = 1) -> list[Delivery]:
    def event(number: int) -> Event:
        return Event(type="tokens.low", key=f"{clock.new_id()}{number}", owners=owners or (ADA,), at=clock.now(), data=lambda: {"left": 3})

    return services.producer.produce(*[event(number) for number in range(count)])


def now_is(services: Services, delivery: Delivery) -> Delivery:
    found = services.delivery_store.get(delivery.id)
    assert found is not None
    return found


def time_passes(services: Services, by: timedelta) -> None:
    """Let everything that is to be done with deliveries come so much earlier."""
    for doc in services.database["deliveries"].find({"attentionAt": {"$ne": None}}):
        moments = {name: doc[name] - by for name in ("attentionAt", "nextAt", "claimedUntil") if doc[name]}
        services.database["deliveries"].update_one({"_id": doc["_id"]}, {"$set": moments})


def hints(redis: Redis) -> list[str]:
    return [task.args[0] for task in Queue(WEBHOOK_QUEUE, connection=redis, serializer=JSONSerializer).jobs]


def test_who_listens_for_less_than_a_second_hears_of_the_start_with_the_end(services: Services, receiver: Receiver) -> None:
    job = completed_job()
    services.jobs.insert(job)
    services.job_events.started(job)  # Nobody is there, which is not asked again for a second.
    registered(services, receiver, owner="user:user-1")

    services.job_events.started(job)
    at_once = [each.type for each in services.delivery_store.of_job(job.id)]
    services.job_events.ended(job)

    assert at_once == []
    assert sorted(each.type for each in services.delivery_store.of_job(job.id)) == ["job.completed", "job.started"]


def test_the_start_is_told_where_somebody_listens_and_where_the_order_names_who(
    services: Services, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered = completed_job(hook=OrderHook(url=receiver.url("/order"), owner=ADA, events=("job.started",)))
    services.job_events.started(ordered)
    monkeypatch.setattr(produce, "LOOK_S", -1.0)
    registered(services, receiver, owner="user:user-1")
    job = dataclasses.replace(completed_job(), id=clock.new_id())
    services.job_events.started(job)

    found = [[each.type for each in services.delivery_store.of_job(told.id)] for told in (ordered, job)]
    assert found == [["job.started"], ["job.started"]]


def test_settling_twice_writes_each_delivery_once(services: Services, receiver: Receiver) -> None:
    endpoint = registered(services, receiver, owner="user:user-1")
    hook = OrderHook(url=receiver.url("/order"), owner=ADA)
    job = completed_job(hook=hook)
    services.jobs.insert(job)

    services.job_events.ended(job)
    services.recovery.settle(job.id)

    found = services.delivery_store.of_job(job.id)
    assert sorted((each.type, each.endpoint_id or "order") for each in found) == sorted(
        [("job.started", endpoint.id), ("job.completed", endpoint.id), ("job.completed", "order")]
    )


def test_who_dies_between_sending_and_writing_down_is_followed_by_the_same_id(
    services: Services, courier: Courier, receiver: Receiver
) -> None:
    lane = registered(services, receiver).id
    (delivery,) = produced(services)
    dying = copy.copy(courier)
    dying._deliveries = copy.copy(courier._deliveries)

    def dies(*_: Any) -> None:
        raise Crash

    dying._deliveries.change = dies  # type: ignore[method-assign, assignment]
    with pytest.raises(Crash):
        dying.deliver_next(lane)
    at_once = courier.deliver_next(lane)
    time_passes(services, timedelta(seconds=61))
    courier.deliver_next(lane)

    assert at_once is False
    assert [call.id for call in receiver.calls] == [delivery.id] * 2
    assert now_is(services, delivery).status is DeliveryStatus.DELIVERED


def test_what_redis_forgot_the_sweep_finds(services: Services, courier: Courier, receiver: Receiver, redis: Redis) -> None:
    lane = registered(services, receiver).id
    produced(services)
    redis.flushdb()

    found = courier.sweep()

    assert (found, hints(redis)) == (1, [lane])


def test_a_slow_receiver_keeps_nobody_elses_waiting(services: Services, courier: Courier, receiver: Receiver) -> None:
    slow, fast = registered(services, receiver, "/slow"), registered(services, receiver, "/fast", owner="user:eve")
    let_go = threading.Event()

    def answer(call: Any) -> tuple[int, dict[str, str]]:
        if call.path == "/slow":
            let_go.wait(10)
        return 204, {}

    receiver.answer = answer
    produced(services, count=100)
    couriers = Couriers(courier)
    try:
        couriers.attend(slow.id)
        receiver.wait(LANE_PLACES, path="/slow")
        produced(services, "user:eve", count=3)
        couriers.attend(fast.id)

        receiver.wait(3, path="/fast")
        assert len(receiver.at("/slow")) == LANE_PLACES
    finally:
        couriers._stopping = True
        let_go.set()
        couriers.close()
    assert len(receiver.at("/slow")) == LANE_PLACES, "who is told to stop begins nothing more"


def test_who_is_away_again_and_again_gets_one_place(redis: Redis) -> None:
    bounds = Bounds(redis)

    def taken(count: int) -> list[bool]:
        places = [bounds.place("lane", "host", by=str(number)) for number in range(count)]
        found = [place.__enter__().is_free for place in places]
        for place in places:
            place.__exit__(None, None, None)
        return found

    well = taken(LANE_PLACES + 1)
    for number in range(SLOW_AFTER_FAILURES):
        with bounds.place("lane", "host", by=str(number)) as place:
            place.failed = True
    redis.delete("imagegw:sending:lane")  # Places of failures stay taken for a second.
    slow = taken(2)
    with bounds.place("lane", "host", by="well") as place:
        place.failed = False

    assert well == [True] * LANE_PLACES + [False]
    assert slow == [True, False]
    assert taken(2) == [True, True]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "::1", "::ffff:10.0.0.1", "fd00::1"])
def test_a_name_that_leads_into_the_network_is_refused_when_registered_and_when_sent(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver, address: str
) -> None:
    receivers = Receivers(allow_http=True, private_hosts=["hooks.internal"], own_url="https://gateway.example.com")
    public, rebound = ("93.184.215.14", receiver.port), (address, receiver.port)
    answers = [public, rebound]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", answers.pop(0) if answers else rebound)])
    url = receivers.checked(f"http://rebinding.example.com:{receiver.port}/hook")
    receivers.require_reachable(url)

    reply = WebhookSender(receivers).post(url, {}, b"{}")

    assert (reply.status_code, reply.error) == (None, "Its address is not on the public internet.")
    assert receiver.calls == []
    with pytest.raises(NotPublic):
        receivers.require_reachable(url)


def test_one_private_address_among_several_is_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    receivers = Receivers(allow_http=False, private_hosts=[], own_url=None)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("93.184.215.14", 443)), (0, 0, 0, "", ("10.0.0.1", 443))])

    with pytest.raises(NotPublic, match="not on the public internet"):
        receivers.require_reachable("https://two.example.com/")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://example.com/", "https"),
        ("https://gateway.example.com/api", "itself"),
        ("https://GATEWAY.example.com./api", "itself"),
        ("https://example.com:80/", "port"),
        ("https://example.com:22/", "port"),
        ("https://a:b@example.com/", "credentials"),
        ("https://a@example.com/", "credentials"),
        ("https://exa mple.com/", "URL"),
        ("https:///x", "URL"),
        ("javascript:alert(1)", "https"),
    ],
)
def test_what_is_no_receivers_url_is_refused_with_the_reason(url: str, problem: str) -> None:
    receivers = Receivers(allow_http=False, private_hosts=[], own_url="https://gateway.example.com")

    with pytest.raises(NotPublic, match=problem):
        receivers.checked(url)


def test_an_endpoint_that_always_fails_is_disabled_and_others_are_told(services: Services, courier: Courier, receiver: Receiver) -> None:
    receiver.answers(500)
    failing, other = registered(services, receiver, "/failing"), registered(services, receiver, "/operator", owner=OPERATOR)
    services.endpoint_store.change(failing.id, lambda e: dataclasses.replace(e, failures=9, failing_since=clock.now() - timedelta(days=3)))
    _, second = produced(services, count=2)

    courier.deliver_next(failing.id)
    courier.deliver_next(other.id)

    found = services.endpoint_store.get(failing.id)
    assert found is not None
    assert found.status is EndpointStatus.DISABLED
    assert {each.status for each in services.delivery_store.page(failing.id, limit=9)} >= {DeliveryStatus.FAILED}
    assert [call.said["type"] for call in receiver.at("/operator")] == ["webhook.disabled"]
    assert services.endpoints.change(failing.id, [ADA], {}, EndpointStatus.ENABLED).failures == 0
    assert second.endpoint_id == failing.id


def test_what_private_hosts_answer_is_told_to_the_operator_alone(services: Services, courier: Courier, receiver: Receiver) -> None:
    receiver.answers(200)
    lanes = [registered(services, receiver, owner=owner).id for owner in (ADA, OPERATOR)]
    found = produced(services, ADA, OPERATOR)

    for lane in lanes:
        courier.deliver_next(lane)

    snippets = {each.owner: now_is(services, each).attempts[0].snippet for each in found}
    assert snippets[ADA] is None
    assert snippets[OPERATOR] is not None
    assert len(snippets[OPERATOR]) == 1024


def test_what_cannot_be_signed_waits_and_counts_as_no_attempt(services: Services, courier: Courier, receiver: Receiver) -> None:
    endpoint = registered(services, receiver)
    spoilt = dataclasses.replace(endpoint.secrets[0], cipher="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    services.endpoint_store.change(endpoint.id, lambda e: dataclasses.replace(e, secrets=(spoilt,)))
    (delivery,) = produced(services)

    courier.deliver_next(endpoint.id)

    found = now_is(services, delivery)
    assert (found.status, found.attempt_count, receiver.calls) == (DeliveryStatus.PENDING, 0, [])
    assert found.next_at is not None
    assert found.next_at > clock.now()


def test_an_endpoint_ends_with_the_key_that_owns_it(services: Services, receiver: Receiver) -> None:
    expiring = KeyTerms(expires_at=clock.now() + timedelta(hours=1))
    keys = [
        services.accounts.make_key(name, terms)[0]
        for name, terms in (("revoked", USUAL_TERMS), ("expired", expiring), ("live", USUAL_TERMS))
    ]
    of_keys = [registered(services, receiver, owner=f"key:{key.id}") for key in keys]
    others = [registered(services, receiver), registered(services, receiver, owner=OPERATOR)]
    (waiting,) = produced(services, of_keys[0].owner)
    services.accounts.revoke_key(keys[0].id)
    later = copy.copy(services.endpoints)
    later._now = lambda: clock.now() + timedelta(hours=2)

    at_once, after_an_hour = services.endpoints.sweep(), later.sweep()

    assert (at_once, after_an_hour, services.endpoints.sweep()) == (1, 1, 0)
    assert {each.id for each in services.endpoint_store.page(None, limit=10)} == {of_keys[2].id, *(each.id for each in others)}
    assert (now_is(services, waiting).status, now_is(services, waiting).reason) == (DeliveryStatus.DROPPED, "its API key has ended")


def test_more_endpoints_of_keys_than_are_looked_at_at_once_are_all_looked_at(services: Services, receiver: Receiver) -> None:
    owners = ["key:one", "key:one", "key:two"]
    for owner in owners:
        registered(services, receiver, owner=owner)

    first = services.endpoint_store.of_keys(after=("", ""), limit=2)
    rest = services.endpoint_store.of_keys(after=(first[-1].owner, first[-1].id), limit=2)

    assert [each.owner for each in [*first, *rest]] == owners
