"""Sessions that end before their time: log-outs, a new password, a disabled account, a revoked key."""

from __future__ import annotations

import json
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import socketio

from app.config import Settings
from app.services.people.sessions import BearerTokens
from tests.acceptance.people import PASSWORD, Person, accounts_of
from tests.acceptance.service import Service, a_prompt, wait_until

CASES = Path(__file__).resolve().parents[1] / "cases" / "json"
#: What is promised, and something for a machine that has other work.
WITHIN_S = 30 + 15


@pytest.fixture
def ada(service: Service) -> Person:
    return Person(service)


def another_session(person: Person) -> dict[str, str]:
    """Log in once more, beside the API, whose log-ins are limited by the minute; return the headers."""
    accounts = accounts_of(person.service)
    tokens = BearerTokens(settings=Settings(jwt_secret=person.service.stack.env["JWT_SECRET"]), accounts=accounts)
    return {"Authorization": f"Bearer {tokens.issue(accounts.account(person.id))}"}


def me(person: Person, headers: dict[str, str]) -> int:
    return person.service.client.get("/api/auth/me", headers=headers).status_code


def test_a_logout_ends_this_session_at_once_and_no_other(ada: Person) -> None:
    other = another_session(ada)

    answer = ada.post("/api/auth/logout")

    assert (answer.status_code, answer.json()["success"], answer.json()["data"]) == (200, True, {})
    assert (me(ada, ada.headers), me(ada, other)) == (401, 200)
    assert ada.post("/api/auth/logout").status_code == 401


def test_an_ended_session_stays_ended_however_its_token_is_spelled(ada: Person) -> None:
    ada.post("/api/auth/logout")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    # The last letter of a signature has bits that mean nothing.
    spellings = [ada.token[:-1] + letter for letter in letters] + [ada.token + "="]

    assert {me(ada, {"Authorization": f"Bearer {token}"}) for token in spellings} == {401}


def test_a_logout_everywhere_ends_all_sessions_and_lets_a_new_one_begin(ada: Person) -> None:
    other = another_session(ada)

    answer = ada.post("/api/auth/logout-all")

    assert answer.status_code == 200
    assert [me(ada, headers) for headers in (ada.headers, other, another_session(ada))] == [401, 401, 200]


def test_a_new_password_ends_all_other_sessions(ada: Person) -> None:
    other = another_session(ada)

    answer = ada.post("/api/auth/password", json={"currentPassword": PASSWORD, "newPassword": "a lighthouse at dawn"})

    accounts = accounts_of(ada.service)
    assert answer.status_code == 200, answer.text
    assert (me(ada, ada.headers), me(ada, other)) == (200, 401)
    assert accounts.login(ada.email, "a lighthouse at dawn").id == ada.id
    ada.post("/api/auth/logout-all")
    assert me(ada, ada.headers) == 401, "the session that was kept ends with all others the next time"


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"currentPassword": "wrong horse battery", "newPassword": "a lighthouse at dawn"}, 401, None),
        ({"currentPassword": PASSWORD, "newPassword": "short"}, 400, "/newPassword"),
        ({"currentPassword": PASSWORD, "newPassword": "Password123"}, 400, "/newPassword"),
        ({"newPassword": "a lighthouse at dawn"}, 400, "/currentPassword"),
    ],
    ids=str,
)
def test_a_password_is_changed_only_by_whoever_knows_it_and_to_a_good_one(
    ada: Person, body: dict[str, str], status: int, pointer: str | None
) -> None:
    other = another_session(ada)

    answer = ada.post("/api/auth/password", json=body)

    assert answer.status_code == status, answer.text
    assert [error["pointer"] for error in answer.json().get("errors", [])] == ([pointer] if pointer else [])
    assert me(ada, other) == 200
    assert accounts_of(ada.service).login(ada.email, PASSWORD).id == ada.id


def test_a_disabled_account_is_shut_out_at_once_and_may_come_back(ada: Person) -> None:
    accounts = accounts_of(ada.service)

    accounts.change(ada.id, disabled=True)
    shut_out = me(ada, ada.headers)
    login = ada.service.client.post("/api/auth/login", json={"email": ada.email, "password": PASSWORD})
    accounts.change(ada.id, disabled=False)

    assert (shut_out, login.status_code) == (401, 401)
    assert me(ada, ada.headers) == 200


def test_one_password_in_two_unicode_forms_is_one_password(service: Service) -> None:
    composed, decomposed = (json.loads((CASES / f"password_{name}.json").read_text()) for name in ("nfc_register", "nfd_login"))
    service.database["accounts"].delete_many({"email": composed["email"]})

    registered = service.client.post("/api/auth/register", json=composed)
    login = service.client.post("/api/auth/login", json=decomposed)

    assert composed["password"] != decomposed["password"]
    assert (registered.status_code, login.status_code) == (201, 200), login.text


