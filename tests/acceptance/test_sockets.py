"""Live events as clients hear them, from two web processes behind one Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from typing import Any

import httpx
import pytest
import socketio
from pymongo import MongoClient

from scripts.stack.ports import free_port
from scripts.stack.stack import Stack
from tests.acceptance.people import Person, accounts_of
from tests.acceptance.service import SECONDS, Answer, Service, a_prompt
from tests.support.emulator import Emulator
from tests.support.listeners import Event, Heard, listening, listening_in_javascript

PROGRESS, COMPLETED, FAILED = "generation_progress", "generation_completed", "generation_failed"
Listen = Callable[..., AbstractContextManager[Heard]]
CLIENTS: dict[str, Listen] = {"python": listening, "javascript": listening_in_javascript}


@pytest.fixture(scope="module")
def two_webs() -> Iterator[Service]:
    port = free_port()
    # As behind a balancer: pictures have one address, whichever process tells it.
    settings = {"ALLOW_ANONYMOUS": "true", "WORKERS": "2", "PUBLIC_ASSET_URL": f"http://127.0.0.1:{port}/files"}
    with ExitStack() as opened:
        stack = opened.enter_context(Stack(env={}, quiet=True, overrides=settings, emulator_seconds=SECONDS, webs=2, port=port))
        assert stack.emulator_url is not None
        assert stack.bundle is not None
        client = opened.enter_context(httpx.Client(base_url=stack.base_url, timeout=30, trust_env=False))
        mongo: MongoClient[Answer] = opened.enter_context(MongoClient(stack.mongo_uri, tz_aware=True))
        emulator = Emulator(stack.emulator_url, stack.bundle)
        opened.callback(emulator.close)
        yield Service(stack, client, emulator, mongo)


@pytest.fixture
def service(two_webs: Service) -> Service:
    two_webs.calm()
    return two_webs


@pytest.fixture
def ada(service: Service) -> Person:
    return Person(service)


@pytest.fixture(params=CLIENTS)
def listen(request: pytest.FixtureRequest) -> Listen:
    return CLIENTS[request.param]


def auth_of(person: Person, **more: Any) -> Mapping[str, Any]:
    return {"token": person.token, **more}


def connected(listen: Listen, address: str, auth: Mapping[str, Any], opened: ExitStack) -> Heard:
    heard = opened.enter_context(listen(address, auth))
    if listen is listening_in_javascript:
        heard.until(lambda: [name for name, _ in heard.events if name == "connect"], 5)
    return heard


def check_story(events: list[Event]) -> None:
    """Check what holds for the events of any job."""
    payloads = [data for _, data in events]
    assert [data["seq"] for data in payloads] == list(range(1, len(events) + 1))
    assert [name for name, _ in events[:-1]] == [PROGRESS] * (len(events) - 1)
    progress = [data["progress"] for data in payloads[:-1]]
    assert progress == sorted(progress)
    assert all(0 <= value <= 100 for value in progress)
    moments = [data["timestamp"] for data in payloads]
    assert moments == sorted(moments)
    assert all(moment.endswith("Z") and datetime.fromisoformat(moment) for moment in moments)
    assert all(data["generationId"] == data["jobId"] for data in payloads)


def test_a_generation_is_told_event_by_event_and_field_by_field(ada: Person, listen: Listen) -> None:
    with ExitStack() as opened:
        heard = connected(listen, ada.service.stack.base_urls[0], auth_of(ada), opened)

        generation_id = ada.ordered(ada.reference_form(numberOfImages="2"))
        events = heard.until_end_of(generation_id)

    check_story(events)
    (first_name, first), (last_name, last) = events[0], events[-1]
    images = ada.generation(generation_id)["images"]
    assert (first_name, last_name) == (PROGRESS, COMPLETED)
    assert set(first) == {"generationId", "jobId", "seq", "timestamp", "progress", "message", "status"}
    assert (first["generationId"], first["progress"], first["status"]) == (generation_id, 0, "pending")
    assert {data["status"] for _, data in events[1:-1]} == {"processing"}
    assert set(last) == {"generationId", "jobId", "seq", "timestamp", "images"}
    assert last["images"] == images
    assert len(images) == 2
    for image in images:
        assert set(image) == {"imageId", "imageUrl", "thumbnailUrl", "downloadUrl", "mimeType", "sizeBytes"}
        fetched = httpx.get(image["imageUrl"], trust_env=False)
        assert (fetched.headers["content-type"], len(fetched.content)) == (image["mimeType"], image["sizeBytes"])


def test_a_failure_is_told_with_its_reason(ada: Person, listen: Listen) -> None:
    ada.service.emulator.outcome("content_policy", promptContains=ada.id)
    with ExitStack() as opened:
        heard = connected(listen, ada.service.stack.base_urls[0], auth_of(ada), opened)

        generation_id = ada.ordered(ada.text(prompt=f"something {ada.id}"))
        events = heard.until_end_of(generation_id)

    check_story(events)
    name, data = events[-1]
    error = ada.ended(generation_id)["error"]
    assert name == FAILED
    assert set(data) == {"generationId", "jobId", "seq", "timestamp", "error", "code"}
    assert (data["code"], data["error"]) == ("content_policy_violation", error["message"])


def test_whoever_waits_in_fals_queue_is_told_its_place(ada: Person) -> None:
    ada.service.emulator.settings(seconds=1.0, concurrency=1)
    with ExitStack() as opened:
        heard = connected(listening, ada.service.stack.base_urls[0], auth_of(ada), opened)

        ids = [ada.ordered(ada.text(prompt=f"bicycle {n}")) for n in range(3)]
        stories = [heard.until_end_of(generation_id) for generation_id in ids]

    for events in stories:
        check_story(events)
    waiting = [data for events in stories for _, data in events if "queuePosition" in data]
    assert waiting
    assert {type(data["queuePosition"]) for data in waiting} == {int}
    assert {data["status"] for data in waiting} == {"processing"}


def test_an_event_reaches_a_client_of_the_other_web_process(ada: Person, listen: Listen) -> None:
    here, there = ada.service.stack.base_urls
    with ExitStack() as opened:
        both = [connected(listen, address, auth_of(ada), opened) for address in (here, there)]

        generation_id = ada.ordered(ada.text())
        stories = [heard.until_end_of(generation_id) for heard in both]

    check_story(stories[0])
    assert stories[0] == stories[1]


@pytest.mark.parametrize("transports", [("polling",), ("websocket",), ("polling", "websocket")], ids="+".join)
def test_every_transport_brings_the_same(ada: Person, transports: tuple[str, ...]) -> None:
    with listening_in_javascript(ada.service.stack.base_urls[1], auth_of(ada), transports=transports) as heard:
        heard.until(lambda: heard.events, 5)

        events = heard.until_end_of(ada.ordered(ada.text()))

    check_story(events)
    assert events[-1][0] == COMPLETED


def test_a_client_that_comes_back_is_sent_what_it_missed_and_no_more(ada: Person, listen: Listen) -> None:
    first_web, other_web = ada.service.stack.base_urls
    with ExitStack() as opened:
        heard = connected(listen, first_web, auth_of(ada), opened)
        generation_id = ada.ordered(ada.text())
        whole = heard.until_end_of(generation_id)

    with ExitStack() as opened:
        again = connected(listen, other_web, auth_of(ada, since={generation_id: 1}), opened)
        missed = again.until_end_of(generation_id)
    with ExitStack() as opened:
        nothing = connected(listen, other_web, auth_of(ada, since={generation_id: len(whole)}), opened)
        time.sleep(0.3)

        assert missed == whole[1:]
        assert nothing.of(generation_id) == []


@pytest.mark.parametrize("since", ["x", 7, [], {"nonsense": 1}, {"nonsense": "1"}, {"01a1fbd0-bc8c-709f-83ac-6312d7eb7090": 0}], ids=str)
def test_a_since_that_names_nothing_is_ignored(ada: Person, since: Any) -> None:
    with listening(ada.service.stack.base_urls[0], auth_of(ada, since=since)) as heard:
        assert heard.until_end_of(ada.ordered(ada.text()))


def test_a_since_shows_nobody_elses_job(ada: Person) -> None:
    grace = Person(ada.service, "grace")
    generation_id = grace.ordered(grace.text())
    grace.ended(generation_id)

    with listening(ada.service.stack.base_urls[0], auth_of(ada, since={generation_id: 0})) as heard:
        own = ada.ordered(ada.text())
        heard.until_end_of(own)

        assert {data["jobId"] for _, data in heard.events} == {own}


BAD_AUTHS: list[Any] = [
    {"token": "nonsense"},
    {"token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ."},
    {"token": ""},
    {"token": "igk_0123456789abcdef_secret", "userId": "user123"},
    {"token": 7},
    {"token": {"$ne": None}},
    {"token": "\ud83c"},
    {"apiKey": "igk_0123456789abcdef_secret", "userId": "user123"},
    {"userId": 7},
    {"userId": ""},
    {"userId": "x" * 5000},
    {},
]


@pytest.mark.parametrize("auth", BAD_AUTHS, ids=lambda auth: ascii(auth)[:40])
def test_a_bad_credential_is_a_connect_error(service: Service, auth: Any) -> None:
    with pytest.raises(socketio.exceptions.ConnectionError), listening(service.stack.base_urls[0], auth):
        pass


def test_a_bad_token_is_a_connect_error_in_javascript_too(ada: Person) -> None:
    with listening_in_javascript(ada.service.stack.base_urls[0], {"token": ada.token + "x"}) as heard:
        heard.until(lambda: heard.events, 5)

    ((name, told),) = heard.events
    assert name == "connect_error"
    assert told == {"message": "The token is not valid, or has expired; log in again", "data": {"code": "unauthorized"}}


def test_a_user_cannot_listen_as_another(ada: Person) -> None:
    grace = Person(ada.service, "grace")

    with pytest.raises(socketio.exceptions.ConnectionError), listening(ada.service.stack.base_urls[0], auth_of(ada, userId=grace.id)):
        pass


def test_a_script_hears_the_jobs_of_the_user_it_names(service: Service) -> None:
    _, key = accounts_of(service).make_key("a script")
    user_id = f"customer-{time.time_ns()}"
    headers = {"X-API-Key": key}
    body = {"model": "flux-pro", "inputs": {"prompt": a_prompt()}, "options": {"image_size": "square"}, "userId": user_id}

    with ExitStack() as opened:
        listeners = [
            connected(listen, service.stack.base_urls[1], {"apiKey": key, "userId": user_id}, opened)
            for listen in (listening, listening_in_javascript)
        ]
        answer = service.client.post("/api/images/generate", json=body, headers=headers)
        stories = [heard.until_end_of(answer.json()["jobId"]) for heard in listeners]

    assert answer.status_code == 201
    check_story(stories[0])
    assert stories[0] == stories[1]
    assert [image["imageId"] for image in stories[0][-1][1]["images"]] == [image["imageId"] for image in answer.json()["images"]]


def test_a_key_that_was_revoked_hears_nothing(service: Service) -> None:
    accounts = accounts_of(service)
    key, text = accounts.make_key("a script")
    accounts.revoke_key(key.id)

    with pytest.raises(socketio.exceptions.ConnectionError), listening(service.stack.base_urls[0], {"apiKey": text, "userId": "user123"}):
        pass


def test_nobody_hears_another_users_events(ada: Person) -> None:
    grace = Person(ada.service, "grace")
    with ExitStack() as opened:
        hers = [connected(listening, address, auth_of(grace), opened) for address in ada.service.stack.base_urls]
        his = connected(listening, ada.service.stack.base_urls[0], auth_of(ada), opened)

        first, second = ada.ordered(ada.text()), grace.ordered(grace.text())
        his.until_end_of(first)
        for heard in hers:
            heard.until_end_of(second)

        assert {data["jobId"] for _, data in his.events} == {first}
        assert {data["jobId"] for heard in hers for _, data in heard.events} == {second}


def test_what_a_client_sends_does_nothing(ada: Person) -> None:
    grace = Person(ada.service, "grace")
    client = socketio.Client(reconnection=False)
    client.connect(ada.service.stack.base_urls[0], auth=dict(auth_of(ada)), transports=["websocket"])
    heard = Heard()
    client.on("*", heard.add)
    try:
        for name in ("join", "join_room", "enter_room", "subscribe", PROGRESS):
            client.emit(name, {"room": f"user:{grace.id}", "userId": grace.id})
        grace.ended(grace.ordered(grace.text()))
        time.sleep(0.2)

        assert heard.events == []
    finally:
        client.disconnect()
