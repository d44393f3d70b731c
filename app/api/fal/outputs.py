"""A finished job as its model's own output: fal's shape, with links to the pictures in the operator's storage."""

from __future__ import annotations

from flask import Response, g, jsonify

from app.api.fal.errors import StillInProgress, failed
from app.api.http import services
from app.domain.fal_answer import output_of
from app.domain.job import Job, JobStatus


def answer(job: Job) -> Response:
    """Return the output of a job that has ended. Raises StillInProgress."""
    g.fal_request_id = job.id
    if not job.is_terminal:
        raise StillInProgress
    if job.status is not JobStatus.COMPLETED:
        return failed(job)
    response = jsonify(output_of(job, services().storage.url))
    if units := [request.billable_units for request in job.requests if request.billable_units]:
        response.headers["X-Fal-Billable-Units"] = units[0] if len(units) == 1 else _sum(units)
    return response


def _sum(units: list[str]) -> str:
    try:
        return f"{sum(float(text) for text in units):g}"
    except ValueError:
        return ", ".join(units)
