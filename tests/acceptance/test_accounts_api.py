"""Accounts, tokens and lists of the web app's API."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from app.domain.account import Role
from tests.acceptance.people import PASSWORD, Person, accounts_of
from tests.acceptance.service import Answer, Service, running_service
from tests.support.idp import IdentityProvider, identity_provider


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


@pytest.fixture(scope="module")
def closed_service(provider: IdentityProvider) -> Iterator[Service]:
    """A service that lets nobody in without a credential, whose logins are not limited, and that logs for people."""
    with running_service(**provider.settings(), ALLOW_ANONYMOUS="false", RATE_LIMIT_LOGIN="off", LOG_FORMAT="text") as service:
        yield service


@pytest.fixture
def service(closed_service: Service) -> Service:
    closed_service.calm()
    return closed_service


@pytest.fixture
def ada(service: Service) -> Person:
    return Person(service)


@pytest.fixture
def admin(service: Service) -> Person:
    person = Person(service, "admin")
    accounts_of(service).change(person.id, role=Role.ADMIN)
    return person


def an_email() -> str:
    return f"Ada-{uuid.uuid4().hex[:12]}@Example.com"


def register(service: Service, email: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
    return service.client.post("/api/auth/register", json={"email": email, "password": password, **more})


def login(service: Service, **body: Any) -> httpx.Response:
    return service.client.post("/api/auth/login", json={"password": PASSWORD, **body})


def test_a_new_user_has_a_thousand_tokens_and_is_signed_in(service: Service) -> None:
    email = an_email()

    answer = register(service, email)

    body = answer.json()
    user = body["data"]["user"]
    me = service.client.get("/api/auth/me", headers={"Authorization": f"Bearer {body['data']['token']}"})
    assert answer.status_code == 201
    assert set(body) == {"success", "message", "data"}
    assert set(body["data"]) == {"user", "token"}
    assert set(user) == {"id", "email", "role", "tokens", "createdAt"}
    assert (user["email"], user["role"], user["tokens"]) == (email.replace("Example", "example"), "user", 1000)
    assert me.json() == {"success": True, "message": "OK", "data": {"user": user}}


def test_an_email_is_taken_in_every_case_and_logs_in_in_every_case(service: Service) -> None:
    email = an_email()
    first = register(service, email).json()["data"]["user"]

    again = register(service, email.upper())
    logins = [login(service, email=email.lower()), login(service, username=email.upper())]

    assert (again.status_code, again.json()["code"]) == (409, "email_taken")
    assert [answer.status_code for answer in logins] == [200, 200]
    assert {answer.json()["data"]["user"]["id"] for answer in logins} == {first["id"]}
    assert all(answer.json()["data"]["token"] for answer in logins)


def test_a_wrong_password_and_an_unknown_email_get_the_same_answer(ada: Person) -> None:
    answers = [login(ada.service, email=ada.email, password="wrong horse"), login(ada.service, email=an_email())]

    bodies = [{name: value for name, value in answer.json().items() if name != "requestId"} for answer in answers]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"email": "ada"}, "/email"),
        ({"email": f"{'a' * 250}@example.com"}, "/email"),
        ({"email": None}, "/email"),
        ({"password": "x" * 7}, "/password"),
        ({"password": "x" * 129}, "/password"),
        ({"password": 12345678}, "/password"),
        ({"role": "admin"}, "/role"),
        ({"tokens": 1_000_000}, "/tokens"),
    ],
    ids=str,
)
def test_a_registration_that_cannot_be_is_refused_by_field(service: Service, change: dict[str, Any], pointer: str) -> None:
    answer = register(service, **{"email": an_email(), **change})

    assert (answer.status_code, [error["pointer"] for error in answer.json()["errors"]]) == (400, [pointer])
    assert PASSWORD not in answer.text


@pytest.mark.parametrize("length", [8, 128])
def test_passwords_of_allowed_lengths_are_taken(service: Service, length: int) -> None:
    assert register(service, an_email(), "x" * length).status_code == 201


USER_ROUTES = [
    ("GET", "/api/auth/me"),
    ("POST", "/api/generate/text-to-image"),
    ("POST", "/api/generate/image-reference"),
    ("GET", "/api/generate/my-generations"),
    ("GET", "/api/generate/queue/01a1fbd0-bc8c-709f-83ac-6312d7eb7090"),
    ("GET", "/api/uploads"),
    ("POST", "/api/uploads"),
    ("GET", "/api/uploads/01a1fbd0-bc8c-709f-83ac-6312d7eb7090"),
    ("DELETE", "/api/uploads/01a1fbd0-bc8c-709f-83ac-6312d7eb7090"),
    ("GET", "/api/tokens/balance"),
    ("GET", "/api/tokens/history"),
    ("POST", "/api/tokens/topup"),
]
BODIES: dict[str, Answer] = {
    "/api/generate/text-to-image": {"prompt": "hello world"},
    "/api/tokens/topup": {"userId": "u", "amount": 1, "idempotencyKey": "k"},
}


@pytest.mark.parametrize(("method", "path"), USER_ROUTES)
def test_a_users_routes_need_a_user(service: Service, method: str, path: str) -> None:
    _, key = accounts_of(service).make_key("a script")
    credentials = [{}, {"X-API-Key": key}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YWRhOng="}]

    answers = [service.client.request(method, path, headers=headers, json=BODIES.get(path)) for headers in credentials]

    assert [(answer.status_code, answer.headers.get("www-authenticate")) for answer in answers] == [(401, "Bearer")] * 4


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_user_of_the_apps_own_identity_provider_is_let_in(service: Service, provider: IdentityProvider, algorithm: str) -> None:
    headers = {"Authorization": f"Bearer {provider.token(algorithm, sub=f'auth0|{algorithm}')}"}

    me = service.client.get("/api/auth/me", headers=headers)
    generated = service.client.post("/api/generate/text-to-image", json={"prompt": "a lighthouse"}, headers=headers)
    refused = service.client.get("/api/auth/me", headers={"Authorization": f"Bearer {provider.token(aud='another-app')}"})

    assert (me.status_code, me.json()["data"]["user"]["id"], me.json()["data"]["user"]["tokens"]) == (200, f"auth0|{algorithm}", 1000)
    assert generated.status_code == 202
    assert refused.status_code == 401


def test_a_new_account_shows_its_balance_and_where_it_comes_from(ada: Person) -> None:
    (entry,) = ada.data("/api/tokens/history")["entries"]

    assert ada.data("/api/tokens/balance") == {"userId": ada.id, "balance": 1000, "held": 0}
    assert set(entry) == {"id", "type", "amount", "held", "jobId", "notes", "createdAt"}
    assert (entry["type"], entry["amount"], entry["held"], entry["jobId"]) == ("signup", 1000, 0, None)


def topup_body(person: Person, amount: Any = 500, key: str | None = None) -> Answer:
    return {"userId": person.id, "amount": amount, "notes": "October", "idempotencyKey": key or f"invoice-{uuid.uuid4()}"}


def test_an_administrator_tops_up_once_per_key(ada: Person, admin: Person) -> None:
    body = topup_body(ada)

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: admin.post("/api/tokens/topup", json=body), range(6)))
    other = admin.post("/api/tokens/topup", json={**body, "amount": 501})

    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["data"]["entry"]["id"] for answer in answers} == {f"topup:{body['idempotencyKey']}"}
    assert answers[-1].json()["data"]["balance"] == 1500
    assert (other.status_code, other.json()["code"]) == (400, "idempotency_mismatch")
    assert ada.balance() == (1500, 0)
    (entry,) = ada.data("/api/tokens/history", type="topup")["entries"]
    assert (entry["amount"], entry["notes"]) == (500, "October")


def test_a_user_cannot_top_up_anybody(ada: Person) -> None:
    answer = ada.post("/api/tokens/topup", json=topup_body(ada))

    assert (answer.status_code, answer.json()["code"], ada.balance()) == (403, "forbidden", (1000, 0))


@pytest.mark.parametrize("amount", [0, -5, 1.5, "500", True, 100_000_001], ids=str)
def test_an_amount_that_is_no_top_up_is_refused(ada: Person, admin: Person, amount: Any) -> None:
    answer = admin.post("/api/tokens/topup", json=topup_body(ada, amount))

    assert (answer.status_code, answer.json()["errors"][0]["pointer"], ada.balance()) == (400, "/amount", (1000, 0))


def test_a_top_up_for_nobody_is_not_found(admin: Person) -> None:
    answer = admin.post("/api/tokens/topup", json={"userId": "nobody", "amount": 5, "idempotencyKey": f"k-{uuid.uuid4()}"})

    assert answer.status_code == 404


def paged(person: Person, path: str, name: str, limit: int, **query: Any) -> list[list[Answer]]:
    """Return the pages of a list, followed by their cursors to the end."""
    pages, cursor = [], None
    while True:
        data = person.data(path, limit=limit, **query, **({"cursor": cursor} if cursor else {}))
        pages.append(data[name])
        cursor = data["cursor"]["next"]
        assert data["cursor"]["hasMore"] is (cursor is not None)
        if cursor is None:
            return pages


def test_lists_are_paged_without_loss_and_without_repetition(ada: Person) -> None:
    ids = [ada.ordered(ada.text(prompt=f"picture {n}")) for n in range(5)]
    for generation_id in ids:
        ada.ended(generation_id)

    generations = paged(ada, "/api/generate/my-generations", "results", 2)
    entries = paged(ada, "/api/tokens/history", "entries", 4)
    uploads = paged(ada, "/api/uploads", "uploads", 2, purpose="generation_output")

    assert [[item["generationId"] for item in page] for page in generations] == [ids[:2:-1], ids[2:0:-1], ids[:1]]
    assert [len(page) for page in entries] == [4, 4, 3]
    assert len({entry["id"] for page in entries for entry in page}) == 11
    assert [len(page) for page in uploads] == [2, 2, 1]


@pytest.mark.parametrize("path", ["/api/generate/my-generations", "/api/tokens/history", "/api/uploads"])
@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "x"},
        {"cursor": "nonsense"},
        {"cursor": base64.urlsafe_b64encode(b"$gt").decode()},
        {"user": "x"},
    ],
    ids=str,
)
def test_a_list_that_cannot_be_is_refused_by_parameter(ada: Person, path: str, query: dict[str, Any]) -> None:
    answer = ada.get(path, **query)

    (name,) = query
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, f"/{name}")


def test_the_templates_are_listed_and_used(ada: Person) -> None:
    listed = ada.service.client.get("/api/prompt-templates").json()["data"]["templates"]
    words = f"a harbour {ada.id}"

    generation_id = ada.ordered(ada.text(prompt=words, promptTemplateId="watercolor"))
    unknown = ada.text(promptTemplateId="oil")
    done = ada.ended(generation_id)

    assert {frozenset(template) for template in listed} == {frozenset({"id", "name", "description", "preview"})}
    assert "watercolor" in {template["id"] for template in listed}
    prompts = [str((seen["arguments"] or {}).get("prompt")) for seen in ada.service.emulator.requests()]
    sent = [prompt for prompt in prompts if words in prompt]
    assert len(sent) == 1
    assert sent[0].startswith(f"Watercolor painting of {words}.")
    assert (done["metadata"]["prompt"], done["metadata"]["promptTemplateId"]) == (words, "watercolor")
    assert unknown.status_code == 400
    assert "watercolor" in unknown.json()["message"]
