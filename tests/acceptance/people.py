"""Signed-in users of a running service, and what most tests ask for them."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

from app.config import Settings
from app.services.people.accounts import Accounts
from app.services.people.sessions import BearerTokens
from app.stores.accounts import AccountStore, KeyStore
from tests.acceptance.service import Answer, Service, wait_until
from tests.support.factories import picture

PASSWORD = "correct horse battery staple"


def accounts_of(service: Service) -> Accounts:
    """Return the service's users and keys, as the operator's commands see them."""
    return Accounts(accounts=AccountStore(service.database), keys=KeyStore(service.database))


def registered(client: httpx.Client, **body: Any) -> Answer:
    """Register over the API; return the answer's `data`: the new `user` and a `token`. `body` over a new address and a good password."""
    answer = client.post("/api/auth/register", json={"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD, **body})
    assert answer.status_code == 201, answer.text
    data: Answer = answer.json()["data"]
    return data


def headers_of(account: Answer) -> dict[str, str]:
    """Return the credential of somebody who has just registered."""
    return {"Authorization": f"Bearer {account['token']}"}


class Person:
    """A user with a token of its own."""

    def __init__(self, service: Service, name: str = "ada") -> None:
        """Open an account beside the API, whose logins are limited by the minute."""
        self.service = service
        self.email = f"{name}-{uuid.uuid4().hex[:12]}@example.com"
        accounts = accounts_of(service)
        account = accounts.register(self.email, PASSWORD)
        self.id = account.id
        self.token = BearerTokens(settings=Settings(jwt_secret=service.stack.env["JWT_SECRET"]), accounts=accounts).issue(account)
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.service.client.get(path, headers=self.headers, params=query)

    def data(self, path: str, **query: Any) -> Answer:
        """Return the `data` of an answer that must be right."""
        answer = self.get(path, **query)
        assert answer.status_code == 200, answer.text
        body: Answer = answer.json()
        assert set(body) == {"success", "message", "data"}
        data: Answer = body["data"]
        return data

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.service.client.post(path, headers={**self.headers, **more.pop("headers", {})}, **more)

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.service.client.request(method, path, headers=self.headers, **more)

    def upload(self, content: bytes | None = None) -> Answer:
        answer = self.post("/api/uploads", files={"file": ("me.png", content or picture(), "image/png")})
        assert answer.status_code == 201, answer.text
        data: Answer = answer.json()["data"]
        return data

    def reference(self, **fields: Any) -> httpx.Response:
        """Ask for an image after a reference, as JSON; `fields` over right ones, None leaves one out."""
        right = {"prompt": "Professional headshot in business attire", "referenceType": "face", **fields}
        return self.post("/api/generate/image-reference", json={name: value for name, value in right.items() if value is not None})

    def reference_form(self, image: bytes | None = None, **fields: str) -> httpx.Response:
        """The same as a browser's form sends it, with the picture itself."""
        right = {"prompt": "Professional headshot in business attire", "referenceType": "face", **fields}
        return self.post("/api/generate/image-reference", data=right, files={"image": ("me.png", image or picture(), "image/png")})

    def text(self, **fields: Any) -> httpx.Response:
        return self.post("/api/generate/text-to-image", json={"prompt": "a lighthouse in a storm", **fields})

    def ordered(self, answer: httpx.Response) -> str:
        """Return the id of a generation that must have been accepted."""
        assert answer.status_code == 202, answer.text
        return str(answer.json()["data"]["generationId"])

    def generation(self, generation_id: str) -> Answer:
        return self.data(f"/api/generate/queue/{generation_id}")

    def ended(self, generation_id: str, *, within_s: float = 60.0) -> Answer:
        """Return a generation once it has ended and is settled."""
        wait_until(lambda: self.service.document(generation_id)["settlement"] == "done", within_s, f"the end of {generation_id}")
        return self.generation(generation_id)

    def balance(self) -> tuple[int, int]:
        """Return what can be spent, and what is held."""
        data = self.data("/api/tokens/balance")
        assert data["userId"] == self.id
        return data["balance"], data["held"]

    def spend_down_to(self, tokens: int) -> None:
        """Take tokens away as if they had been spent, books included."""
        now = self.balance()[0]
        entry = {"_id": f"test:{uuid.uuid4()}", "sortId": "0", "userId": self.id, "type": "topup", "balance": tokens - now, "held": 0}
        self.service.database["ledger"].insert_one({**entry, "jobId": None, "notes": None, "at": None})
        self.service.database["accounts"].update_one({"_id": self.id}, {"$set": {"tokens": tokens}})
