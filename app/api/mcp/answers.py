"""What the tools answer for programs: the fields of the script API that agents need, and how a job becomes a result."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import marshmallow as ma

from app.api.http import services
from app.api.http.answers import Answer, Usd, shows
from app.api.http.errors import job_fault
from app.api.http.paging import TwoWayCursorAnswer
from app.api.mcp.faults import told
from app.api.mcp.tool import Result
from app.api.schemas.images import EstimateAnswer, ImageAnswer, ModelAnswer
from app.api.schemas.jobs import FailureAnswer
from app.api.schemas.uploads import UploadAnswer
from app.domain.asset import REFERENCE_PREFIX
from app.domain.job import Job, JobStatus, StoredImage
from app.domain.job_filter import prompt_of
from app.domain.pricing import usd_text

#: 60,000 characters of base64: what an answer may spend on a look at the picture.
PREVIEW_BYTES = 45_000


class AgentImage(ImageAnswer):
    reference = shows(
        ma.fields.String(metadata={"description": "Give this in `images` to work on from this picture."}),
        lambda image: f"{REFERENCE_PREFIX}{image.upload_id}",
    )


class AgentJob(Answer):
    """A job without what its caller knows already."""

    id = ma.fields.UUID(data_key="jobId")
    status = ma.fields.Enum(JobStatus, by_value=True)
    progress = ma.fields.Integer(metadata={"description": "Percent."})
    message = ma.fields.String()
    model = ma.fields.String()
    prompt = shows(ma.fields.String(), prompt_of)
    images = ma.fields.List(ma.fields.Nested(AgentImage))
    charged_micros = Usd(data_key="cost", metadata={"description": "USD charged; 0 until it is completed, and for failures."})
    quoted_micros = Usd(data_key="estimatedCost", attribute="quote.micros", metadata={"description": "USD it will cost at most."})
    cancel_requested = shows(ma.fields.Boolean(data_key="cancelRequested"), lambda job: job.cancel_requested_at is not None)
    failure = ma.fields.Nested(FailureAnswer, data_key="error", allow_none=True)
    created_at = ma.fields.AwareDateTime(data_key="createdAt")
    completed_at = ma.fields.AwareDateTime(data_key="completedAt", allow_none=True)


class AgentJobs(Answer):
    jobs = ma.fields.List(ma.fields.Nested(AgentJob))
    cursor = ma.fields.Nested(TwoWayCursorAnswer)


class AgentModel(ModelAnswer):
    takes_images = ma.fields.Boolean(data_key="takesImages")


class AgentModels(Answer):
    models = ma.fields.List(ma.fields.Nested(AgentModel))


class AgentEstimate(EstimateAnswer):
    model = ma.fields.String(metadata={"description": "The model that would be used."})


class AgentUpload(UploadAnswer):
    reference = shows(ma.fields.String(metadata={"description": "Give this in `images`."}), lambda upload: f"{REFERENCE_PREFIX}{upload.id}")


def job_result(job: Job, *, was_ordered: bool = False) -> Result:
    """Return what a job has come to: its pictures as links with a preview of the first, or how far it is and what to do meanwhile.

    An order that has failed is an error; that a job has failed is a fact about it.
    """
    shown = AgentJob.of(job)
    if job.status is JobStatus.COMPLETED:
        return Result(text=_delivered(job, shown), shown=shown, beside=[*_links(shown), *_preview(job)])
    if not job.is_terminal:
        asked = "fal has been asked to stop it. " if job.cancel_requested_at else ""
        text = f"Job {job.id} is {job.status} ({job.progress} %: {job.message}). {asked}Call get_job with this job_id for its pictures."
        return Result(text=text, shown=shown)
    text = f"Job {job.id} is {job.status}, nothing was charged."
    if job.failure:
        text = f"{text} {told(job_fault(job))}"
    return Result(text=text, shown=shown, is_error=was_ordered)


def _delivered(job: Job, shown: dict[str, Any]) -> str:
    count = len(job.images)
    lines = [f"{count} picture{'s' if count != 1 else ''} by {job.model}, {usd_text(job.charged_micros)} USD, job {job.id}."]
    lines += [f"{image['width']}x{image['height']}: {image['url']}" for image in shown["images"]]
    return "\n".join(lines if count == job.num_images else [*lines, job.message])


def _links(shown: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for number, image in enumerate(shown["images"], 1):
        title = f"Picture {number}, {image['width']} x {image['height']} pixels"
        yield {
            "type": "resource_link",
            "uri": image["url"],
            "name": image["imageId"],
            "title": title,
            "mimeType": image["contentType"],
            "size": image["sizeBytes"],
        }


def _preview(job: Job) -> Iterator[dict[str, Any]]:
    """Yield a look at the first picture that the model has not marked as unsafe."""
    image: StoredImage | None = next((image for image in job.images if not image.flagged), None)
    content = services().previews.of(image, max_bytes=PREVIEW_BYTES) if image else None
    if content:
        yield {"type": "image", "data": base64.b64encode(content).decode(), "mimeType": "image/jpeg"}
