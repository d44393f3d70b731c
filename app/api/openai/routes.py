"""The OpenAI Images API: `/v1`, the same at `/openai/v1`, and as Azure's clients call it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Flask, Response, g, jsonify, request

from app.api.http import services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.deferred import Deferred, preference_of
from app.api.http.errors import Fault, job_fault, shape_errors, told
from app.api.http.limits import at_the_end, counted_wait, submits
from app.api.http.ordering import checked_user, count_accept, count_answer, order_key_of, replay_headers
from app.api.http.requests import ApiBlueprint
from app.api.openai import answers, streams
from app.api.openai.asked import Asked
from app.api.openai.body import read_edit, read_generation
from app.api.openai.errors import UnsupportedEndpoint, shape
from app.api.openai.words import PARAMETERS, wanted
from app.api.schemas import openai as schemas
from app.api.schemas.jobs import JobAnswer
from app.domain.api_key import Scope
from app.domain.errors import UnknownModelName
from app.domain.job import Job, JobStatus
from app.domain.repeat import Try
from app.services.orders.order import fingerprint_of
from app.services.orders.submit import Accepted

#: Proxies on the way give up after 100 seconds, some after 60; an SDK then sends again, and waits on.
LONGEST_WAIT_S = 95.0
RETRY_AFTER_MS, LATER_MS = 500, 2000
RETRY_COUNT = re.compile(r"\d{1,3}", re.ASCII)
USER_HEADER = "X-OpenWebUI-User-Id"
PREFIXES = ("/v1/", "/openai/")


class OpenAIBlueprint(ApiBlueprint):
    ERROR_SCHEMA = schemas.OpenAIErrorAnswer


blueprint = OpenAIBlueprint("openai", __name__, url_prefix="/v1", description="As OpenAI's clients call it; errors have OpenAI's shape")
#: The same under other addresses, which the API's document need not repeat; and what OpenAI has retired.
also = Blueprint("openai_also", __name__)


@blueprint.post("/images/generations")
@needs(Scope.GENERATE)
@submits
@blueprint.doc(requestBody=schemas.generation_body(list(PARAMETERS.values())), responses=streams.ANSWER)
@blueprint.response(200, schemas.PicturesAnswer)
@blueprint.alt_response(202, schema=JobAnswer)
@blueprint.errors(400, 401, 403, 404, 413, 415, 429, 500, 503, 504)
def create_image(deployment: str | None = None) -> Response:
    """Generate images from words.

    Waits for them. Where that takes longer than proxies wait the answer is 504, and OpenAI's SDKs send the request again by themselves:
    they then wait for the same job, which is bought once. Options of the model itself, such as `seed`, may stand beside OpenAI's own.
    """
    return _ordered(edit=False, deployment=deployment)


@blueprint.post("/images/edits")
@needs(Scope.GENERATE)
@submits
@blueprint.doc(requestBody=schemas.edit_body(list(PARAMETERS.values())), responses=streams.ANSWER)
@blueprint.response(200, schemas.PicturesAnswer)
@blueprint.alt_response(202, schema=JobAnswer)
@blueprint.errors(400, 401, 403, 404, 413, 415, 429, 500, 503, 504)
def edit_image(deployment: str | None = None) -> Response:
    """Generate images from images: a form with `image`, or `image[]` several times, and maybe `mask`; or JSON with their URLs."""
    return _ordered(edit=True, deployment=deployment)


@needs(Scope.GENERATE)
def vary_image(deployment: str | None = None) -> Response:  # noqa: ARG001 - part of the address
    raise UnsupportedEndpoint("Variations are retired: send the image to /v1/images/edits, and say in the prompt what is to vary")


@blueprint.get("/images/generations/<job_id>")
@needs(Scope.READ)
@blueprint.response(200, schemas.PicturesAnswer)
@blueprint.alt_response(202, schema=JobAnswer)
@blueprint.errors(400, 401, 403, 404, 410, 429, 500, 503)
def show_image(job_id: str) -> Response:
    """Answer with the images of a job once they are there, with 202 while it goes on."""
    job = services().job_actions.job(job_id, user_id=caller().sees)
    edit = bool(job.image_pointers)
    both = frozenset({answers.BASE64, answers.URL})
    asked = Asked(edit=edit, stream=False, response=both, output_format=None, output_compression=None, model=job.model)
    return _ended(asked, job, replayed=False) if job.is_terminal else _running(job)


@blueprint.get("/models")
@needs(Scope.READ)
@blueprint.response(200, schemas.OpenAIModelsAnswer)
@blueprint.errors(401, 403, 429, 503)
def list_models() -> dict[str, Any]:
    """List the models, and the names of OpenAI's that stand for one of them."""
    return {"object": "list", "data": list(_models().values())}


@blueprint.get("/models/<path:name>")
@needs(Scope.READ)
@blueprint.response(200, schemas.OpenAIModelAnswer)
@blueprint.errors(401, 403, 404, 429, 503)
def show_model(name: str) -> dict[str, Any]:
    """Show one of the models."""
    models = _models()
    if name not in models:
        raise UnknownModelName(f"The model {name[:100]!r} does not exist. Valid models: {', '.join(models)}")
    return models[name]


