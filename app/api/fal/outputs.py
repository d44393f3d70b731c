"""A finished job as its model's own output: fal's shape, with links to the pictures in the operator's storage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, g, jsonify

from app.api.fal.errors import StillInProgress, failed
from app.api.http import services
from app.domain.fal_request import FalRequest
from app.domain.job import Job, JobStatus, StoredImage
from app.domain.said_output import SaidOutput, said_of

FLAGS = "has_nsfw_concepts"
#: What a job from before outputs were kept says.
NOTHING_SAID = SaidOutput("images", [], {})


def answer(job: Job) -> Response:
    """Return the output of a job that has ended. Raises StillInProgress."""
    g.fal_request_id = job.id
    if not job.is_terminal:
        raise StillInProgress
    if job.status is not JobStatus.COMPLETED:
        return failed(job)
    response = jsonify(output_of(job))
    if units := [request.billable_units for request in job.requests if request.billable_units]:
        response.headers["X-Fal-Billable-Units"] = units[0] if len(units) == 1 else _sum(units)
    return response


def output_of(job: Job) -> dict[str, Any]:
    """Return one output for all requests of a job: pictures and their flags together, of everything else the first that says it."""
    pictures: list[Any] = []
    fields: dict[str, Any] = {}
    place = "images"
    for request in job.requests:
        said, stored = said_of(request.output) if request.output else NOTHING_SAID, _stored(job, request)
        place = said.place if len(job.requests) == 1 else place
        pictures += [_picture(image, said.entries[n] if n < len(said.entries) else {}) for n, image in stored.items()]
        for name, value in said.fields.items():
            if name == FLAGS and isinstance(value, list):
                fields.setdefault(name, []).extend(value[n] for n in stored if n < len(value))
            elif fields.get(name) in (None, "", [], {}):
                fields[name] = value
    return {place: pictures if place == "images" else pictures[0], **fields}


def _stored(job: Job, request: FalRequest) -> dict[int, StoredImage]:
    """Return a request's pictures by their number in its output; one that was unusable is missing."""
    first = job.first_image_number(request.index)
    return {image.number - first: image for image in job.images if first <= image.number < first + request.num_images}


def _picture(image: StoredImage, entry: Mapping[str, Any] | None) -> Any:
    url = services().storage.url(image.key)
    if entry is None:
        return url  # Some models answer with bare links.
    known = {
        "content_type": image.content_type,
        "file_name": image.key.rpartition("/")[2],
        "file_size": image.size_bytes,
        "width": image.width,
        "height": image.height,
    }
    return {"url": url, **entry, **known}


def _sum(units: list[str]) -> str:
    try:
        return f"{sum(float(text) for text in units):g}"
    except ValueError:
        return ", ".join(units)
