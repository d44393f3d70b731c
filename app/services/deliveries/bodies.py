"""What is told of a job: the body of `GET /api/jobs/{jobId}` with `seq` and `jobUrl`, cut to what receivers take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.domain.clock import rfc3339
from app.domain.job import Job, StoredImage
from app.domain.job_filter import JOB_TYPE
from app.domain.pricing import usd
from app.services.pictures.links import PictureLinks

MAX_BYTES = 19_000
MAX_TEXT_CHARS = 2_000


def job_body(job: Job, links: PictureLinks, *, own_url: str) -> dict[str, Any]:
    """Return what `GET /api/jobs/{jobId}` answers, with `seq` and `jobUrl`: links to pictures may end, the job's own does not."""
    ended = job.completed_at
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
        "config": {"model": job.model, "inputs": job.inputs, "options": job.options, "estimatedCost": usd(job.quote.micros)},
        "images": [_image(image, links) for image in job.images],
        "cost": usd(job.charged_micros),
        "tokensUsed": job.tokens_used,
        "costDetail": {
            "estimated": usd(job.quote.cost_micros),
            "actual": usd(job.actual.micros) if job.actual else None,
            "source": job.cost_source.value,
        },
        "error": {"code": job.failure.code, "message": job.failure.message, "details": job.failure.details} if job.failure else None,
        "projectId": job.project_id,
        "metadata": job.metadata,
        "batchId": job.batch_id,
        "favorite": job.favorite,
        "tags": list(job.tags),
        "retainDays": job.retain_days,
        "createdAt": rfc3339(job.created_at),
        "updatedAt": rfc3339(job.updated_at),
        "completedAt": rfc3339(ended) if ended else None,
        "processingTimeMs": int((ended - job.created_at).total_seconds() * 1000) if ended else None,
        "seq": job.seq,
        "jobUrl": f"{own_url}/api/jobs/{job.id}",
    }


def _image(image: StoredImage, links: PictureLinks) -> dict[str, Any]:
    return {
        "url": links.url(image.key),
        "thumbnailUrl": links.thumbnail_url(image.key),
        "downloadUrl": links.download_url(image.key),
        "width": image.width,
        "height": image.height,
        "contentType": image.content_type,
        "sizeBytes": image.size_bytes,
        "sha256": image.sha256,
        "imageId": image.upload_id,
        "provenance": {"c2pa": image.c2pa, "digitalSourceType": image.digital_source_type, "synthetic": True},
        **({"flagged": True} if image.flagged else {}),
    }


def fitting(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return data small enough to be sent: long texts are cut, then what the job's own page shows is left out; `truncated` says so."""
    found = _shortened(data)
    is_whole = found == data
    for parts in (("config", "inputs"), ("config", "options"), ("metadata",), ("images",)):
        if _size(found) <= MAX_BYTES:
            break
        found, is_whole = _without(found, parts), False
    return found if is_whole else {**found, "truncated": True}


def _size(data: Mapping[str, Any]) -> int:
    return len(json.dumps(data, separators=(",", ":")))


def _shortened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(item) for item in value]
    return value[:MAX_TEXT_CHARS] if isinstance(value, str) else value


def _without(data: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    first, *others = path
    if first not in data:
        return data
    empty: Any = [] if isinstance(data[first], list) else {}
    return {**data, first: _without(data[first], tuple(others)) if others else empty}
