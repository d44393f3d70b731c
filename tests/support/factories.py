"""Domain objects with defaults, so that a test shows only the values that matter to it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from PIL import Image

from app.domain import clock
from app.domain.asset import Purpose, Upload
from app.domain.fal_request import Failure, FalRequest, Receipt, ResultFacts
from app.domain.job import Job, Operation, StoredImage, SweepTimeouts, new_job
from app.domain.pricing import Quote

NOON = datetime(2026, 10, 1, 12, 0, tzinfo=UTC)
UNIT_MICROS = 25_000
STOPPED = Failure("client_cancelled", "fal.ai: Request was cancelled by the client")


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def make_quote(num_images: int, unit_micros: int = UNIT_MICROS) -> Quote:
    """Return a quote of so much for an image; the operator pays fal the same for each of its units."""
    return Quote(
        num_images=num_images,
        unit_micros=unit_micros,
        micros=unit_micros * num_images,
        price_id="flux-dev-2026-04",
        provider_micros=unit_micros * num_images,
        provider_amount=Decimal(unit_micros) / 1_000_000,
    )


def make_job(*, requests: Sequence[int] = (1,), now: datetime = NOON, timeouts: SweepTimeouts | None = None, **fields: Any) -> Job:
    """Return a fresh pending job with one request for each number of images."""
    defaults: dict[str, Any] = {
        "id": clock.new_id(),
        "user_id": "user-1",
        "operation": Operation.GENERATE,
        "model": "flux-dev",
        "endpoint": "fal-ai/flux/dev",
        "inputs": {"prompt": "a red bicycle"},
        "options": {"num_images": sum(requests)},
        "arguments": {"prompt": "a red bicycle"},
        "quote": make_quote(sum(requests)),
        "deadline_at": now + timedelta(seconds=900),
    }
    return new_job(requests=tuple(requests), now=now, timeouts=timeouts or SweepTimeouts(), **{**defaults, **fields})


def make_receipt(request_id: str = "req-1", host: str = "queue.fal.run") -> Receipt:
    base = f"https://{host}/fal-ai/flux/requests/{request_id}"
    return Receipt(request_id=request_id, status_url=f"{base}/status", response_url=base, cancel_url=f"{base}/cancel")


def make_facts(units: str | None = None, seed: str | None = None) -> ResultFacts:
    return ResultFacts(noticed_at=after(4), billable_units=units, seed=seed)


def make_image(number: int = 0, **fields: Any) -> StoredImage:
    defaults: dict[str, Any] = {
        "upload_id": clock.new_id(),
        "number": number,
        "key": f"generated-images/user-1/job/image_{number}.png",
        "content_type": "image/png",
        "width": 64,
        "height": 48,
        "size_bytes": 1234,
        "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
    }
    return StoredImage(**{**defaults, **fields})


def make_upload(**fields: Any) -> Upload:
    upload_id = clock.new_id()
    defaults: dict[str, Any] = {
        "id": upload_id,
        "user_id": "user-1",
        "purpose": Purpose.INPUT,
        "key": f"uploads/user-1/{upload_id}.png",
        "content_type": "image/png",
        "width": 64,
        "height": 48,
        "size_bytes": 1234,
        "sha256": "ab" * 32,
        "created_at": NOON,
    }
    return Upload(**{**defaults, **fields})


def submitted_job(*, requests: Sequence[int] = (1,), **fields: Any) -> Job:
    """Return a job all of whose requests fal has taken, one second after NOON."""
    job = make_job(requests=requests, **fields)
    for index in range(len(requests)):
        job = certain(job.submitting(index, now=after(1)))
        job = certain(job.submitted(index, make_receipt(f"req-{index}"), now=after(1)))
    return job


def canceled_job(*, requests: Sequence[int] = (1,), **fields: Any) -> Job:
    """Return a job whose user wished to cancel it while fal worked on it, and which fal has stopped."""
    job = certain(submitted_job(requests=requests, **fields).cancel_requested(now=after(2)))
    for index in range(len(requests)):
        job = certain(job.request_failed(index, STOPPED, now=after(3)))
    return job


def completed_job(**fields: Any) -> Job:
    job = submitted_job(**fields)
    for request in job.requests:
        first = job.first_image_number(request.index)
        images = [make_image(first + n) for n in range(request.num_images)]
        job = certain(job.collected(request.index, images, make_facts("1", "7"), now=after(5)))
    return job


def certain(job: Job | None) -> Job:
    """Return a change that the test takes for granted."""
    assert job is not None
    return job


def with_request(job: Job, index: int, **changes: Any) -> Job:
    """Return the job with one request's fields replaced, whatever the rules say."""
    request: FalRequest = dataclasses.replace(job.requests[index], **changes)
    return dataclasses.replace(job, requests=tuple(request if r.index == index else r for r in job.requests))


def picture(file_format: str = "PNG", size: tuple[int, int] = (64, 48), color: str = "red", **options: Any) -> bytes:
    """Return the bytes of a small picture."""
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, file_format, **options)
    return buffer.getvalue()