def test_a_password_from_before_they_were_normalized_still_fits(service: Service, ada: Person) -> None:
    accounts = accounts_of(service)
    typed = unicodedata.normalize("NFD", "Pässwörter von früher")
    service.database["accounts"].update_one({"_id": ada.id}, {"$set": {"passwordHash": accounts._hasher.hash(typed)}})

    assert accounts.login(ada.email, typed).id == ada.id


@pytest.mark.parametrize("password", ["password", "Password123", "12345678", "QWERTYUIOP", "\uff50assword\uff11\uff12\uff13"])
def test_a_password_that_is_guessed_first_is_refused(service: Service, password: str) -> None:
    answer = service.client.post("/api/auth/register", json={"email": f"{time.time_ns()}@example.com", "password": password})

    assert (answer.status_code, [error["pointer"] for error in answer.json()["errors"]]) == (400, ["/password"])


def test_an_address_is_the_same_in_all_its_spellings(service: Service) -> None:
    name = f"Ada{time.time_ns()}"

    first = service.client.post("/api/auth/register", json={"email": f"  {name}@EXÄMPLE.com ", "password": PASSWORD})
    again = service.client.post("/api/auth/register", json={"email": f"{name.upper()}@xn--exmple-cua.com", "password": PASSWORD})
    login = service.client.post("/api/auth/login", json={"email": f" {name.lower()}@exämple.COM", "password": PASSWORD})

    assert (first.status_code, first.json()["data"]["user"]["email"]) == (201, f"{name}@exämple.com")
    assert (again.status_code, again.json()["code"]) == (409, "email_taken")
    assert login.json()["data"]["user"]["id"] == first.json()["data"]["user"]["id"]


class Ends:
    """The connections of one caller, each of which says when it has ended."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def note(self, name: str) -> None:
        self.names.add(name)


@contextmanager
def connected(service: Service, ends: Ends, name: str, headers: dict[str, str], auth: dict[str, Any], job_id: str) -> Iterator[None]:
    """Open a socket and a stream; both are open when the block begins."""
    client = socketio.Client(reconnection=False)
    client.on("disconnect", lambda *_: ends.note(f"{name} socket"))
    client.connect(service.stack.base_urls[0], auth=auth, transports=["websocket"])
    begun = threading.Event()

    def read() -> None:
        with httpx.stream(
            "GET", f"{service.stack.base_urls[0]}/api/jobs/{job_id}/events", headers=headers, timeout=60, trust_env=False
        ) as stream:
            for _ in stream.iter_raw():
                begun.set()
        ends.note(f"{name} stream")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert begun.wait(15)
        yield
    finally:
        client.disconnect()


def test_what_has_ended_hears_nothing_any_more_within_half_a_minute(service: Service) -> None:
    service.stack.child("worker").kill()  # So that no job ends, and no stream for that reason.
    accounts, ends = accounts_of(service), Ends()
    people = {name: Person(service, name) for name in ("logged-out", "everywhere", "disabled", "untouched")}
    key, text = accounts.make_key("revoked")
    job_ids = {name: person.ordered(person.text(prompt=a_prompt())) for name, person in people.items()}
    job_ids["revoked"] = service.submit(a_prompt())
    holders: dict[str, tuple[dict[str, str], dict[str, Any]]] = {name: (p.headers, {"token": p.token}) for name, p in people.items()}
    holders["revoked"] = ({"X-API-Key": text}, {"apiKey": text, "userId": "user123"})
    enders: list[Callable[[], Any]] = [
        lambda: people["logged-out"].post("/api/auth/logout"),
        lambda: people["everywhere"].post("/api/auth/logout-all"),
        lambda: accounts.change(people["disabled"].id, disabled=True),
        lambda: accounts.revoke_key(key.id),
    ]
    opened = [connected(service, ends, name, *holders[name], job_ids[name]) for name in holders]
    for connection in opened:
        connection.__enter__()

    for end in enders:
        end()
    wanted = {f"{name} {kind}" for name in ("logged-out", "everywhere", "disabled", "revoked") for kind in ("socket", "stream")}
    wait_until(lambda: wanted <= ends.names, WITHIN_S, "the end of all that has ended")
    still_open = {"untouched socket", "untouched stream"} - ends.names

    assert still_open == {"untouched socket", "untouched stream"}
    for job_id in job_ids.values():
        service.client.post(f"/api/jobs/{job_id}/cancel")
    service.stack.start("worker")
    for connection in opened:
        connection.__exit__(None, None, None)
