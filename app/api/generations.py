"""The web app's API: text to image, image reference, what became of them, and the prompt templates they may name."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import IO, Any

import marshmallow as ma
from flask import request

from app.api.http import examples, paging, services
from app.api.http.access import needs_user, open_to_all
from app.api.http.answers import envelope_of, enveloped
from app.api.http.auth import signed_in
from app.api.http.bodies import UnsupportedMediaType, json_body, parse_json, uploaded_file
from app.api.http.hooks import hook_of
from app.api.http.limits import submits
from app.api.http.ordering import IDEMPOTENCY_KEY, count_accept, order_key_of, replay_headers
from app.api.http.requests import ApiBlueprint, refusal_of, refuse_repeated
from app.api.schemas import generations as schemas
from app.domain.api_key import Scope
from app.domain.errors import FieldError, InvalidRequest
from app.domain.job import JobStatus
from app.domain.job_filter import JobFilter
from app.services.events.announcements import COMPLETED, FAILED, PROGRESS
from app.services.orders.references import bytes_of
from app.services.orders.submit import Accepted
from app.services.orders.web_generation import ReferenceRequest, TextRequest

blueprint = ApiBlueprint("generations", __name__, url_prefix="/api/generate", description="Generations of signed-in users")
templates = ApiBlueprint("templates", __name__, url_prefix="/api/prompt-templates", description="Prompt templates")

NO_REFERENCE = "Either upload an image file or provide referenceImageId"
TWO_REFERENCES = "Provide either an image file or referenceImageId, not both"
#: What is told, and its headers.
Answered = tuple[dict[str, Any], dict[str, str]]
OPEN, DONE = (JobStatus.PENDING, JobStatus.PROCESSING), (JobStatus.COMPLETED,)
LOST = (JobStatus.FAILED, JobStatus.CANCELED)


@blueprint.post("/text-to-image")
@needs_user(Scope.GENERATE)
@submits
@blueprint.doc(parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(schemas.TextToImageBody, examples=examples.TEXT_TO_IMAGE)
@blueprint.response(202, envelope_of(schemas.QueuedAnswer))
@blueprint.errors(400, 401, 402)
def text_to_image(body: dict[str, Any]) -> Answered:
    """Generate from words: 100 tokens an image, held now and charged for what is delivered."""
    user = signed_in()
    key = order_key_of(body)
    hook = hook_of(body)
    body["project_id"] = _text(body["project_id"])
    accepted = services().web_generation.text_to_image(user.id, TextRequest(**body, key=key, hook=hook))
    count_accept(accepted)
    return _queued(accepted, "Text to image generation queued successfully")


@blueprint.post("/image-reference")
@needs_user(Scope.GENERATE)
@submits
@blueprint.doc(parameters=[IDEMPOTENCY_KEY], requestBody={"required": True, "content": schemas.image_reference_content()})
@blueprint.response(202, envelope_of(schemas.QueuedAnswer))
@blueprint.errors(400, 401, 402, 500, 413)
def image_reference() -> Answered:
    """Generate after a reference image: 150 tokens an image.

    Send the picture itself as `image`, in multipart a file and in JSON a data URI, or name an earlier upload or generated image by
    `referenceImageId`.
    """
    user = signed_in()
    wanted = _reference_request()
    accepted = services().web_generation.image_reference(user.id, wanted)
    count_accept(accepted)
    return _queued(accepted, "Image reference generation queued successfully", {"uploadedNewImage": wanted.image is not None})


@blueprint.get("/queue/<generation_id>")
@needs_user(Scope.READ)
@blueprint.response(200, envelope_of(schemas.GenerationAnswer))
@blueprint.errors(401, 404)
def show_generation(generation_id: str) -> dict[str, Any]:
    """Show how far one of your generations is, with its images once they are there."""
    return enveloped("OK", services().job_actions.job(generation_id, user_id=signed_in().id))


@blueprint.get("/my-generations")
@needs_user(Scope.READ)
@blueprint.arguments(schemas.GenerationsQuery, location="query")
@blueprint.response(200, envelope_of(schemas.GenerationsAnswer))
@blueprint.errors(401)
def my_generations(query: dict[str, Any]) -> Answered:
    """List your generations of every kind, newest first: those on their way, the finished ones and, on request, the failed."""
    limit, statuses = query["limit"], OPEN + DONE + (LOST if query["include_failed"] else ())
    wanted = JobFilter(user_id=signed_in().id, statuses=statuses)
    found = services().history.older(wanted, before_id=paging.id_of(query["cursor"]), limit=limit + 1)
    page, cursor = paging.page_of(found, limit)
    data: dict[str, Any] = {
        "queue": [job for job in page if job.status in OPEN],
        "completed": [job for job in page if job.status in DONE],
        "results": page,
        "cursor": cursor,
    }
    if query["include_failed"]:
        data["failed"] = [job for job in page if job.status in LOST]
    return enveloped("OK", data), paging.links(cursor)


@templates.get("")
@open_to_all
@templates.response(200, envelope_of(schemas.TemplatesAnswer))
def list_templates() -> dict[str, Any]:
    """List the prompt templates that `promptTemplateId` of text-to-image may name."""
    return enveloped("OK", {"templates": services().templates.templates})


def _queued(accepted: Accepted, message: str, also: Mapping[str, Any] = {}) -> Answered:
    job, metadata = accepted.job, schemas.GenerationMetadata.of(accepted.job)
    kept = {name: value for name, value in metadata.items() if name not in ("numberOfImages", "referenceImageId")}
    data = {
        "job_id": job.id,
        "generation_id": job.id,
        "reference_image_id": metadata.get("referenceImageId", ma.missing),
        "status": JobStatus.PENDING,  # As first answered; a repeated order is answered the same.
        "message": accepted.message(message),
        "num_images": job.num_images,
        "metadata": {**kept, **also},
        "events": {"progress": PROGRESS, "completed": COMPLETED, "failed": FAILED},
        "status_endpoint": f"/api/generate/queue/{job.id}",
    }
    return enveloped(accepted.message("Job queued successfully"), data), replay_headers(replayed=accepted.replayed)


def _reference_request() -> ReferenceRequest:
    """Read either form of the request. Raises InvalidRequest with the contract's literal messages."""
    if request.mimetype == "multipart/form-data":
        image = uploaded_file(request, "image")
        refuse_repeated(request.form, schemas.ImageReferenceBody())
        fields: dict[str, Any] = {name: value for name, value in request.form.items() if value != "" or name == "prompt"}
        if events := list(filter(None, request.form.getlist("webhookEvents"))):
            fields["webhookEvents"] = events
    elif request.mimetype == "application/json":
        image, fields = None, json_body(request, parse_json)
    else:
        raise UnsupportedMediaType("Send multipart/form-data (with an image file) or application/json (with referenceImageId)")
    body = _checked_fields(fields)
    data_uri = body.pop("image")
    stream = image.stream if image else io.BytesIO(bytes_of(data_uri)) if data_uri is not None else None
    if stream is None and body["reference_image_id"] is None:
        raise InvalidRequest(NO_REFERENCE, [FieldError("/image", NO_REFERENCE), FieldError("/referenceImageId", NO_REFERENCE)])
    if stream is not None and body["reference_image_id"] is not None:
        raise InvalidRequest(TWO_REFERENCES, [FieldError("/image", TWO_REFERENCES), FieldError("/referenceImageId", TWO_REFERENCES)])
    key = order_key_of({**body, "image": _digest(stream) if stream else None})
    hook = hook_of(body)
    for name in ("project_id", "reference_image_id"):
        body[name] = _text(body[name])
    return ReferenceRequest(**body, key=key, hook=hook, image=stream, file_name=image.filename if image else None)


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
