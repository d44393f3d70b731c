"""fal's queue over HTTP: submit, status, its stream, result, cancel."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from scripts.fal_emulator import endpoints
from scripts.fal_emulator.answers import HANG_SECONDS, SLOW_SECONDS, answer, drop, json_object, misbehave
from scripts.fal_emulator.faults import Fault, directives_in
from scripts.fal_emulator.state import Job, Status
from scripts.fal_emulator.world import World

WORLD = web.AppKey("world", World)
JobHandler = Callable[[web.Request, Job], Awaitable[web.StreamResponse]]
STREAM_SECONDS = 0.1
# These kinds accept the request, which then runs, and only spoil the answer.
AFTER_ACCEPTING = frozenset({"drop_after_read", "hang", "slow", "huge", "foreign_urls"})
DEFAULT_FOREIGN_HOST = "https://queue.example.invalid"
_JOB_PATH = "/{endpoint:.+}/requests/{request_id:[^/]+}"


def add_routes(app: web.Application) -> None:
    """Both path forms, the app's and the endpoint's, since fal documents one and answers with the other."""
    get_result = _of_a_job(result, "result", "resultFetches")
    app.router.add_get(_JOB_PATH + "/status/stream", _of_a_job(stream))
    app.router.add_get(_JOB_PATH + "/status", _of_a_job(status, "status", "statusPolls"))
    app.router.add_get(_JOB_PATH + "/response", get_result)
    app.router.add_put(_JOB_PATH + "/cancel", _of_a_job(cancel))
    app.router.add_get(_JOB_PATH, get_result)
    app.router.add_post("/_emulator/run/{endpoint:.+}", run)
    app.router.add_post("/{endpoint:.+}", submit)


async def submit(request: web.Request) -> web.StreamResponse:
    world, endpoint = request.app[WORLD], request.match_info["endpoint"]
    if endpoints.find(endpoint) is None:
        return answer({"detail": f'Application "{endpoint.rpartition("/")[2]}" not found'}, 404, "unknown-application")
    if world.faults.take("submit", endpoint, "", before_read=True):
        world.refuse(endpoint, None, "drop_before_read")
        return drop(request)
    arguments = json_object(await request.read())
    refusal = _key_problem(request, endpoint)
    if refusal is None and arguments is None:
        refusal = answer({"detail": "The body is not a JSON object", "error_type": "bad_request"}, 400, "bad-request")
    if refusal is not None or arguments is None:
        world.refuse(endpoint, arguments, "bad request or key")
        return refusal or web.Response(status=400)
    fault = _fault(world, endpoint, arguments)
    if fault is not None and fault.kind not in AFTER_ACCEPTING:
        world.refuse(endpoint, arguments, fault.kind)
        unknown = {"detail": f"the emulator knows no submit failure {fault.kind!r}"}
        return await misbehave(request, fault, "refused-request") or answer(unknown, 400, "unknown-fault")
    if _is_full(request, world, endpoint):
        world.refuse(endpoint, arguments, "fal_max_queue_length")
        return answer({"detail": "The queue is longer than fal_max_queue_length"}, 429, "queue-full")
    headers = {name.lower(): value for name, value in request.headers.items() if name.lower().startswith("x-fal-")}
    job = world.register(endpoint, arguments, request.query.get("fal_webhook"), headers)
    return await _accepted(request, world, job, fault)


def has_good_key(request: web.Request) -> bool:
    """Any key is good unless it begins with `bad`."""
    value = request.headers.get("Authorization", "")
    return value.startswith("Key ") and bool(value[4:].strip()) and not value[4:].lower().startswith("bad")


def _key_problem(request: web.Request, endpoint: str) -> web.Response | None:
    value = request.headers.get("Authorization", "")
    if has_good_key(request):
        return None
    request.app[WORLD].state.count("badKeys")
    if not value:
        text = f'Cannot access application "{endpoint}". Authentication is required to access this application.'
    elif value.startswith("Key "):
        text = "No user found for Key ID and Secret"
    else:
        text = "Invalid Key Authorization header format. Expected: Key <key_id>:<key_secret>"
    return answer({"detail": text}, 401, "no-such-user")


def _fault(world: World, endpoint: str, arguments: dict[str, Any]) -> Fault | None:
    prompt = arguments.get("prompt")
    text = prompt if isinstance(prompt, str) else ""
    ordered = directives_in(text).get("submit")
    return Fault(on="submit", kind=ordered) if ordered else world.faults.take("submit", endpoint, text)


def _is_full(request: web.Request, world: World, endpoint: str) -> bool:
    limit = request.query.get("fal_max_queue_length", "")
    return limit.isdigit() and world.runner.waiting_on(endpoint) > int(limit)


async def _accepted(request: web.Request, world: World, job: Job, fault: Fault | None) -> web.StreamResponse:
    kind = fault.kind if fault else ""
    base_url = world.base_url
    if fault is not None and kind == "foreign_urls":
        base_url = str(fault.value or DEFAULT_FOREIGN_HOST).rstrip("/")
    body = _state_of(world, job, base_url, with_logs=False)
    if kind == "slow":
        await asyncio.sleep((fault.seconds if fault else None) or SLOW_SECONDS)
    return await misbehave(request, fault, job.request_id) or answer(body, 200, job.request_id)


def _state_of(world: World, job: Job, base_url: str, *, with_logs: bool) -> dict[str, Any]:
    url = f"{base_url}/{job.app_id}/requests/{job.request_id}"
    body: dict[str, Any] = {
        "status": job.status,
        "request_id": job.request_id,
        "response_url": url,
        "status_url": f"{url}/status",
        "cancel_url": f"{url}/cancel",
    }
    if job.status is Status.IN_QUEUE:
        return body | {"queue_position": world.runner.position(job)}
    # fal-client fails without the key `logs`; null is fine with it.
    body["logs"] = _logs(job) if with_logs else None
    if job.status is Status.COMPLETED:
        body["metrics"] = {"inference_time": job.ran_seconds}
        if job.error is not None:
            body |= {"error": job.error, "error_type": job.error_type}
    return body


def _logs(job: Job) -> list[dict[str, Any]]:
    """A line for the start, and one for the end."""
    moments = {"started": job.started_at, "done": job.ended_at}
    return [
        {"message": text, "level": "INFO", "source": "USER", "timestamp": datetime.fromtimestamp(at, UTC).isoformat()}
        for text, at in moments.items()
        if at is not None
    ]


def _of_a_job(handle: JobHandler, stage: str | None = None, counter: str = "") -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the handler that finds the job of a path, counts that it was asked for, and fails where a failure of this stage is due."""

    async def handle_path(request: web.Request) -> web.StreamResponse:
        world, endpoint, request_id = request.app[WORLD], request.match_info["endpoint"], request.match_info["request_id"]
        if (refusal := _key_problem(request, endpoint)) is not None:
            return refusal
        job = world.state.jobs.get(request_id)
        if job is None or endpoint not in {job.app_id, job.endpoint}:
            return answer({"status": "NOT_FOUND"}, 404, request_id)
        if stage:
            world.state.count(counter)
            job.asked[counter] += 1
            if spoiled := await misbehave(request, world.fault_for(stage, job), job.request_id):
                return spoiled
        return await handle(request, job)

    return handle_path


