"""Domain objects as the JSON that clients see. Links are made here, when something is read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.clients.storage import Storage
from app.domain.clock import rfc3339
from app.domain.job import Job, StoredImage
from app.domain.job_filter import JOB_TYPE
from app.domain.pricing import list_price, usd
from registry.geometry import takes_size
from registry.loader import Registry
from registry.schema import json_schema
from registry.spec import MAX_IMAGES, Extra, ModelSpec, Price, Tier


def image_view(image: StoredImage, storage: Storage) -> dict[str, Any]:
    view: dict[str, Any] = {
        "url": storage.url(image.key),
        "width": image.width,
        "height": image.height,
        "contentType": image.content_type,
        "sizeBytes": image.size_bytes,
        "sha256": image.sha256,
        "imageId": image.upload_id,
    }
    if image.flagged:
        view["flagged"] = True
    return view


def job_view(job: Job, storage: Storage) -> dict[str, Any]:
    return {
        "jobId": job.id,
        "userId": job.user_id,
        "type": JOB_TYPE,
        "operation": job.operation.value,
        "model": job.model,
        "status": job.status.value,
        "progress": job.progress,
        "message": job.message,
        "cancelRequested": job.cancel_requested_at is not None,
        "config": {
            "model": job.model,
            "inputs": job.inputs,
            "options": job.options,
            "estimatedCost": usd(job.quote.micros),
        },
        "images": [image_view(image, storage) for image in job.images],
        "cost": usd(job.charged_micros),
        "costDetail": cost_view(job),
        "error": failure_view(job),
        "projectId": job.project_id,
        "metadata": job.metadata,
        "batchId": job.batch_id,
        "createdAt": rfc3339(job.created_at),
        "updatedAt": rfc3339(job.updated_at),
        "completedAt": rfc3339(job.completed_at) if job.completed_at else None,
        "processingTimeMs": processing_ms(job),
    }


def cost_view(job: Job) -> dict[str, Any]:
    """Show what the job costs the operator; what its user is charged is `cost`."""
    return {
        "estimated": usd(job.quote.cost_micros),
        "actual": usd(job.actual.micros) if job.actual else None,
        "source": job.cost_source.value,
    }


def failure_view(job: Job) -> dict[str, Any] | None:
    if job.failure is None:
        return None
    return {"code": job.failure.code, "message": job.failure.message, "details": job.failure.details}


def processing_ms(job: Job) -> int | None:
    if job.completed_at is None:
        return None
    return int((job.completed_at - job.created_at).total_seconds() * 1000)


def model_view(spec: ModelSpec, at: datetime) -> dict[str, Any]:
    return {
        "name": spec.name,
        "category": spec.category,
        "description": spec.description,
        "falEndpoint": spec.fal_endpoint,
        "requiredInputs": list(spec.required_inputs),
        "optionalInputs": list(spec.optional_inputs),
        "defaultOptions": dict(spec.default_options),
        "costPerImage": usd(list_price(spec, at)),
    }


def model_detail_view(registry: Registry, spec: ModelSpec, at: datetime) -> dict[str, Any]:
    return {
        **model_view(spec, at),
        "inputSchema": json_schema(registry, spec),
        "pricing": [price_view(price) for price in spec.prices],
        "limits": {"maxImagesPerCall": spec.max_images_per_call, "maxImages": MAX_IMAGES, "maxMegapixels": _max_megapixels(spec)},
    }


def _max_megapixels(spec: ModelSpec) -> float | None:
    """Return the largest image in millions of pixels; None where a request does not say how large it is."""
    return spec.max_megapixels if takes_size(spec) or {"width", "height"} <= spec.params.keys() else None


def price_view(price: Price) -> dict[str, Any]:
    """Show a price with what changes it. The amounts are exact decimals in the registry; JSON numbers here."""

    def conditions(entries: Sequence[Tier | Extra]) -> list[dict[str, Any]]:
        return [{"option": e.option, "equals": e.equals, "amount": float(e.amount)} for e in entries]

    return {
        "id": price.id,
        "from": price.start.isoformat(),
        "unit": price.unit,
        "amount": float(price.amount),
        "currency": "USD",
        "tiers": conditions(price.tiers),
        "extras": conditions(price.extras),
        "source": price.source,
        "checked": price.checked.isoformat() if price.checked else None,
    }
