"""How a job that has ended looks in fal's shapes: its output or its failure, with links to the pictures in the operator's storage. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from app.domain.fal_request import Failure, FalRequest
from app.domain.job import DEADLINE_CODE, Job, JobStatus, StoredImage
from app.domain.said_output import SaidOutput, said_of

FLAGS = "has_nsfw_concepts"
#: What a job from before outputs were kept says.
NOTHING_SAID = SaidOutput("images", [], {})
CANCELLED = "Request was cancelled by the client"
#: Statuses after which fal's clients would ask again.
RETRIED = frozenset({408, 409, 429})
UrlOf = Callable[[str], str]


class Ended(Protocol):
    @property
    def status(self) -> JobStatus: ...
    @property
    def failure(self) -> Failure | None: ...
    @property
    def message(self) -> str: ...


def output_of(job: Job, url_of: UrlOf) -> dict[str, Any]:
    """Return one output for all requests of a job: pictures and their flags together, of everything else the first that says it."""
    pictures: list[Any] = []
    fields: dict[str, Any] = {}
    place = "images"
    for request in job.requests:
        said, stored = said_of(request.output) if request.output else NOTHING_SAID, _stored(job, request)
        place = said.place if len(job.requests) == 1 else place
        pictures += [_picture(image, url_of(image.key), said.entries[n] if n < len(said.entries) else {}) for n, image in stored.items()]
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


def _picture(image: StoredImage, url: str, entry: Mapping[str, Any] | None) -> Any:
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


def failed_answer(job: Job) -> tuple[int, str, Any]:
    """Return status, error type and detail of a job that brought no picture: fal's own status and words, where fal has said them."""
    error_type, words = failure_of(job)
    details = (job.failure.details if job.failure else None) or {}
    status = 499 if job.status is JobStatus.CANCELED else details.get("falStatus", 504 if error_type == DEADLINE_CODE else 500)
    status = status if 400 <= status < 600 and status not in RETRIED else 500
    return status, error_type, details.get("problems") or words


def failure_of(job: Ended) -> tuple[str, str]:
    """Return the type and the words of a job's failure, as fal would say them."""
    if job.status is JobStatus.CANCELED:
        return "client_cancelled", CANCELLED
    if job.failure is None:
        return "internal_error", job.message
    return (job.failure.details or {}).get("falErrorType") or job.failure.code, job.failure.message.removeprefix("fal.ai: ")
