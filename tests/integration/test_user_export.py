"""What a user's export holds, and who may have it."""

from __future__ import annotations

import io
import json
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.domain.account import Role
from app.domain.api_key import KeyTerms, Scope
from app.domain.errors import StoreUnavailable
from app.services.people.uploads import ANY_SIDE
from app.services.privacy import export
from tests.support.factories import picture
from tests.support.gateway import Gateway

PASSWORD = "correct horse battery staple"


@pytest.fixture
def client(gateway: Gateway) -> FlaskClient:
    return create_app(gateway.services.settings, gateway.services).test_client()


def signed_in(gateway: Gateway, email: str, role: Role = Role.USER) -> tuple[str, dict[str, str]]:
    account = gateway.services.accounts.register(email, PASSWORD)
    gateway.services.accounts.change(account.id, role=role)
    return account.id, {"Authorization": f"Bearer {gateway.services.bearer_tokens.issue(account)}"}


def with_key(gateway: Gateway, **terms: Any) -> dict[str, str]:
    return {"X-API-Key": gateway.services.accounts.make_key("a script", KeyTerms(**terms))[1]}


def address(user_id: str) -> str:
    return f"/api/users/{quote(user_id, safe='')}/export"


def lines_of(client: FlaskClient, user_id: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    answer = client.get(address(user_id), headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_all_that_is_kept_of_a_user_comes_and_nothing_of_anybody_elses(gateway: Gateway, client: FlaskClient) -> None:
    user_id, headers = signed_in(gateway, "ada@example.com")
    job = gateway.generated(gateway.order(num_images=2, user_id=user_id))
    gateway.services.recovery.settle(job.id)
    gateway.generated(gateway.order(user_id="grace"))
    upload = gateway.services.uploads.keep(user_id, io.BytesIO(picture()), sides=ANY_SIDE).upload

    lines = lines_of(client, user_id, headers)

    assert Counter(line["record"] for line in lines) == {
        "export": 1,
        "account": 1,
        "job": 1,
        "picture": 2,
        "upload": 1,
        "usage": 1,
        "ledger": 1,
    }
    by_kind = {line["record"]: line for line in lines}
    assert (by_kind["export"]["userId"], by_kind["account"]["email"]) == (user_id, "ada@example.com")
    assert by_kind["job"]["jobId"] == by_kind["picture"]["jobId"] == job.id
    assert all(by_kind["picture"][name] for name in ("url", "thumbnailUrl", "downloadUrl", "prompt"))
    assert (by_kind["upload"]["id"], by_kind["usage"]["images"], by_kind["ledger"]["type"]) == (upload.id, 2, "signup")
    assert not [word for word in ("assword", "hash", "argon", "grace") if word in json.dumps(lines)]


def test_a_user_of_a_script_has_no_account_and_any_name(gateway: Gateway, client: FlaskClient) -> None:
    name = "ada/../grace %2F?#ü"
    job = gateway.order(user_id=name)

    lines = lines_of(client, name, with_key(gateway))

    assert [(line["record"], line.get("userId"), line.get("jobId")) for line in lines] == [("export", name, None), ("job", name, job.id)]


def test_it_is_for_the_user_administrators_and_keys_of_the_user(gateway: Gateway, client: FlaskClient) -> None:
    user_id, own = signed_in(gateway, "ada@example.com")
    _, other = signed_in(gateway, "eve@example.com")
    _, admin = signed_in(gateway, "root@example.com", Role.ADMIN)
    callers = {
        "own": own,
        "admin": admin,
        "admin key": with_key(gateway, scopes=(Scope.ADMIN,)),
        "any key": with_key(gateway),
        "its key": with_key(gateway, users=("x", user_id), scopes=(Scope.READ,)),
        "other": other,
        "other's key": with_key(gateway, users=("x",)),
        "key that may not read": with_key(gateway, scopes=(Scope.GENERATE,)),
        "nobody": {},
    }

    statuses = {name: client.get(address(user_id), headers=headers).status_code for name, headers in callers.items()}

    assert statuses == {
        **dict.fromkeys(("own", "admin", "admin key", "any key", "its key"), 200),
        **dict.fromkeys(("other's key", "key that may not read"), 403),
        "other": 404,
        "nobody": 401,
    }


@pytest.mark.parametrize("name", ["a" * 257, "nul\0"])
def test_what_cannot_be_a_users_id_is_refused(gateway: Gateway, client: FlaskClient, name: str) -> None:
    assert client.get(address(name), headers=with_key(gateway)).status_code == 400


def test_it_is_read_while_it_is_sent_and_says_where_it_breaks_off(
    gateway: Gateway, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "READ_AT_ONCE", 2)
    for color in ("red", "green", "blue", "white", "black"):
        gateway.services.uploads.keep("user-1", io.BytesIO(picture(color=color)), sides=ANY_SIDE)
    pages = 0
    real = gateway.services.user_export._uploads.page

    def page(*args: Any, **options: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 3:
            raise StoreUnavailable("away")
        return real(*args, **options)

    monkeypatch.setattr(gateway.services.user_export._uploads, "page", page)
    records = gateway.services.user_export.of("user-1")
    first = [next(records) for _ in range(3)]
    read_for_three, pages = pages, 0

    answer = client.get(address("user-1"), headers=with_key(gateway))

    assert (len(first), read_for_three) == (3, 1)
    with pytest.raises(StoreUnavailable):
        answer.get_data()
