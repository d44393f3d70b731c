"""Monthly budgets over HTTP: administrators set them, and no way of ordering goes around them."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.people import headers_of, registered
from tests.acceptance.service import Answer, Service, order

ROOT = Path(__file__).resolve().parents[2]


def new_user(client: httpx.Client) -> tuple[str, str, dict[str, str]]:
    """Return a new user's email, id and headers."""
    data = registered(client)
    return data["user"]["email"], data["user"]["id"], headers_of(data)


def operator(service: Service, *arguments: str) -> str:
    """Run `python -m app` as the service's operator would; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        env={**service.stack.env, "COLUMNS": "200"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def admin(shared_service: Service) -> dict[str, str]:
    email, _, headers = new_user(shared_service.client)
    operator(shared_service, "users", "set-role", email, "admin")
    return headers


@pytest.fixture
def user() -> str:
    return f"user-{uuid.uuid4().hex}"


def put(client: httpx.Client, admin: dict[str, str], **fields: Any) -> httpx.Response:
    return client.put("/api/budgets", json=fields, headers=admin)


def budget_of(client: httpx.Client, admin: dict[str, str], **named: str) -> Answer:
    """Return a budget from the list, however many pages it takes."""
    query: dict[str, Any] = {"limit": 100}
    while True:
        page = client.get("/api/budgets", params=query, headers=admin).json()
        for found in page["budgets"]:
            if all(found[name] == value for name, value in named.items()):
                return dict(found)
        assert page["cursor"]["hasMore"], f"no budget of {named}"
        query["cursor"] = page["cursor"]["next"]


def test_a_budget_is_set_listed_spent_and_removed(client: httpx.Client, service: Service, admin: dict[str, str], user: str) -> None:
    made = put(client, admin, userId=user, monthly=0.12)
    done = service.generate({**order(), "userId": user})
    shown = budget_of(client, admin, userId=user)
    more = [service.generate({**order(), "userId": user}) for _ in range(2)]
    removed = client.delete("/api/budgets", params={"userId": user}, headers=admin)
    free = service.generate({**order(), "userId": user})

    assert (made.status_code, made.json()) == (200, {"userId": user, "keyId": None, "monthly": 0.12, "spent": 0.0, "held": 0.0})
    assert done.status_code == 201
    assert (shown["spent"], shown["held"]) == (0.05, 0.0)
    assert [answer.status_code for answer in more] == [201, 402]
    assert more[1].json()["code"] == "budget_exceeded"
    assert more[1].json()["details"] == {"scope": "user", "limit": 0.12, "spent": 0.1, "held": 0.0}
    assert "have the budget raised, or wait until" in more[1].json()["message"]
    assert (removed.status_code, free.status_code) == (204, 201)
    assert client.delete("/api/budgets", params={"userId": user}, headers=admin).status_code == 404


def test_a_user_sees_the_budget_that_limits_it_and_nobody_elses(client: httpx.Client, admin: dict[str, str], user: str) -> None:
    _, ada, headers = new_user(client)
    put(client, admin, userId=ada, monthly=3)
    put(client, admin, userId=user, monthly=5)

    own = client.get("/api/usage/budgets", headers=headers)
    another = client.get("/api/usage/budgets", params={"userId": user}, headers=headers)

    assert own.json() == {"budgets": [{"scope": "user", "monthly": 3, "spent": 0, "held": 0}]}
    assert another.status_code == 403


def test_no_way_of_ordering_goes_around_a_budget(client: httpx.Client, service: Service, admin: dict[str, str]) -> None:
    _, user_id, headers = new_user(client)
    first = client.post("/api/images/generate", json={**order(), "userId": user_id}, headers=headers).json()
    kept = client.get("/api/uploads", headers=headers).json()["data"]["uploads"][0]["id"]
    put(client, admin, userId=user_id, monthly=0)
    before = service.footprint()
    own = order()
    words = {"prompt": "a red bicycle", "aspectRatio": "1:1", "numberOfImages": 1}
    ways: dict[str, Callable[[], httpx.Response]] = {
        "generate as a script": lambda: service.generate({**own, "userId": user_id}),
        "generate": lambda: client.post("/api/images/generate", json={**own, "userId": user_id}, headers=headers),
        "retry": lambda: client.post(f"/api/jobs/{first['jobId']}/retry", headers=headers),
        "retry as a script": lambda: client.post(f"/api/jobs/{first['jobId']}/retry"),
        "text-to-image": lambda: client.post("/api/generate/text-to-image", json=words, headers=headers),
        "image-reference": lambda: client.post(
            "/api/generate/image-reference", json={**words, "referenceImageId": kept, "referenceType": "full_image"}, headers=headers
        ),
        "batch": lambda: client.post(
            "/api/images/batch", json={"items": [{k: own[k] for k in ("model", "inputs", "options")}]}, headers=headers
        ),
        "batch as a script": lambda: client.post(
            "/api/images/batch", json={"items": [{k: own[k] for k in ("model", "inputs", "options")}], "userId": user_id}
        ),
    }

    answers = {name: ask() for name, ask in ways.items()}

    assert {name: (answer.status_code, answer.json()["code"]) for name, answer in answers.items()} == dict.fromkeys(
        ways, (402, "budget_exceeded")
    )
    assert service.footprint() == before


def test_a_keys_budget_holds_for_whomever_it_orders(client: httpx.Client, service: Service, user: str) -> None:
    key = operator(service, "keys", "create", "--name", "limited")
    key_id = key.split("_")[1]
    operator(service, "budgets", "set", "--key", key_id, "--monthly", "0.05")
    with_key = {"X-API-Key": key}

    answers = [
        client.post("/api/images/generate", json={**order(), "userId": f"{user}-{n}"}, headers=with_key).status_code for n in range(2)
    ]
    listed = operator(service, "budgets", "list")
    removed = operator(service, "budgets", "remove", "--key", key_id)

    assert answers == [201, 402]
    assert [line for line in listed.splitlines() if f"key:{key_id}" in line and "0.05" in line]
    assert removed == f"key:{key_id} has no budget any more"


def test_fifty_requests_at_once_buy_no_more_than_the_budget(
    client: httpx.Client, service: Service, admin: dict[str, str], user: str
) -> None:
    put(client, admin, userId=user, monthly=0.3)

    def ask(_: int) -> int:
        return service.generate({**order(), "userId": user, "async": True}).status_code

    with ThreadPoolExecutor(50) as threads:
        statuses = list(threads.map(ask, range(50)))

    assert (statuses.count(202), statuses.count(402)) == (6, 44)
    service.footprint()
    shown = budget_of(client, admin, userId=user)
    assert (shown["spent"], shown["held"]) == (0.3, 0.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"userId": "u"},
        {"monthly": 1},
        {"userId": "u", "keyId": "k", "monthly": 1},
        {"userId": "u", "monthly": -1},
        {"userId": "u", "monthly": "NaN"},
        {"userId": "u", "monthly": "Infinity"},
        {"userId": "u", "monthly": 1_000_000_001},
        {"userId": "u", "monthly": 0.0000001},
        {"userId": "u", "monthly": True},
        {"userId": "u", "monthly": None},
        {"userId": "", "monthly": 1},
        {"userId": "u", "monthly": 1, "yearly": 2},
    ],
)
def test_a_bad_budget_is_refused(client: httpx.Client, admin: dict[str, str], fields: Answer) -> None:
    answer = client.put("/api/budgets", json=fields, headers=admin)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), answer.text


def test_only_administrators_see_and_set_budgets(client: httpx.Client, user: str) -> None:
    _, _, plain = new_user(client)
    asked: list[Callable[[dict[str, str]], httpx.Response]] = [
        lambda headers: client.get("/api/budgets", headers=headers),
        lambda headers: client.put("/api/budgets", json={"userId": user, "monthly": 1}, headers=headers),
        lambda headers: client.delete("/api/budgets", params={"userId": user}, headers=headers),
    ]

    assert [ask(plain).status_code for ask in asked] == [403] * 3
    assert [ask({}).status_code for ask in asked] == [401] * 3


def test_the_list_goes_on_page_by_page(client: httpx.Client, admin: dict[str, str], user: str) -> None:
    for number in range(3):
        put(client, admin, userId=f"{user}-{number}", monthly=number)
    found, query = [], {"limit": "2"}

    while True:
        page = client.get("/api/budgets", params=query, headers=admin).json()
        found += [each["userId"] for each in page["budgets"]]
        if not page["cursor"]["hasMore"]:
            break
        query["cursor"] = page["cursor"]["next"]

    assert len(found) == len(set(found))
    assert {f"{user}-{number}" for number in range(3)} <= set(found)
    assert client.get("/api/budgets", params={"cursor": "nonsense"}, headers=admin).status_code == 400