OTHER_ADDRESSES = (
    ("/openai/v1/images/generations", "POST", create_image),
    ("/openai/v1/images/edits", "POST", edit_image),
    ("/openai/v1/images/generations/<job_id>", "GET", show_image),
    ("/openai/v1/models", "GET", list_models),
    ("/openai/v1/models/<path:name>", "GET", show_model),
    ("/openai/deployments/<deployment>/images/generations", "POST", create_image),
    ("/openai/deployments/<deployment>/images/edits", "POST", edit_image),
    ("/v1/images/variations", "POST", vary_image),
    ("/openai/v1/images/variations", "POST", vary_image),
    ("/openai/deployments/<deployment>/images/variations", "POST", vary_image),
)
for rule, method, view in OTHER_ADDRESSES:
    also.add_url_rule(rule, view.__name__, view, methods=[method])


def init_app(app: Flask) -> None:
    """Add the other addresses, and let errors at all of them have OpenAI's shape."""
    app.register_blueprint(also)
    shape_errors(app, shape, *PREFIXES)


@dataclass(frozen=True)
class Answering:
    asked: Asked
    replayed: bool

    def waited(self, job: Job) -> Response:
        if not job.is_terminal:
            return _still_running(job, replayed=self.replayed)
        if not self.replayed:
            count_answer(job)
        return _ended(self.asked, job, replayed=self.replayed)


def _ordered(*, edit: bool, deployment: str | None) -> Response:
    body = read_edit(request) if edit else read_generation(request)
    user = request.headers.get(USER_HEADER)
    if user:
        checked_user(user, USER_HEADER)
    found = wanted(body, edit=edit, who=caller(), deployment=deployment, user=user)
    said = {**body.fingerprint, "deployment": deployment, "user": user}
    key = order_key_of(said)
    accepted = services().file_orders.submit(replace(found.order, key=key, tried=None if key else _tried(said)))
    count_accept(accepted)
    if found.is_async or preference_of(request, longest_s=LONGEST_WAIT_S).respond_async:
        return _running(accepted.job, replayed=accepted.replayed)
    return _waiting(found.asked, accepted)


def _tried(said: dict[str, Any]) -> Try | None:
    """Return which try of its request this is, of a client that counts them: OpenAI's SDKs send again by themselves, without a key."""
    count = request.headers.get("x-stainless-retry-count", "")
    if not RETRY_COUNT.fullmatch(count):
        return None
    whose = {"caller": caller().identity, "path": request.path}
    return Try(fingerprint_of({**said, **whose}), int(count), datetime.fromtimestamp(g.received_at, UTC))


def _waiting(asked: Asked, accepted: Accepted) -> Response:
    if asked.stream:
        return streams.stream(accepted.job, asked, replayed=accepted.replayed, written=_written(accepted.job))
    if accepted.begins_later:
        return _still_running(accepted.job, replayed=accepted.replayed, after_ms=LATER_MS)
    seconds = min(services().settings.sync_wait_seconds, LONGEST_WAIT_S)
    wait = counted_wait(functools.partial(services().waiters.wait, accepted.job.id), seconds)
    return Deferred(wait, Answering(asked, accepted.replayed).waited)


def _ended(asked: Asked, job: Job, *, replayed: bool) -> Response:
    """Answer with how a job has ended; once that is written, no retry of the same request is owed it any more."""
    written = _written(job)
    if job.status is JobStatus.COMPLETED:
        return answers.answer(job, asked, replayed=replayed, written=written)
    at_the_end(written)
    return _headed(told(job_fault(job)), job, replayed=replayed)


def _written(job: Job) -> Callable[[], None]:
    """Return what is to be done once somebody was sent how a job ended."""
    return functools.partial(services().repeats.answered, job.id) if job.repeat else answers.nothing


def _still_running(job: Job, *, replayed: bool, after_ms: int = RETRY_AFTER_MS) -> Response:
    where = _address(job)
    message = (
        f"The job {job.id} goes on, and its images will be at {where}; OpenAI's SDKs ask again by themselves, and wait for the same job"
    )
    response = told(Fault(status=504, code="job_still_running", message=message, retryable=True))
    response.headers.update({"x-should-retry": "true", "retry-after-ms": str(after_ms), "Location": where})
    return _headed(response, job, replayed=replayed)


def _running(job: Job, *, replayed: bool = False) -> Response:
    """Answer 202, which no SDK of OpenAI's understands: only who has asked for it gets it."""
    response = jsonify(JobAnswer.of(job))
    response.status_code = 202
    response.headers.update({"Location": _address(job), "Retry-After": "2"})
    return _headed(response, job, replayed=replayed)


def _headed(response: Response, job: Job, *, replayed: bool) -> Response:
    response.headers.update({"X-Job-Id": job.id, **replay_headers(replayed=replayed)})
    return response


def _address(job: Job) -> str:
    return f"/v1/images/generations/{job.id}"


def _models() -> dict[str, dict[str, Any]]:
    registry, rules = services().registry, services().openai_rules
    specs = {spec.name: spec for spec in registry}
    for name in rules.alias_names:
        if spec := registry.get(rules.model_of(name, edit=False) or ""):
            specs.setdefault(name, spec)
    return {name: schemas.model_entry(name, spec) for name, spec in specs.items()}
