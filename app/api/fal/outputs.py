"""A finished job as its model's own output: fal's shape, with links to the pictures in the operator's storage."""

from __future__ import annotations

from typing import Any

from flask import Response, g, jsonify

from app.api.fal.errors import StillInProgress, failed
from app.api.http import services
from app.domain.job import Job, JobStatus, StoredImage


def answer(job: Job) -> Response:
    """Return the output of a job that has ended. Raises StillInProgress."""
    g.fal_request_id = job.id
    if not job.is_terminal:
        raise StillInProgress
    if job.status is not JobStatus.COMPLETED:
        return failed(job)
    return jsonify(output_of(job))


def output_of(job: Job) -> dict[str, Any]:
    pictures = [_picture(image) for image in job.images]
    spec = services().registry.get(job.model)
    if spec is not None and spec.output == "image":
        return {"image": pictures[0]}
    return {"images": pictures}


def _picture(image: StoredImage) -> dict[str, Any]:
    return {
        "url": services().storage.url(image.key),
        "content_type": image.content_type,
        "file_name": image.key.rpartition("/")[2],
        "file_size": image.size_bytes,
        "width": image.width,
        "height": image.height,
    }
