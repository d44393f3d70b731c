"""A job as a row of an export."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from app.api.schemas.history import ExportFormat
from app.api.views import failure_view, job_view, processing_ms
from app.clients.storage import Storage
from app.domain.clock import rfc3339
from app.domain.job import Job
from app.domain.job_filter import JOB_TYPE, prompt_of
from app.domain.pricing import usd

COLUMNS = (
    "jobId", "userId", "type", "operation", "model", "status", "prompt", "images", "cost", "estimatedCost", "errorCode", "errorMessage",
    "projectId", "batchId", "metadata", "createdAt", "updatedAt", "completedAt", "processingTimeMs",
)  # fmt: skip


def job_rows(jobs: Iterable[Job], storage: Storage, kind: ExportFormat) -> Iterator[dict[str, Any]]:
    """Yield jobs as `GET /api/jobs` shows them; for a table flat, pictures as their number: links to them may expire."""
    return (_flat(job) if kind is ExportFormat.CSV else job_view(job, storage) for job in jobs)


def _flat(job: Job) -> dict[str, Any]:
    failure = failure_view(job) or {}
    return {
        "jobId": job.id,
        "userId": job.user_id,
        "type": JOB_TYPE,
        "operation": job.operation.value,
        "model": job.model,
        "status": job.status.value,
        "prompt": prompt_of(job),
        "images": len(job.images),
        "cost": usd(job.charged_micros),
        "estimatedCost": usd(job.quote.micros),
        "errorCode": failure.get("code"),
        "errorMessage": failure.get("message"),
        "projectId": job.project_id,
        "batchId": job.batch_id,
        "metadata": json.dumps(job.metadata, ensure_ascii=False) if job.metadata else None,
        "createdAt": rfc3339(job.created_at),
        "updatedAt": rfc3339(job.updated_at),
        "completedAt": rfc3339(job.completed_at) if job.completed_at else None,
        "processingTimeMs": processing_ms(job),
    }
