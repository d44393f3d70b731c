"""Requests to the fal emulator as a client of fal makes them."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable
from typing import Any

import httpx
from PIL import Image

from tests.support.emulator import Emulator

KEY = {"Authorization": "Key test-id:test-secret"}
FLUX = "fal-ai/flux/dev"
BANANA = "fal-ai/nano-banana-pro/edit"


def submit(fal: Emulator, endpoint: str = FLUX, *, webhook: str | None = None, **arguments: Any) -> httpx.Response:
    body = {"prompt": "a red bicycle", **arguments}
    return fal.http.post(f"/{endpoint}", json=body, headers=KEY, params={"fal_webhook": webhook} if webhook else None)


def wait_until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def completed(fal: Emulator, submitted: dict[str, Any]) -> dict[str, Any]:
    def ask() -> dict[str, Any] | None:
        response = fal.http.get(submitted["status_url"], headers=KEY)
        return response.json() if response.status_code == 200 else None

    state: dict[str, Any] = wait_until(ask)
    return state


def run(fal: Emulator, endpoint: str = FLUX, **arguments: Any) -> httpx.Response:
    submitted = submit(fal, endpoint, **arguments).json()
    completed(fal, submitted)
    return fal.http.get(submitted["response_url"], headers=KEY)


def first_file(fal: Emulator, **arguments: Any) -> str:
    return str(run(fal, **arguments).json()["images"][0]["url"])


def data_uri(width: int, height: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
