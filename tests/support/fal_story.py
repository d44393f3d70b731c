"""What a script does with fal's own Python client; run as a file, by an interpreter that has the release in question.

Its argument is JSON: `use` (the arguments of imagegen.fal.use, or null), `hosts` (names to be taken for 127.0.0.1), `prompt` (a word that
all prompts have), `picture` (a file), `steps` (which; null: all). It prints JSON: the release, and what came of each step.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

ORDER = json.loads(sys.argv[1])
FLUX, EDIT = "fal-ai/flux-pro/v1.1", "fal-ai/flux/dev/image-to-image"
SLOW = "[emulator: seconds=30, queue=30]"
NEWER = tuple(map(int, version("fal-client").split(".")[:2])) >= (0, 11)
TIMEOUTS: dict[str, Any] = {"client_timeout": 60} if NEWER else {}

resolve = socket.getaddrinfo
own_names = {*ORDER["hosts"], *(name.encode() for name in ORDER["hosts"])}
socket.getaddrinfo = lambda host, *more, **options: resolve("127.0.0.1" if host in own_names else host, *more, **options)

import fal_client  # noqa: E402 - it reads its environment when it is imported

if ORDER["use"]:
    import imagegen.fal

    imagegen.fal.use(*ORDER["use"])


def asked(about: str, **more: Any) -> dict[str, Any]:
    return {"prompt": f"{ORDER['prompt']} {about}", "image_size": "square", **more}


def named(event: Any) -> str:
    return type(event).__name__


def told(event: Any) -> list[str]:
    return [entry["message"] for entry in getattr(event, "logs", None) or []]


def run() -> Any:
    return fal_client.run(FLUX, asked("run"))


def submit() -> Any:
    handle = fal_client.submit(FLUX, asked("submit", seed=2**63 + 5))
    events = list(handle.iter_events(with_logs=True))
    return {
        "events": [named(event) for event in events],
        "logs": [line for event in events for line in told(event)],
        "result": handle.get(),
        "id": handle.request_id,
        "urls": [handle.response_url, handle.status_url, handle.cancel_url],
    }


def subscribe() -> Any:
    seen: list[str] = []
    return {
        "result": fal_client.subscribe(
            FLUX, asked("subscribe"), with_logs=True, on_queue_update=lambda event: seen.append(named(event)), **TIMEOUTS
        ),
        "events": seen,
    }


def by_id() -> Any:
    request_id = fal_client.submit(FLUX, asked("by id")).request_id
    early = named(fal_client.status(FLUX, request_id, with_logs=True))
    while not isinstance(fal_client.status(FLUX, request_id), fal_client.Completed):
        pass
    return {"early": early, "result": fal_client.result(FLUX, request_id), "id": request_id}


def twice() -> Any:
    key = {"Idempotency-Key": f"{ORDER['prompt']} twice".replace(" ", "-")}
    return [fal_client.submit(FLUX, asked("twice"), headers=key).request_id for _ in range(2)]


def cancel() -> Any:
    handle = fal_client.submit(FLUX, asked(f"cancel {SLOW}"))
    fal_client.cancel(FLUX, handle.request_id)
    for _ in handle.iter_events():
        pass
    return handle.get()


def stream() -> Any:
    return list(fal_client.stream(FLUX, asked("stream")))


def encode_file() -> Any:
    return fal_client.run(EDIT, {"prompt": f"{ORDER['prompt']} encoded", "image_url": fal_client.encode_file(ORDER["picture"])})


def upload_file() -> Any:
    url = fal_client.upload_file(ORDER["picture"])
    return {"url": url, "result": fal_client.run(EDIT, {"prompt": f"{ORDER['prompt']} uploaded", "image_url": url})}


def wrong_arguments() -> Any:
    return fal_client.subscribe(FLUX, {"image_size": "square"})


def refused_by_fal() -> Any:
    return fal_client.subscribe(FLUX, asked("[emulator: fail=content_policy]"))


def unknown_app() -> Any:
    return fal_client.subscribe("fal-ai/no-such-app", asked("nothing"))


async def run_async() -> Any:
    return await fal_client.AsyncClient().run(FLUX, asked("run async"))


async def submit_async() -> Any:
    handle = await fal_client.AsyncClient().submit(FLUX, asked("submit async"))
    return {"events": [named(event) async for event in handle.iter_events(with_logs=True)], "result": await handle.get()}


async def subscribe_async() -> Any:
    return await fal_client.subscribe_async(FLUX, asked("subscribe async"), **TIMEOUTS)


async def by_id_async() -> Any:
    client = fal_client.AsyncClient()
    handle = await client.submit(FLUX, asked("by id async"))
    async for _ in handle.iter_events():
        pass
    return {"status": named(await client.status(FLUX, handle.request_id)), "result": await client.result(FLUX, handle.request_id)}


async def cancel_async() -> Any:
    client = fal_client.AsyncClient()
    handle = await client.submit(FLUX, asked(f"cancel async {SLOW}"))
    await client.cancel(FLUX, handle.request_id)
    return await handle.get()


async def stream_async() -> Any:
    return [event async for event in fal_client.AsyncClient().stream(FLUX, asked("stream async"))]


async def upload_file_async() -> Any:
    client = fal_client.AsyncClient()
    url = await client.upload_file(ORDER["picture"])
    return {"url": url, "result": await client.run(EDIT, {"prompt": f"{ORDER['prompt']} uploaded async", "image_url": url})}


STEPS: list[Callable[[], Any]] = [
    run,
    submit,
    subscribe,
    by_id,
    twice,
    cancel,
    stream,
    encode_file,
    wrong_arguments,
    refused_by_fal,
    unknown_app,
]
STEPS += [run_async, submit_async, subscribe_async, by_id_async, cancel_async, stream_async]
UPLOADS: list[Callable[[], Any]] = [upload_file, upload_file_async]


def outcome(step: Callable[[], Any]) -> Any:
    try:
        found = step()
        return asyncio.run(found) if asyncio.iscoroutine(found) else found
    except Exception as exc:  # noqa: BLE001 - whatever the release raises is what the tests look at
        response = getattr(exc, "response", None)
        return {
            "raised": type(exc).__name__,
            "text": str(exc),
            "status": getattr(response, "status_code", None),
            "body": response.json() if response is not None and "json" in response.headers.get("content-type", "") else None,
            "type": response.headers.get("x-fal-error-type") if response is not None else None,
        }


def main() -> None:
    steps = [*STEPS, *(UPLOADS if ORDER["use"] else [])]
    if ORDER["steps"] is not None:
        steps = [step for step in [*STEPS, *UPLOADS] if step.__name__ in ORDER["steps"]]
    with ThreadPoolExecutor(len(steps)) as threads:
        outcomes = list(threads.map(outcome, steps))
    print(json.dumps({"release": version("fal-client"), "steps": dict(zip((step.__name__ for step in steps), outcomes, strict=True))}))


if __name__ == "__main__":
    main()
