"""The web app's API: text to image, image reference, what became of them, and the prompt templates they may name."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import IO, Any

import marshmallow as ma
from flask import Response, request

from app.api.generation_views import item_view, queued_view
from app.api.http import examples, paging, services
from app.api.http.access import needs_user, open_to_all
from app.api.http.auth import signed_in
from app.api.http.bodies import UnsupportedMediaType, json_body, parse_json, uploaded_file
from app.api.http.envelope import envelope_of, enveloped
from app.api.http.limits import submits
from app.api.http.ordering import count_accept, marked, order_key_of
from app.api.http.requests import ApiBlueprint, refusal_of, refuse_repeated
from app.api.schemas import generations as schemas
from app.api.schemas.images import ErrorAnswer
from app.domain.api_key import Scope
from app.domain.errors import FieldError, InvalidRequest
from app.domain.job import JobStatus
from app.domain.job_filter import JobFilter
from app.services.orders.web_generation import ReferenceRequest, TextRequest

blueprint = ApiBlueprint("generations", __name__, url_prefix="/api/generate", description="Generations of signed-in users")
templates = ApiBlueprint("templates", __name__, url_prefix="/api/prompt-templates", description="Prompt templates")

NO_REFERENCE = "Either upload an image file or provide referenceImageId"
TWO_REFERENCES = "Provide either an image file or referenceImageId, not both"
OPEN, DONE = (JobStatus.PENDING, JobStatus.PROCESSING), (JobStatus.COMPLETED,)
LOST = (JobStatus.FAILED, JobStatus.CANCELED)


@blueprint.post("/text-to-image")
@needs_user(Scope.GENERATE)
@submits
@blueprint.arguments(schemas.TextToImageBody, examples=examples.TEXT_TO_IMAGE)
@blueprint.response(202, envelope_of(schemas.QueuedAnswer))
@blueprint.alt_response(400, schema=ErrorAnswer)
@blueprint.alt_response(401, schema=ErrorAnswer)
@blueprint.alt_response(402, schema=ErrorAnswer)
def text_to_image(body: dict[str, Any]) -> Response:
    """Generate from words: 100 tokens an image, held now and charged for what is delivered."""
    user = signed_in()
    key = order_key_of(body)
    body["project_id"] = _text(body["project_id"])
    accepted = services().web_generation.text_to_image(user.id, TextRequest(**body, key=key))
    count_accept(accepted)
    view = queued_view(accepted.job, accepted.message("Text to image generation queued successfully"))
    return marked(enveloped(accepted.message("Job queued successfully"), view, 202), replayed=accepted.replayed)


@blueprint.post("/image-reference")
@needs_user(Scope.GENERATE)
@submits
@blueprint.doc(requestBody={"required": True, "content": schemas.image_reference_content()})
@blueprint.response(202, envelope_of(schemas.QueuedAnswer))
@blueprint.alt_response(400, schema=ErrorAnswer)
@blueprint.alt_response(401, schema=ErrorAnswer)
@blueprint.alt_response(402, schema=ErrorAnswer)
@blueprint.alt_response(500, schema=ErrorAnswer)
@blueprint.alt_response(413, schema=ErrorAnswer)
def image_reference() -> Response:
    """Generate after a reference image: 150 tokens an image.

    Send the picture itself as the multipart part `image`, or name an earlier upload or generated image by `referenceImageId`.
    """
    user = signed_in()
    wanted = _reference_request()
    accepted = services().web_generation.image_reference(user.id, wanted)
    count_accept(accepted)
    uploaded_new = wanted.image is not None
    view = queued_view(accepted.job, accepted.message("Image reference generation queued successfully"), uploaded_new=uploaded_new)
    return marked(enveloped(accepted.message("Job queued successfully"), view, 202), replayed=accepted.replayed)


@blueprint.get("/queue/<generation_id>")
@needs_user(Scope.READ)
@blueprint.response(200, envelope_of(schemas.GenerationAnswer))
@blueprint.alt_response(401, schema=ErrorAnswer)
@blueprint.alt_response(404, schema=ErrorAnswer)
def show_generation(generation_id: str) -> Response:
    """Show how far one of your generations is, with its images once they are there."""
    job = services().job_actions.job(generation_id, user_id=signed_in().id)
    return enveloped("OK", item_view(job, services().storage))


@blueprint.get("/my-generations")
@needs_user(Scope.READ)
@blueprint.arguments(schemas.GenerationsQuery, location="query")
@blueprint.response(200, envelope_of(schemas.GenerationsAnswer))
@blueprint.alt_response(401, schema=ErrorAnswer)
def my_generations(query: dict[str, Any]) -> Response:
    """List your generations of every kind, newest first: those on their way, the finished ones and, on request, the failed."""
    limit, statuses = query["limit"], OPEN + DONE + (LOST if query["include_failed"] else ())
    wanted = JobFilter(user_id=signed_in().id, statuses=statuses)
    found = services().history.older(wanted, before_id=paging.id_of(query["cursor"]), limit=limit + 1)
    page, cursor = paging.page_of(found, limit)
    items = [(job.status, item_view(job, services().storage)) for job in page]
    data: dict[str, Any] = {
        "queue": [item for status, item in items if status in OPEN],
        "completed": [item for status, item in items if status in DONE],
        "results": [item for _, item in items],
        "cursor": cursor,
    }
    if query["include_failed"]:
        data["failed"] = [item for status, item in items if status in LOST]
    return paging.with_links(enveloped("OK", data), cursor)


@templates.get("")
@open_to_all
@templates.response(200, envelope_of(schemas.TemplatesAnswer))
def list_templates() -> Response:
    """List the prompt templates that `promptTemplateId` of text-to-image may name."""
    found = [{"id": t.id, "name": t.name, "description": t.description, "preview": t.preview} for t in services().templates.templates]
    return enveloped("OK", {"templates": found})


def _reference_request() -> ReferenceRequest:
    """Read either form of the request. Raises InvalidRequest with the contract's literal messages."""
    if request.mimetype == "multipart/form-data":
        image = uploaded_file(request, "image")
        refuse_repeated(request.form, schemas.ImageReferenceBody())
        fields = {name: value for name, value in request.form.items() if value != "" or name == "prompt"}
    elif request.mimetype == "application/json":
        image, fields = None, json_body(request, parse_json)
    else:
        raise UnsupportedMediaType("Send multipart/form-data (with an image file) or application/json (with referenceImageId)")
    body = _checked_fields(fields)
    if image is None and body["reference_image_id"] is None:
        raise InvalidRequest(NO_REFERENCE, [FieldError("/image", NO_REFERENCE), FieldError("/referenceImageId", NO_REFERENCE)])
    if image is not None and body["reference_image_id"] is not None:
        raise InvalidRequest(TWO_REFERENCES, [FieldError("/image", TWO_REFERENCES), FieldError("/referenceImageId", TWO_REFERENCES)])
    key = order_key_of({**body, "image": _digest(image.stream) if image else None})
    for name in ("project_id", "reference_image_id"):
        body[name] = _text(body[name])
    wanted = ReferenceRequest(**body, key=key)
    return replace(wanted, image=image.stream, file_name=image.filename) if image else wanted


def _digest(stream: IO[bytes]) -> str:
    """Return what tells whether two requests bring the same picture; the stream is left at its start."""
    digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    stream.seek(0)
    return digest


def _checked_fields(fields: Any) -> dict[str, Any]:
    try:
        return schemas.ImageReferenceBody().load(fields)  # type: ignore[no-any-return]
    except ma.ValidationError as exc:
        refusal = refusal_of(ma.ValidationError({"json": exc.messages}))
        if isinstance(exc.messages, dict) and "referenceType" in exc.messages:
            raise InvalidRequest(schemas.BAD_REFERENCE_TYPE, refusal.errors) from exc
        raise refusal from exc


def _text(value: object) -> str | None:
    return str(value) if value is not None else None
