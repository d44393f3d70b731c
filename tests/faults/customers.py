"""Signed-in users who insist: an order that is not answered is sent again, with the same key."""

from __future__ import annotations

import time
import uuid
from typing import Any

import httpx

SMALL = {"width": 64, "height": 64}
TOKENS_AN_IMAGE = 100
PASSWORD = "correct horse battery staple"
INSIST_S = 60.0


class Customer:
    def __init__(self, client: httpx.Client, user_id: str, token: str) -> None:
        self.client = client
        self.id = user_id
        self.headers = {"Authorization": f"Bearer {token}"}

    def order(self, prompt: str, *, num_images: int = 1, key: str | None = None, **more: Any) -> str:
        """Order small pictures and do not wait for them; return the job's id. Insists until the order is taken."""
        answer = self.insist("/api/images/generate", a_body(prompt, num_images=num_images, **more), key=key or uuid.uuid4().hex)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["jobId"])

    def insist(self, path: str, body: dict[str, Any], *, key: str) -> httpx.Response:
        """Post until there is an answer that is not merely about the moment, always with the same key."""
        deadline = time.monotonic() + INSIST_S
        while True:
            try:
                answer = self.client.post(path, json=body, headers={**self.headers, "Idempotency-Key": key})
                if answer.status_code != 503 or time.monotonic() > deadline:
                    return answer
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/api/jobs/{job_id}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def cancel(self, job_id: str) -> int:
        """Cancel a job; return the answer's status: 200, 202 where fal is asked, or 409 where it had ended before."""
        return self.client.post(f"/api/jobs/{job_id}/cancel", headers=self.headers).status_code

    def balance(self) -> tuple[int, int]:
        """Return the tokens that can be spent and those that are held."""
        data = self.client.get("/api/tokens/balance", headers=self.headers).json()["data"]
        return data["balance"], data["held"]


def a_body(prompt: str, *, num_images: int = 1, **more: Any) -> dict[str, Any]:
    options = {"image_size": SMALL, "num_images": num_images}
    return {"model": "flux-dev", "inputs": {"prompt": prompt}, "options": options, "async": True, **more}


def register(client: httpx.Client) -> Customer:
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
    answer = client.post("/api/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    data = answer.json()["data"]
    return Customer(client, data["user"]["id"], data["token"])
