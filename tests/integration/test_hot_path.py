"""What the calls that everybody makes cost in MongoDB: counted in its driver, so that nothing creeps in unseen."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from flask.testing import FlaskClient
from pymongo import MongoClient, monitoring
from redis import Redis
from werkzeug.test import TestResponse

from app import create_app
from app.bootstrap import Services
from app.clients.queue import QUEUES, TaskQueue
from app.domain import clock
from app.domain.errors import StoreUnavailable
from app.stores import database as databases
from tests.support.emulator import Emulator
from tests.support.factories import completed_job, make_image, make_upload
from tests.support.fal_calls import wait_until
from tests.support.fal_place import FalPlace
from tests.support.services import Backing, running_services, with_parts
from tests.support.shop import orders

BODY = {"model": "flux-dev", "inputs": {"prompt": "a red bicycle"}, "options": {"num_images": 2}, "userId": "user-1", "async": True}
Commands = list[tuple[str, str]]


class Heard(monitoring.CommandListener):
    """The commands a client has sent to MongoDB: name and collection. What the driver sends for itself is left out."""

    OWN = frozenset({"hello", "ismaster", "ping", "endSessions"})

    def __init__(self) -> None:
        self.commands: Commands = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name not in self.OWN:
            self.commands.append((event.command_name, str(event.command.get(event.command_name))))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nobody asks."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nobody asks."""

    def of(self, call: Callable[[], TestResponse], status: int = 200) -> tuple[Commands, Any]:
        """Return what one call of the API has sent, and its answer."""
        self.commands.clear()
        answer = call()
        assert answer.status_code == status, answer.text
        return list(self.commands), answer.json


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def overheard(heard: Heard, backing: Backing, fal_place: FalPlace) -> Iterator[Services]:
    """The whole service in this process, with a driver that tells what it sends; scripts need no key."""
    with pytest.MonkeyPatch.context() as patch:
        # The driver's own `register` would be for every client of this process, for ever.
        patch.setattr(databases, "MongoClient", functools.partial(MongoClient, event_listeners=[heard]))
        with running_services(backing, fal_place) as services:
            yield with_parts(services, settings=dataclasses.replace(services.settings, allow_anonymous=True))


@pytest.fixture
def served(overheard: Services, redis: Redis) -> Services:
    """The same, empty."""
    overheard.database.client.drop_database(overheard.database.name)
    overheard.readiness.look()
    return overheard


@pytest.fixture
def client(served: Services) -> FlaskClient:
    client = create_app(served.settings, served).test_client()
    client.get("/healthz")
    return client


@pytest.fixture
def user(client: FlaskClient) -> tuple[str, dict[str, str]]:
    """Return a user's id and the headers of their requests."""
    answer = client.post("/api/auth/register", json={"email": "ada@example.com", "password": "long enough"}).json
    assert answer is not None
    return str(answer["data"]["user"]["id"]), {"Authorization": f"Bearer {answer['data']['token']}"}


class Away:
    """A store whose database does not answer."""

    def usual(self) -> NoReturn:
        raise StoreUnavailable("away")


def queued(redis: Redis) -> list[str]:
    """Return the tasks that wait for a worker."""
    return [task.name for name in QUEUES for task in TaskQueue(redis).waiting(name)]


def jobs_of(services: Services, user_id: str, count: int) -> list[str]:
    """Write finished jobs of two pictures each."""
    ids = [clock.new_id() for _ in range(count)]
    for job_id in ids:
        images = (make_image(0), make_image(1))
        services.jobs.insert(dataclasses.replace(completed_job(requests=(2,)), id=job_id, order_key=job_id, user_id=user_id, images=images))
    return ids


def test_a_submit_is_one_write_and_one_task(client: FlaskClient, heard: Heard, redis: Redis) -> None:
    commands, answer = heard.of(lambda: client.post("/api/images/generate", json=BODY), 202)

    # The read looks whether the user has a budget.
    assert commands == [("find", "budgets"), ("insert", "jobs")]
    assert queued(redis) == ["submit"]
    assert answer["status"] == "pending"


def test_an_idempotency_key_costs_one_read_more(client: FlaskClient, heard: Heard, redis: Redis) -> None:
    commands, _ = heard.of(lambda: client.post("/api/images/generate", json=BODY, headers={"Idempotency-Key": "k-1"}), 202)

    assert commands == [("find", "jobs"), ("find", "budgets"), ("insert", "jobs")]
    assert queued(redis) == ["submit"]


def test_a_repeated_submit_writes_and_enqueues_nothing(client: FlaskClient, heard: Heard, redis: Redis) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = client.post("/api/images/generate", json=BODY, headers=headers)

    commands, answer = heard.of(lambda: client.post("/api/images/generate", json=BODY, headers=headers), 202)

    assert commands == [("find", "jobs")]
    assert first.json is not None
    assert answer["jobId"] == first.json["jobId"]
    assert queued(redis) == ["submit"]


def test_an_api_key_costs_one_read_more(client: FlaskClient, served: Services, heard: Heard) -> None:
    _, secret = served.accounts.make_key("a script")
    served.accounts.key_of(secret)  # That it was used is noted once a minute.

    commands, _ = heard.of(lambda: client.post("/api/images/generate", json=BODY, headers={"X-API-Key": secret}), 202)

    assert commands == [("find", "apiKeys"), ("find", "budgets"), ("insert", "jobs")]


def test_a_status_call_is_one_read(client: FlaskClient, served: Services, heard: Heard) -> None:
    (job_id,) = jobs_of(served, "user-1", 1)

    commands, answer = heard.of(lambda: client.get(f"/api/jobs/{job_id}"))

    assert commands == [("find", "jobs")]
    assert len(answer["images"]) == 2