async def status(request: web.Request, job: Job) -> web.StreamResponse:
    code, world = 200 if job.status is Status.COMPLETED else 202, request.app[WORLD]
    return answer(_state_of(world, job, world.base_url, with_logs=_wants_logs(request)), code, job.request_id)


def _wants_logs(request: web.Request) -> bool:
    return request.query.get("logs", "").lower() in {"1", "true"}


async def stream(request: web.Request, job: Job) -> web.StreamResponse:
    """Server-sent events, one status object each time it changed, until COMPLETED."""
    world = request.app[WORLD]
    world.state.count("streams")
    job.asked["streams"] += 1
    fault = world.fault_for("stream", job)
    if spoiled := await misbehave(request, fault, job.request_id):
        return spoiled
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    response.headers["x-fal-request-id"] = job.request_id
    await response.prepare(request)
    if fault and fault.kind == "silent":
        await asyncio.sleep(HANG_SECONDS)
    last: dict[str, Any] = {}
    while last.get("status") != Status.COMPLETED:
        changed, body = job.changed, _state_of(world, job, world.base_url, with_logs=_wants_logs(request))
        if body != last:
            if fault and fault.kind == "late":
                await asyncio.sleep(fault.seconds or SLOW_SECONDS)
            await response.write(f"data: {json.dumps(body)}\n\n".encode())
            last = body
        if last["status"] != Status.COMPLETED:
            await _wait(changed, STREAM_SECONDS if last["status"] == Status.IN_QUEUE else None)
    return response


async def _wait(changed: asyncio.Event, at_most_s: float | None) -> None:
    """Wait for another state; one's place in the queue changes without being told."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await changed.wait()


async def result(_request: web.Request, job: Job) -> web.StreamResponse:
    if job.answer is None:
        return answer({"detail": "Request is still in progress"}, 400, job.request_id)
    return answer(job.answer.body, job.answer.status, job.request_id, **job.answer.headers)


async def run(request: web.Request) -> web.StreamResponse:
    """The call that fal takes at https://fal.run: the result itself, once it is there. Without the failures that can be ordered."""
    world, endpoint = request.app[WORLD], request.match_info["endpoint"]
    if (refusal := _key_problem(request, endpoint)) is not None:
        return refusal
    arguments = json_object(await request.read())
    if arguments is None or endpoints.find(endpoint) is None:
        return answer({"detail": "The body is not a JSON object, or nobody knows the application"}, 404)
    job = world.register(endpoint, arguments, None, {})
    while job.status is not Status.COMPLETED:
        await job.changed.wait()
    return await result(request, job)


async def cancel(request: web.Request, job: Job) -> web.StreamResponse:
    world = request.app[WORLD]
    world.state.count("cancels")
    fault = world.fault_for("cancel", job)
    if spoiled := await misbehave(request, fault, job.request_id):
        return spoiled
    if job.status is Status.COMPLETED:
        return answer({"status": "ALREADY_COMPLETED"}, 400, job.request_id)
    world.runner.cancel(job, stop=fault is not None and fault.kind == "stop")
    return answer({"status": "CANCELLATION_REQUESTED"}, 202, job.request_id)
