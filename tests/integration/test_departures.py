"""All that is kept of a user goes, whoever dies in between, and what must stay leads to nobody."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.clients.storage import LocalStorage
from app.domain import clock
from app.domain.account import Role
from app.domain.api_key import KeyTerms, Scope
from app.domain.errors import BeingDeleted, LastAdministrator, NotFound, StorageUnavailable, Unauthorized
from app.domain.job import Job, JobStatus
from app.domain.usage import GroupBy
from app.services.deliveries.endpoints import Wanted
from app.services.orders.order import Order
from app.services.people.uploads import ANY_SIDE
from app.services.privacy import departures as module
from app.services.privacy.departures import Departures
from tests.support.deliveries import a_delivery, an_endpoint
from tests.support.factories import picture
from tests.support.gateway import SMALL, Gateway
from tests.support.shop import Crash, orders

PASSWORD = "correct horse battery staple"
EMAIL, PROMPT = "ada.secret@example.com", "a very secret bicycle"


@pytest.fixture
def client(gateway: Gateway) -> FlaskClient:
    return create_app(gateway.services.settings, gateway.services).test_client()


@pytest.fixture
def ada(gateway: Gateway) -> str:
    return gateway.services.accounts.register(EMAIL, PASSWORD).id


def ordered(gateway: Gateway, user_id: str, prompt: str = PROMPT, **fields: Any) -> Job:
    order = Order(model="flux-dev", inputs={"prompt": prompt}, options={"image_size": SMALL}, user_id=user_id, **fields)
    return gateway.services.orders.submit(order).job


def done(gateway: Gateway, user_id: str, **fields: Any) -> Job:
    job = gateway.generated(ordered(gateway, user_id, **fields))
    gateway.services.recovery.settle(job.id)
    return gateway.job(job.id)


def furnished(gateway: Gateway, user_id: str) -> list[Job]:
    """Give a user something of every kind."""
    services = gateway.services
    jobs = [done(gateway, user_id, pays_tokens=True), done(gateway, user_id), done(gateway, user_id)]
    services.job_actions.delete(jobs[2].id, user_id=None)
    services.thumbnails.of(jobs[0].images[0].key, 320)
    batch = services.batches.submit(orders(2, user_id=user_id, inputs={"prompt": PROMPT}), key=None, max_cost_micros=None).batch
    services.batches.cancel(batch.id, user_id=None)
    for job_id in batch.job_ids:
        services.recovery.settle(job_id)
    services.uploads.keep(user_id, io.BytesIO(picture(color="navy")), sides=ANY_SIDE, file_name="my face.png")
    endpoint, _ = services.endpoints.create(f"user:{user_id}", Wanted(url="https://example.com/hook", events=("*",)))
    of_operator = an_endpoint()
    deliveries = [
        a_delivery(endpoint, body=PROMPT),
        a_delivery(of_operator, job_id=jobs[0].id, body=PROMPT),
        a_delivery(of_operator, endpoint_id=None, owner=f"user:{user_id}", lane=f"user:{user_id} example.com", body=PROMPT),
    ]
    services.delivery_store.insert_all(deliveries)
    services.webhook_secrets.own(f"user:{user_id}")
    services.accounts.make_key("only hers", KeyTerms(users=(user_id,)))
    services.accounts.make_key("hers too", KeyTerms(users=("grace", user_id)))
    services.billing.topup(user_id, 50, key=f"gift {clock.new_id()} for {user_id}", notes=f"for {EMAIL}")
    services.budgets.set_monthly(f"user:{user_id}", "25.00")
    return jobs


def counted(gateway: Gateway) -> None:
    """Do what the watcher does: count what has ended for the operator's sums."""
    while gateway.services.spend.advance():
        pass


def traces(gateway: Gateway, *words: str) -> list[str]:
    """Return every document of the database, and every file of the storage, in which one of the words stands."""
    database, storage = gateway.services.database, gateway.services.storage
    assert isinstance(storage, LocalStorage)
    docs = [f"{name}: {doc}" for name in database.list_collection_names() for doc in database[name].find()]
    files = [str(path.relative_to(storage.root)) for path in storage.root.rglob("*") if path.is_file()]
    return [found for found in (*docs, *files) if any(word in found for word in words)]


