"""fal's platform API, which the operator's commands ask: prices, what was billed, what an endpoint takes."""

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from scripts.fal_emulator import descriptions
from scripts.fal_emulator.answers import answer
from scripts.fal_emulator.queue_api import WORLD, has_good_key
from scripts.fal_emulator.state import Job, Status


def add_routes(app: web.Application) -> None:
    app.router.add_get("/v1/models/pricing", pricing)
    app.router.add_get("/v1/models/billing-events", billing_events)
    app.router.add_delete("/v1/models/requests/{request_id}/payloads", delete_payloads)
    app.router.add_get("/openapi.json", openapi)


async def pricing(request: web.Request) -> web.Response:
    if not has_good_key(request):
        return _refusal()
    wanted = request.query.getall("endpoint_id", [])
    prices = [(endpoint, price) for endpoint in wanted if (price := descriptions.price_of(endpoint))]
    entries = [{"endpoint_id": endpoint, "unit_price": amount, "unit": unit, "currency": "USD"} for endpoint, (amount, unit) in prices]
    return answer({"prices": entries, "next_cursor": None, "has_more": False})


async def billing_events(request: web.Request) -> web.Response:
    """Answer what the requests cost that are remembered since the start; those that failed or were canceled are not on the bill."""
    if not has_good_key(request):
        return _refusal()
    try:
        start, end = (datetime.fromisoformat(request.query[name]).timestamp() for name in ("start", "end"))
    except (KeyError, ValueError):
        return answer({"error": {"type": "validation_error", "message": "start and end are times"}}, 400)
    jobs = request.app[WORLD].state.jobs
    found = [jobs[name] for name in request.query.getall("request_id", []) if name in jobs]
    events = [_event(job) for job in found if job.ended_at is not None and start <= job.ended_at < end and _is_billed(job)]
    return answer({"billing_events": events, "next_cursor": None, "has_more": False})


def _is_billed(job: Job) -> bool:
    return job.status is Status.COMPLETED and job.answer is not None and job.answer.status == 200 and not job.canceled


def _event(job: Job) -> dict[str, Any]:
    units = float(job.answer.headers.get("X-Fal-Billable-Units", 0)) if job.answer else 0.0
    amount, _ = descriptions.price_of(job.endpoint) or (0.0, "")
    return {
        "request_id": job.request_id,
        "endpoint_id": job.endpoint,
        "timestamp": datetime.fromtimestamp(job.ended_at or 0, UTC).isoformat(),
        "output_units": units,
        "unit_price": amount,
        "percent_discount": None,
        "cost_total": round(units * amount, 9),
        "cost_estimate_nano_usd": round(units * amount * 1e9),
    }


async def delete_payloads(request: web.Request) -> web.Response:
    """Forget a request's files, as fal deletes what it keeps of one."""
    if not has_good_key(request):
        return _refusal()
    state = request.app[WORLD].state
    job = state.jobs.get(request.match_info["request_id"])
    if job is None:
        return answer({"error": {"type": "not_found", "message": "Request not found"}}, 404)
    for file_id in job.files:
        state.files.pop(file_id, None)
    return answer({})


async def openapi(request: web.Request) -> web.Response:
    document = descriptions.document_of(request.query.get("endpoint_id", ""))
    if document is None:
        return answer({"error": {"type": "not_found", "message": "Endpoint not found"}}, 404)
    return answer(document)


def _refusal() -> web.Response:
    return answer({"error": {"type": "authorization_error", "message": "Authentication required"}}, 401)
