"""The emulator's own API under `/_emulator`, without a key: faults, settings, what was seen."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from scripts.fal_emulator.answers import answer, json_object
from scripts.fal_emulator.faults import Fault, UnknownFaultError
from scripts.fal_emulator.queue_api import WORLD
from scripts.fal_emulator.state import camel_case

#: How each setting is read from JSON.
SETTINGS: dict[str, Callable[[Any], Any]] = {
    "seconds": float,
    "queue_seconds": float,
    "concurrency": int,
    "webhook_retry_seconds": lambda pauses: tuple(map(float, pauses)),
}
COUNTERS = (
    "submits", "refused", "badKeys", "succeeded", "failed", "canceled", "cancels", "statusPolls", "streams", "resultFetches", "fileFetches",
    "filesFetchedWithKey", "webhooksDelivered", "webhooksFailed",
)  # fmt: skip


def add_routes(app: web.Application) -> None:
    app.router.add_get("/.well-known/jwks.json", jwks)
    app.router.add_post("/_emulator/faults", add_fault)
    app.router.add_delete("/_emulator/faults", clear_faults)
    app.router.add_post("/_emulator/settings", change_settings)
    app.router.add_get("/_emulator/requests", list_requests)
    app.router.add_get("/_emulator/stats", show_stats)
    app.router.add_post("/_emulator/reset", reset)


async def jwks(request: web.Request) -> web.Response:
    return answer(request.app[WORLD].signer.jwks())


async def add_fault(request: web.Request) -> web.Response:
    try:
        fault = Fault.from_json(json_object(await request.read()) or {})
    except UnknownFaultError as error:
        return answer({"detail": str(error)}, 400)
    request.app[WORLD].faults.orders.append(fault)
    return answer(fault.to_json(), 201)


async def clear_faults(request: web.Request) -> web.Response:
    request.app[WORLD].faults.orders.clear()
    return web.Response(status=204)


async def change_settings(request: web.Request) -> web.Response:
    """Apply to requests submitted from now on; a new `concurrency` applies at once."""
    world = request.app[WORLD]
    try:
        change = json_object(await request.read()) or {}
        changed = {name: read(change[camel_case(name)]) for name, read in SETTINGS.items() if camel_case(name) in change}
    except (TypeError, ValueError) as error:
        return answer({"detail": str(error)}, 400)
    for name, value in changed.items():
        setattr(world.settings, name, value)
    world.runner.pump()
    return answer(world.settings.to_json())


async def list_requests(request: web.Request) -> web.Response:
    """Every submit seen, oldest first."""
    return answer([job.to_json() for job in request.app[WORLD].state.seen])


async def show_stats(request: web.Request) -> web.Response:
    world = request.app[WORLD]
    counted = {name: world.state.counters[name] for name in COUNTERS}
    now = {"queued": world.runner.queued, "running": world.runner.running, "settings": world.settings.to_json()}
    return answer({**counted, **now, "picturesPainted": world.painter.painted, "picturesFromMemory": world.painter.hits})


async def reset(request: web.Request) -> web.Response:
    request.app[WORLD].reset()
    return web.Response(status=204)