def totals(gateway: Gateway) -> Any:
    """Return what must not change: usage and balances of all, however they are called."""
    services = gateway.services
    usage = services.usage.report(None, services.usage.period(None, None), GroupBy.MODEL)
    accounts = sorted(doc["tokens"] for doc in services.database["accounts"].find())
    spent = sum(
        figures["charged"]
        for doc in services.database["spendDays"].find({"_id": {"$gte": "user/", "$lt": "user0"}})
        for figures in doc["of"].values()
    )
    return usage, accounts, spent, services.billing.verify()


def at_once(departures: Departures) -> Departures:
    """Return a departure's worker to whom nobody's claim is too fresh."""
    later = copy.copy(departures)
    later._now = lambda: clock.now() + timedelta(seconds=61)
    return later


def test_nothing_of_a_user_is_left_and_what_was_paid_stays_under_a_name_that_leads_to_nobody(gateway: Gateway, ada: str) -> None:
    jobs = furnished(gateway, ada)
    others = done(gateway, "grace", prompt="a blue bicycle")
    counted(gateway)
    before = totals(gateway)
    assert traces(gateway, ada, EMAIL, PROMPT)

    progress = gateway.services.departures.erase(ada)

    assert (progress.is_done, progress.jobs_deleted, progress.uploads_deleted, progress.jobs_left) == (True, 4, 1, 0)
    assert traces(gateway, ada, EMAIL, PROMPT, "my face") == []
    assert totals(gateway) == before
    assert gateway.job(others.id).images
    names = {doc["userId"] for doc in gateway.services.database["usage"].find()} - {"grace"}
    assert len(names) == 1
    assert next(iter(names)).startswith("former-")
    assert gateway.services.database["departures"].count_documents({}) == 0
    keys = {key.name: key for key in gateway.services.accounts.all_keys()}
    assert (keys["only hers"].is_live(clock.now()), keys["hers too"].terms.users) == (False, ("grace",))
    for job in jobs:
        with pytest.raises(NotFound):
            gateway.services.job_actions.job(job.id, user_id=ada)


def test_a_user_of_a_script_goes_as_well_and_may_come_back(gateway: Gateway) -> None:
    name = "auth0|x/y .z"
    done(gateway, name)
    counted(gateway)

    gone = gateway.services.departures.erase(name)
    left = traces(gateway, name, PROMPT, quote(name, safe=""))
    again = done(gateway, name, prompt="a new bicycle")

    assert (gone.is_done, left) == (True, [])
    assert gateway.job(again.id).status is JobStatus.COMPLETED
    assert gateway.services.departures.erase("nobody ever").is_done


