"""The script API: models, prices, and the one endpoint that generates."""

from __future__ import annotations

import functools
from typing import Any

from flask import Response, jsonify, request

from app.api.http import examples, services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.deferred import PREFER, Deferred, Preference, preference_of
from app.api.http.errors import job_fault, told
from app.api.http.hooks import hook_of
from app.api.http.limits import counted_wait, submits
from app.api.http.ordering import IDEMPOTENCY_KEY, count_accept, count_answer, order_key_of, replay_headers
from app.api.http.requests import ApiBlueprint
from app.api.schemas import images as schemas
from app.domain.api_key import Scope
from app.domain.endpoint import OrderHook
from app.domain.errors import NotFound
from app.domain.job import Job, JobStatus
from app.services.orders.order import Order, OrderKey
from registry.spec import ModelSpec

GOES_ON = "The generation goes on; ask statusUrl for the result"

blueprint = ApiBlueprint("images", __name__, url_prefix="/api/images", description="Models, prices, generation")


@blueprint.get("/models")
@needs(Scope.READ)
@blueprint.response(200, schemas.ModelsAnswer)
@blueprint.errors(401)
def list_models() -> dict[str, Any]:
    """List the models of the registry with their price of one image at default options."""
    models = list(services().registry)
    return {"total": len(models), "models": models}


@blueprint.get("/models/<name>")
@needs(Scope.READ)
@blueprint.response(200, schemas.ModelDetailAnswer)
@blueprint.errors(401, 404)
def show_model(name: str) -> ModelSpec:
    """Show one model with the JSON Schema that its requests are checked against, its prices and limits."""
    spec = services().registry.get(name)
    if spec is None:
        raise NotFound(f"No such model. Valid models: {', '.join(services().registry.names)}")
    return spec


@blueprint.post("/estimate-cost")
@needs(Scope.READ)
@blueprint.arguments(schemas.EstimateBody, examples=examples.ESTIMATE)
@blueprint.response(200, schemas.EstimateAnswer)
@blueprint.errors(400, 401)
def estimate_cost(body: dict[str, Any]) -> dict[str, Any]:
    """Price a request without making it. Inputs may be left out; the same code prices the job."""
    caller().order_limits.require_model(body["model"])
    quoted = services().orders.estimate(body["model"], body["inputs"], body["options"])
    tokens = {"tokens": services().orders.tokens_of(body["model"], quoted)} if caller().account else {}
    return {**vars(quoted), **tokens}


@blueprint.post("/generate")
@needs(Scope.GENERATE)
@submits
@blueprint.doc(parameters=[IDEMPOTENCY_KEY, PREFER])
@blueprint.arguments(schemas.GenerateBody, examples=examples.GENERATE)
@blueprint.response(201, schemas.GenerateAnswer)
@blueprint.alt_response(202, schema=schemas.GenerateAnswer)
@blueprint.errors(400, 401, 402, 500, 413)
def generate(body: dict[str, Any]) -> Response:
    """Generate images with any model of the registry.

    Waits for the result and answers 201 with the images. Answers 202 with where to look when the result is not there in time, on
    `Prefer: respond-async`, or with `"async": true`; `Prefer: wait=N` waits at most N seconds. The work goes on in any case. While the
    service's queue is away the answer is 202 at once, and says so: the order stands, and begins by itself when the queue is back.
    """
    key = order_key_of(body)
    preference = preference_of(request, longest_s=services().settings.sync_wait_seconds)
    hook = hook_of(body)
    wait_s = _wait_s(preference, wanted_async=body.pop("asynchronous"))
    accepted = services().orders.submit(_order(body, key, hook))
    count_accept(accepted)
    if wait_s > 0 and not accepted.begins_later:
        wait = counted_wait(functools.partial(services().waiters.wait, accepted.job.id), wait_s)
        return Deferred(wait, functools.partial(_waited, preference, replayed=accepted.replayed))
    body = _accepted(accepted.job, accepted.message(GOES_ON)) | {"status": JobStatus.PENDING.value}
    return _located(body, 202, accepted.job, preference, replayed=accepted.replayed)


def _order(body: dict[str, Any], key: OrderKey | None, hook: OrderHook | None) -> Order:
    """Return the caller's order. A signed-in user pays in tokens here as everywhere; a script's costs are on the operator's account."""
    who = caller()
    user_id = who.acts_for(body.pop("user_id"))
    pays_tokens = who.account is not None
    payer: dict[str, Any] = {"caller_key": who.key_id, "limits": who.order_limits, "pays_tokens": pays_tokens}
    return Order(user_id=user_id, key=key, hook=hook, **payer, **body)


def _wait_s(preference: Preference, *, wanted_async: bool) -> float:
    if preference.wait_s is not None:
        return preference.wait_s
    return 0.0 if wanted_async else services().settings.sync_wait_seconds


def _waited(preference: Preference, job: Job, *, replayed: bool) -> Response:
    if not replayed:
        count_answer(job)
    if job.status is JobStatus.COMPLETED:
        return _located(schemas.GenerateAnswer.of(job), 201, job, preference, replayed=replayed)
    if job.is_terminal:
        return _headed(told(job_fault(job)), job, preference, replayed=replayed)
    return _located(_accepted(job, GOES_ON), 202, job, preference, replayed=replayed)


def _located(body: dict[str, Any], status: int, job: Job, preference: Preference, *, replayed: bool) -> Response:
    response = jsonify(body)
    response.status_code = status
    if status == 202:
        response.headers["Retry-After"] = "2"
    return _headed(response, job, preference, replayed=replayed)


def _headed(response: Response, job: Job, preference: Preference, *, replayed: bool) -> Response:
    response.headers.extend({"Location": f"/api/jobs/{job.id}", "Vary": "Prefer", **replay_headers(replayed=replayed)})
    if preference.applied:
        response.headers["Preference-Applied"] = preference.applied
    return response


def _accepted(job: Job, message: str) -> dict[str, Any]:
    known = {"success": True, "id": job.id, "status": job.status, "status_url": f"/api/jobs/{job.id}", "message": message}
    return schemas.GenerateAnswer.of(known) | {"images": []}
