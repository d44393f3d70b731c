"""A client of fal's as plain HTTP, and pictures for it to send."""

from __future__ import annotations

import io
from typing import Any

import httpx
from PIL import Image

from app.domain.api_key import KeyTerms
from tests.acceptance.people import accounts_of
from tests.acceptance.service import Answer, Service, a_prompt, wait_until

FLUX = "fal-ai/flux-pro/v1.1"
FLUX_APP = "fal-ai/flux-pro"
EDIT = "fal-ai/nano-banana-pro/edit"
SMALL = {"image_size": "square"}


class Fal:
    """Whoever calls with one of our keys where fal's own would stand."""

    def __init__(self, service: Service, terms: KeyTerms = KeyTerms()) -> None:  # noqa: B008 - a frozen value
        self.service = service
        self.key, self.text = accounts_of(service).make_key("a client of fal's", terms)
        self.headers = {"Authorization": f"Key {self.text}"}

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        return self.service.client.request(method, path, headers=headers, **more)

    def submit(self, arguments: Answer, app: str = FLUX, **headers: str) -> httpx.Response:
        return self.ask("POST", f"/fal/queue/{app}", json=arguments, headers=headers)

    def run(self, arguments: Answer, app: str = FLUX, **headers: str) -> httpx.Response:
        return self.ask("POST", f"/fal/{app}", json=arguments, headers=headers)

    def request(self, request_id: str, rest: str = "", method: str = "GET") -> httpx.Response:
        return self.ask(method, f"/fal/queue/{FLUX_APP}/requests/{request_id}{rest}")

    def proxied(self, method: str, target: str, **more: Any) -> httpx.Response:
        return self.ask(method, "/api/fal/proxy", headers={"x-fal-target-url": target, **more.pop("headers", {})}, **more)

    def submitted(self, prompt: str | None = None) -> str:
        answer = self.submit({"prompt": prompt or a_prompt(), **SMALL})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["request_id"])

    def ended(self, request_id: str) -> Answer:
        def over() -> Answer | None:
            answer = self.request(request_id, "/status")
            assert answer.status_code in (200, 202), answer.text
            body: Answer = answer.json()
            return body if body["status"] == "COMPLETED" else None

        return wait_until(over, 30, f"the end of {request_id}")


def a_picture(side: int = 64) -> bytes:
    """Return a PNG that nobody else has."""
    file = io.BytesIO()
    Image.effect_noise((side, side), 60).save(file, "PNG")
    return file.getvalue()