STEPS = [
    "_end_webhooks", "_cancel_jobs", "_delete_jobs", "_remove_batches", "_remove_uploads",
    "_rename_usage", "_rename_days", "_rename_ledger", "_rename_account", "_is_empty",
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_who_dies_at_any_step_is_followed_by_the_watcher(gateway: Gateway, ada: str, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done(gateway, ada, pays_tokens=True)
    gateway.services.uploads.keep(ada, io.BytesIO(picture(color="navy")), sides=ANY_SIDE)
    counted(gateway)
    before = totals(gateway)
    dying = copy.copy(gateway.services.departures)

    def dies(*_: Any) -> None:
        raise Crash

    monkeypatch.setattr(dying, step, dies, raising=False)
    with pytest.raises(Crash):
        dying.erase(ada)
    meanwhile = gateway.services.billing.verify()
    at_once(gateway.services.departures).sweep()

    assert traces(gateway, ada, EMAIL, PROMPT) == []
    assert (totals(gateway), meanwhile[1]) == (before, []), "at no time does the ledger look wrong"


HALVES: list[tuple[str, str]] = [
    ("_ledger", "rename"), ("_account_store", "rename"), ("_usage_days", "rename"), ("_spend_store", "rename_user"), ("_tombstones", "rename"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "name"), HALVES)
def test_a_move_that_was_cut_off_in_its_middle_is_finished(
    gateway: Gateway, ada: str, part: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write of the move is made to be the last one of its process, one after the other."""
    furnished(gateway, ada)
    counted(gateway)
    before = totals(gateway)
    holder = getattr(gateway.services.departures, part)
    collections = [value for value in vars(holder).values() if hasattr(value, "update_one")]
    left = 0

    class Dying:
        def __init__(self, collection: Any, budget: list[int]) -> None:
            self._collection, self._budget = collection, budget

        def __getattr__(self, method: str) -> Any:
            real = getattr(self._collection, method)
            if not method.startswith(("update", "delete", "replace", "insert")):
                return real

            def write(*args: Any, **options: Any) -> Any:
                if self._budget[0] == 0:
                    raise Crash
                self._budget[0] -= 1
                return real(*args, **options)

            return write

    assert collections
    for writes in range(12):
        dying = copy.copy(gateway.services.departures)
        crippled = copy.copy(holder)
        budget = [writes]
        for field, value in vars(holder).items():
            if value in collections if hasattr(value, "update_one") else False:
                setattr(crippled, field, Dying(value, budget))
        dying_holder = copy.copy(holder)
        setattr(dying_holder, name, getattr(crippled, name))
        setattr(dying, part, dying_holder)
        try:
            at_once(dying).erase(ada)
        except Crash:
            left += 1
            gateway.services.database["departures"].update_one({"_id": ada}, {"$set": {"attentionAt": clock.now() - timedelta(seconds=1)}})
            continue
        break
    gateway.services.departures.sweep()

    assert left >= 1
    assert traces(gateway, ada, EMAIL, PROMPT) == []
    assert totals(gateway) == before


def test_what_runs_is_canceled_first_and_what_fal_finishes_all_the_same_is_charged_and_then_deleted(gateway: Gateway, ada: str) -> None:
    waiting, at_fal = ordered(gateway, ada, pays_tokens=True), gateway.dispatch(ordered(gateway, ada, pays_tokens=True))

    first = gateway.services.departures.erase(ada)
    canceled, wished = gateway.services.jobs.get(waiting.id), gateway.job(at_fal.id)
    gateway.collect(at_fal)
    for job in (waiting, at_fal):
        gateway.services.recovery.settle(job.id)
    counted(gateway)
    second = at_once(gateway.services.departures).erase(ada)

    assert (first.is_done, first.jobs_left) == (False, 2)
    assert canceled is not None
    assert (canceled.status, wished.cancel_requested_at is not None) == (JobStatus.CANCELED, True)
    assert (second.is_done, second.jobs_deleted) == (True, 2)
    assert traces(gateway, ada, EMAIL, PROMPT) == []
    (account,) = gateway.services.database["accounts"].find()
    assert account["tokens"] == 900


def test_meanwhile_nothing_can_be_ordered_and_what_was_just_being_ordered_is_deleted_too(gateway: Gateway, ada: str) -> None:
    gateway.dispatch(ordered(gateway, ada))
    gateway.services.departures.erase(ada)

    for call in (
        lambda: ordered(gateway, ada),
        lambda: ordered(gateway, ada, pays_tokens=True),
        lambda: gateway.services.batches.submit(orders(2, user_id=ada), key=None, max_cost_micros=None),
    ):
        with pytest.raises(BeingDeleted):
            call()
    with pytest.raises(NotFound):
        gateway.services.billing.topup(ada, 5, key="late", notes=None)
    # An order that was let in before, and is written only now.
    gateway.services.jobs.insert(dataclasses.replace(canceled(gateway), id=clock.new_id(), user_id=ada, order_key=None))
    for doc in gateway.services.database["jobs"].find({"status": "processing"}):
        gateway.collect(gateway.job(doc["_id"]))
        gateway.services.recovery.settle(doc["_id"])
    counted(gateway)
    ended = at_once(gateway.services.departures).erase(ada)

    assert (ended.is_done, ended.jobs_deleted) == (True, 2)
    assert traces(gateway, ada, EMAIL, PROMPT) == []


def canceled(gateway: Gateway) -> Job:
    job = ordered(gateway, "somebody", prompt="x y z")
    gateway.services.job_actions.cancel(job.id, user_id=None)
    gateway.services.recovery.settle(job.id)
    return gateway.job(job.id)


def test_many_at_once_delete_it_once(gateway: Gateway, ada: str) -> None:
    furnished(gateway, ada)
    counted(gateway)
    before = totals(gateway)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: gateway.services.departures.erase(ada), range(8)))
    at_once(gateway.services.departures).sweep()

    assert any(answer.is_done for answer in answers)
    assert traces(gateway, ada, EMAIL, PROMPT) == []
    assert totals(gateway) == before


def test_who_comes_late_to_a_departure_shuts_nobody_out_for_ever(gateway: Gateway) -> None:
    late = copy.copy(gateway.services.departures)
    late._departures = copy.copy(late._departures)
    real = late._departures.begin

    def overtaken(departure: Any) -> Any:
        begun = real(departure)
        gateway.services.departures.erase("user-1")
        return begun

    late._departures.begin = overtaken  # type: ignore[method-assign]
    late.erase("user-1")

    assert ordered(gateway, "user-1").user_id == "user-1"


@pytest.mark.parametrize("name", ["a//b", "/a", "a/", "./a", "a/../b", "..", "a%2Fb", "a?b", "$ne", "a\\b"])
def test_only_the_user_who_is_named_goes_however_the_name_looks_in_an_address(gateway: Gateway, client: FlaskClient, name: str) -> None:
    others = ["a/b", "a", "b", "a%2Fb", "", "data"]
    for user_id in dict.fromkeys((name, *filter(None, others))):
        gateway.services.uploads.keep(user_id, io.BytesIO(picture()), sides=ANY_SIDE)
    key = {"X-API-Key": gateway.services.accounts.make_key("root", KeyTerms(scopes=(Scope.ADMIN,)))[1]}

    answer = client.delete(address(name), headers=key, follow_redirects=True)

    left = {doc["userId"] for doc in gateway.services.database["uploads"].find()}
    assert (answer.status_code, answer.get_json().get("userId")) == (200, name)
    assert left == set(filter(None, others)) - {name}


def test_while_storage_is_away_it_waits_and_then_goes_on(gateway: Gateway, ada: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done(gateway, ada)
    counted(gateway)

    def away(*_: Any) -> None:
        raise StorageUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(gateway.services.storage, "delete_tree", away)
        begun = gateway.services.departures.erase(ada)
    eraser = copy.copy(gateway.services.eraser)
    eraser._now = lambda: clock.now() + timedelta(seconds=61)
    eraser.sweep()
    at_once(gateway.services.departures).sweep()

    assert not begun.is_done
    assert traces(gateway, ada, EMAIL, PROMPT) == []


def test_what_takes_longer_than_a_request_may_is_done_in_parts(gateway: Gateway, ada: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        done(gateway, ada)
    counted(gateway)
    monkeypatch.setattr(module, "WORKS_S", 0.0)
    monkeypatch.setattr(module, "AT_ONCE", 1)

    first = gateway.services.departures.erase(ada)
    monkeypatch.setattr(module, "WORKS_S", 5.0)
    last = gateway.services.departures.erase(ada)

    assert (first.is_done, first.jobs_left, last.is_done, last.jobs_deleted) == (False, 3, True, 3)


# -- who may, and what becomes of sessions --------------------------------------------------------------------------------------------


def signed_in(gateway: Gateway, email: str, role: Role = Role.USER) -> tuple[str, dict[str, str]]:
    account = gateway.services.accounts.register(email, PASSWORD)
    gateway.services.accounts.change(account.id, role=role)
    return account.id, bearer(gateway, account.id)


def bearer(gateway: Gateway, user_id: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {gateway.services.bearer_tokens.issue(gateway.services.accounts.account(user_id))}"}


def address(user_id: str) -> str:
    return f"/api/users/{quote(user_id, safe='')}/data"


def test_it_is_for_the_user_and_administrators(gateway: Gateway, client: FlaskClient, ada: str) -> None:
    key: Callable[..., dict[str, str]] = lambda **terms: {"X-API-Key": gateway.services.accounts.make_key("k", KeyTerms(**terms))[1]}  # noqa: E731
    _, other = signed_in(gateway, "eve@example.com")
    refused = {
        "somebody else": (other, 404),
        "a key": (key(), 403),
        "a key of hers": (key(users=(ada,)), 403),
        "nobody": ({}, 401),
    }

    statuses = {name: client.delete(address(ada), headers=headers).status_code for name, (headers, _) in refused.items()}
    by_key = client.delete(address("some script's user"), headers=key(scopes=(Scope.ADMIN,)))
    _, admin = signed_in(gateway, "root@example.com", Role.ADMIN)
    by_admin = client.delete(address(ada), headers=admin)

    assert statuses == {name: status for name, (_, status) in refused.items()}
    assert (by_key.status_code, by_key.get_json()["status"]) == (200, "deleted")
    assert by_admin.get_json() == {"userId": ada, "status": "deleted", "jobsDeleted": 0, "uploadsDeleted": 0, "jobsLeft": 0}
    audited = list(gateway.services.database["audit"].find({"action": "user.data_delete"}))
    assert [(entry["subject"], entry["outcome"]) for entry in audited] == [("user:some script's user", "done"), (f"user:{ada}", "done")]


def test_the_session_that_asks_may_ask_again_and_do_nothing_else(gateway: Gateway, client: FlaskClient, ada: str) -> None:
    own, elsewhere = bearer(gateway, ada), bearer(gateway, ada)
    job = gateway.dispatch(ordered(gateway, ada, pays_tokens=True))

    begun = client.delete(address(ada), headers=own)
    paths = ("/api/auth/me", "/api/jobs", "/api/uploads", f"/api/users/{ada}/export", "/v1/models")
    codes = [client.get(path, headers=own).get_json().get("code", "openai") for path in paths]
    other = client.get("/api/auth/me", headers=elsewhere).status_code
    login = client.post("/api/auth/login", json={"email": EMAIL, "password": PASSWORD}).status_code
    gateway.collect(job)
    gateway.services.recovery.settle(job.id)
    counted(gateway)
    gateway.services.database["departures"].update_many({}, {"$set": {"attentionAt": clock.now()}})
    ended = client.delete(address(ada), headers=own)
    afterwards = client.delete(address(ada), headers=own)

    assert (begun.status_code, begun.headers["Retry-After"], begun.get_json()["status"]) == (202, "2", "deleting")
    assert (codes[:4], other, login) == (["being_deleted"] * 4, 401, 401)
    assert (ended.status_code, ended.get_json()["jobsDeleted"], afterwards.status_code) == (200, 1, 401)


def test_who_comes_back_begins_anew_without_free_tokens(gateway: Gateway, ada: str) -> None:
    gateway.services.departures.erase(ada)

    again = gateway.services.accounts.register(f" {EMAIL.upper()}", PASSWORD)

    assert (again.id != ada, again.tokens, gateway.services.accounts.register("new@example.com", PASSWORD).tokens) == (True, 0, 1000)
    assert gateway.services.billing.verify()[1] == []


def test_an_outside_users_older_tokens_open_no_new_account(gateway: Gateway) -> None:
    accounts, now = gateway.services.accounts, clock.now()
    first = accounts.outside_user("sub-1", EMAIL, issued_at=now)
    gateway.services.departures.erase(first.id)

    for issued_at in (now, None):
        with pytest.raises(Unauthorized):
            accounts.outside_user("sub-1", EMAIL, issued_at=issued_at)
    left = traces(gateway, "sub-1", EMAIL)
    later = accounts.outside_user("sub-1", EMAIL, issued_at=clock.now() + timedelta(seconds=2))

    assert (left, later.tokens) == ([], 0)


def test_the_last_administrator_stays(gateway: Gateway) -> None:
    user_id, _ = signed_in(gateway, "root@example.com", Role.ADMIN)

    with pytest.raises(LastAdministrator):
        gateway.services.departures.erase(user_id)
    assert gateway.services.accounts.account(user_id).departing is False


def test_a_key_of_several_users_never_becomes_one_for_everybody(gateway: Gateway) -> None:
    gateway.services.accounts.make_key("two", KeyTerms(users=("ada", "grace")))

    for name in ("ada", "grace"):
        gateway.services.departures.erase(name)

    (key,) = gateway.services.accounts.all_keys()
    assert (key.is_live(clock.now()), json.dumps(key.terms.users)) == (False, '["former"]')
