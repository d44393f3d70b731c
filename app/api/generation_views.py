"""Generations as the web app's clients see them."""

from __future__ import annotations

from typing import Any

from app.api.views import processing_ms
from app.clients.storage import Storage
from app.domain.clock import rfc3339
from app.domain.job import Job, JobStatus
from app.services.events.announcements import COMPLETED, FAILED, PROGRESS, event_image


def queued_view(job: Job, message: str, *, uploaded_new: bool | None = None) -> dict[str, Any]:
    """Return the `data` of the 202, field by field as the contract shows it."""
    metadata = _metadata(job)
    metadata.pop("numberOfImages")
    metadata.pop("referenceImageId", None)
    view: dict[str, Any] = {"jobId": job.id, "generationId": job.id}
    if job.web and job.web.reference_image_id:
        view["referenceImageId"] = job.web.reference_image_id
    if uploaded_new is not None:
        metadata["uploadedNewImage"] = uploaded_new
    return view | {
        "status": JobStatus.PENDING.value,  # As first answered; a repeated order is answered the same.
        "message": message,
        "numberOfImages": job.num_images,
        "metadata": metadata,
        "websocketEvents": {"progress": PROGRESS, "completed": COMPLETED, "failed": FAILED},
        "statusEndpoint": f"/api/generate/queue/{job.id}",
    }


def item_view(job: Job, storage: Storage) -> dict[str, Any]:
    view: dict[str, Any] = {
        "generationId": job.id,
        "status": job.status.value,
        "progress": job.progress,
        "message": job.message,
        "createdAt": rfc3339(job.created_at),
        "completedAt": rfc3339(job.completed_at) if job.completed_at else None,
        "metadata": _metadata(job),
        "images": [event_image(image, storage) for image in job.images],
        "tokensUsed": job.tokens_used,
        "processingTimeMs": processing_ms(job),
    }
    if job.cancel_requested_at is not None:
        view["cancelRequested"] = True
    if job.failure:
        view["error"] = {"code": job.failure.code, "message": job.failure.message}
    return view


def _metadata(job: Job) -> dict[str, Any]:
    web = job.web
    prompt = web.prompt if web else job.inputs.get("prompt")
    metadata: dict[str, Any] = {"prompt": prompt}
    if web and web.reference_type:
        metadata["referenceType"] = web.reference_type
    metadata["numberOfImages"] = job.num_images
    metadata["aspectRatio"] = web.aspect_ratio if web else job.options.get("aspect_ratio")
    metadata["projectId"] = job.project_id
    if web and web.reference_image_id:
        metadata["referenceImageId"] = web.reference_image_id
    if web and web.template_id:
        metadata["promptTemplateId"] = web.template_id
    return metadata