def test_the_list_of_models_is_one_read_every_now_and_then_and_stands_without_a_database(
    client: FlaskClient, served: Services, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = float("-inf")
    served.usual_times._read_at = long_ago
    served.durations.add("flux-dev", [7.0] * 5)

    commands, listed = heard.of(lambda: client.get("/api/images/models"))
    again, _ = heard.of(lambda: client.get("/api/images/models"))
    monkeypatch.setattr(served.usual_times, "_durations", Away())
    served.usual_times._read_at = long_ago
    _, away = heard.of(lambda: client.get("/api/images/models"))

    assert (commands, again) == ([("find", "modelDurations")], [])
    for answer in (listed, away):
        assert {model["name"]: model["usualSeconds"] for model in answer["models"]}["flux-dev"] == 7.0


@pytest.mark.parametrize("query", ["", "&userId=user-1", "&userId=user-1&status=completed", "&model=flux-dev"])
def test_a_page_of_jobs_is_one_read_however_long(client: FlaskClient, served: Services, heard: Heard, query: str) -> None:
    jobs_of(served, "user-1", 110)

    pages = [heard.of(lambda limit=limit: client.get(f"/api/jobs?limit={limit}{query}")) for limit in (1, 20, 100)]  # type: ignore[misc]

    assert [commands for commands, _ in pages] == [[("find", "jobs")]] * 3
    assert [len(answer["jobs"]) for _, answer in pages] == [1, 20, 100]


def test_a_later_page_costs_what_the_first_does(client: FlaskClient, served: Services, heard: Heard) -> None:
    jobs_of(served, "user-1", 30)
    _, first = heard.of(lambda: client.get("/api/jobs?limit=20"))

    commands, second = heard.of(lambda: client.get(f"/api/jobs?limit=20&cursor={first['cursor']['next']}"))

    assert len(commands) <= 2, "the page, and whether there is one before it"
    assert {name for name, _ in commands} == {"find"}
    assert len(second["jobs"]) == 10


def test_a_batch_costs_the_same_however_many_jobs_it_has(client: FlaskClient, served: Services, heard: Heard) -> None:
    batches = [served.batches.submit(orders(items), key=None, max_cost_micros=None).batch.id for items in (1, 40)]

    seen = [heard.of(lambda batch_id=batch_id: client.get(f"/api/batches/{batch_id}")) for batch_id in batches]  # type: ignore[misc]

    (small, one), (large, many) = seen
    assert small == large
    assert len(large) <= 2
    assert (sum(one["counts"].values()), sum(many["counts"].values())) == (1, 40)


def test_a_page_of_my_generations_costs_the_same_however_long(
    client: FlaskClient, served: Services, heard: Heard, user: tuple[str, dict[str, str]]
) -> None:
    jobs_of(served, user[0], 30)

    pages = [heard.of(lambda n=n: client.get(f"/api/generate/my-generations?limit={n}", headers=user[1])) for n in (1, 20)]  # type: ignore[misc]

    assert [commands for commands, _ in pages] == [[("find", "accounts"), ("find", "jobs")]] * 2
    assert [len(answer["data"]["results"]) for _, answer in pages] == [1, 20]


def test_a_page_of_uploads_costs_the_same_however_long(
    client: FlaskClient, served: Services, heard: Heard, user: tuple[str, dict[str, str]]
) -> None:
    for number in range(30):
        served.uploads._store.insert(make_upload(user_id=user[0], key=f"uploads/{user[0]}/{number}.png"))

    pages = [heard.of(lambda n=n: client.get(f"/api/uploads?limit={n}", headers=user[1])) for n in (1, 20)]  # type: ignore[misc]

    assert [commands for commands, _ in pages] == [[("find", "accounts"), ("find", "uploads")]] * 2
    assert [len(answer["data"]["uploads"]) for _, answer in pages] == [1, 20]


def test_settling_a_job_that_nobody_listens_to_costs_one_read_more(served: Services, heard: Heard) -> None:
    job = completed_job(order_key="k")
    served.jobs.insert(job)
    heard.commands.clear()

    served.recovery.settle(job.id)

    of_webhooks = [command for command in heard.commands if command[1] in ("webhookEndpoints", "webhookSecrets", "deliveries")]
    assert of_webhooks == [("find", "webhookEndpoints")]


def test_a_submit_with_a_webhook_costs_no_more(client: FlaskClient, served: Services, heard: Heard) -> None:
    body = {**BODY, "webhook": "https://192.0.78.9/hooks"}

    commands, _ = heard.of(lambda: client.post("/api/images/generate", json=body), 202)

    assert commands == [("find", "budgets"), ("insert", "jobs")]


def test_a_generation_costs_a_worker_these_reads_and_writes_and_no_others(
    client: FlaskClient, served: Services, heard: Heard, fal_emulator: Emulator
) -> None:
    def generated() -> Commands:
        job_id = str((client.post("/api/images/generate", json={**BODY, "options": {}}).json or {})["jobId"])
        heard.commands.clear()
        served.dispatcher.post(job_id)
        wait_until(lambda: {seen["state"] for seen in fal_emulator.requests()} == {"COMPLETED"})
        served.collector.collect(job_id, 0)
        return list(heard.commands)

    generated()  # The first one of a day and a model makes their document.

    assert generated() == [
        *[("find", "jobs"), ("update", "jobs"), ("update", "jobs")],  # Whether anybody listens at all is asked once a second.
        *[("find", "jobs"), ("update", "jobs"), ("findAndModify", "usage"), ("update", "usageDays"), ("update", "uploads")],
        *[("find", "webhookEndpoints"), ("update", "jobs")],
    ]
