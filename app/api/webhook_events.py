"""What `/openapi.json` says of webhooks that are sent: an event each, with an example."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer
from app.api.schemas.batches import BatchAnswer
from app.api.schemas.jobs import JobAnswer
from app.domain import alert
from app.domain.alert import Alert
from app.domain.budget import Budget
from app.domain.clock import rfc3339
from app.domain.endpoint import Endpoint, EndpointStatus

Document = dict[str, Any]
NOW = datetime(2026, 11, 26, 10, 0, 7, 412000, UTC)
BEFORE = NOW - timedelta(days=4)
JOB_ID, BATCH_ID = "01a1fbb9-ae99-76ef-85b8-99f0e4849dc8", "01a1fbb9-ae98-7c22-9a3c-0b8d2f0c1e55"
HEADERS = {
    "webhook-id": ("The event's id at this receiver: the same however often it is sent.", "msg_4zq2xk7mfbt5n3wcyhd6ruev2a"),
    "webhook-timestamp": ("When this attempt was signed, in seconds.", str(int(NOW.timestamp()))),
    "webhook-signature": ("`v1,` and base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`; several while a secret is rotated.", "v1,K5oZ…"),
}


class JobEventAnswer(JobAnswer):
    """A job as a webhook tells of it."""

    seq = ma.fields.Integer(metadata={"description": "Of two events of one job the later has the larger one."})
    job_url = ma.fields.Url(data_key="jobUrl", metadata={"description": "Where the job is: links to pictures may end."})
    truncated = ma.fields.Boolean(metadata={"description": "It was too large: long texts are cut, or parts left out."})


class BatchEventAnswer(BatchAnswer):
    """A batch as a webhook tells of it."""

    batch_url = ma.fields.Url(data_key="batchUrl")


SCHEMAS = (JobEventAnswer, BatchEventAnswer)


def webhooks() -> Document:
    """Return the `webhooks` of OpenAPI 3.1, by event."""
    return {name: _described(name, summary, *_data_of(name)) for name, summary in SUMMARIES.items()}


def _described(name: str, summary: str, schema: Document, data: Mapping[str, Any]) -> Document:
    body = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"type": "string", "const": name},
            "timestamp": {"type": "string", "format": "date-time", "description": "When it happened."},
            "data": schema,
        },
    }
    example = {"summary": summary, "value": {"type": name, "timestamp": rfc3339(NOW), "data": data}}
    headers = [
        {"name": header, "in": "header", "required": True, "description": text, "schema": {"type": "string"}, "example": shown}
        for header, (text, shown) in HEADERS.items()
    ]
    post = {
        "summary": summary,
        "operationId": f"webhook_{name.replace('.', '_')}",
        "parameters": headers,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "examples": {"event": example}}}},
        "responses": {"2XX": {"description": "Taken. Anything else is sent again; 410 ends the endpoint."}},
    }
    return {"post": post}


def _data_of(name: str) -> tuple[Document, Mapping[str, Any]]:
    """Return the schema of an event's data, and an example of it."""
    if name.startswith("job."):
        return _named(JobEventAnswer), _job(name.removeprefix("job."))
    if name == "batch.completed":
        return _named(BatchEventAnswer), BATCH
    data = {**ALERTS[name].data, "message": ALERTS[name].text} if name in ALERTS else {"message": "It works."}
    return {"type": "object", "required": sorted(data), "properties": {key: {} for key in data}, "additionalProperties": True}, data


def _named(answer: type[Answer]) -> Document:
    return {"$ref": f"#/components/schemas/{answer.__name__}"}


SUMMARIES = {
    "job.started": "fal works on a job.",
    "job.completed": "A job's pictures are stored.",
    "job.failed": "A job failed; nothing is charged.",
    "job.canceled": "A job was canceled.",
    "batch.completed": "The last job of a batch has ended.",
    "tokens.low": "A user's tokens do not pay for five more orders like the last one; once a day.",
    "budget.threshold": "50, 80 or 100 % of a monthly budget are spent and held, or it refuses orders; once a month each.",
    "provider.locked": "fal refuses the account, its key, or one endpoint; once an hour.",
    "costs.drift": "fal's bill is more than a hundredth off what was quoted; once a day.",
    "webhook.disabled": "An endpoint was given up after days of failures.",
    "webhook.test": "A test that somebody has asked for.",
}
IMAGE = {
    "url": "https://assets.example.com/generated-images/user123/01a1fbb9/image_0.jpg",
    "width": 1024,
    "height": 768,
    "contentType": "image/jpeg",
    "sizeBytes": 184320,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "imageId": "01a1fbb9-c0de-7a11-8c5e-3f1d2b4a5c6d",
}
BATCH: Document = {
    "batchId": BATCH_ID,
    "userId": "user123",
    "status": "completed",
    "cancelRequested": False,
    "counts": {"pending": 0, "processing": 0, "completed": 2, "failed": 0, "canceled": 0},
    "cost": 0.08,
    "estimatedCost": 0.08,
    "progress": 100,
    "createdAt": rfc3339(BEFORE),
    "batchUrl": f"https://gateway.example.com/api/batches/{BATCH_ID}",
}


def _job(ending: str) -> Document:
    is_completed, has_ended = ending == "completed", ending != "started"
    messages = {"started": "fal is working on it", "completed": "Completed", "failed": "Failed", "canceled": "Canceled"}
    failure = {"code": "content_policy_violation", "message": "fal.ai: The prompt was refused", "details": {"falStatus": 422}}
    return {
        "jobId": JOB_ID,
        "userId": "user123",
        "type": "image_generation",
        "operation": "generate",
        "model": "flux-pro",
        "status": ending if has_ended else "processing",
        "progress": 100 if is_completed else 10,
        "message": messages[ending],
        "cancelRequested": ending == "canceled",
        "config": {"model": "flux-pro", "inputs": {"prompt": "a red bicycle"}, "options": {"num_images": 1}, "estimatedCost": 0.04},
        "images": [IMAGE] if is_completed else [],
        "cost": 0.04 if is_completed else 0.0,
        "costDetail": {"estimated": 0.04, "actual": None, "source": "estimate"},
        "error": failure if ending == "failed" else None,
        "projectId": None,
        "metadata": {"orderNumber": 17},
        "batchId": None,
        "createdAt": rfc3339(NOW - timedelta(seconds=8)),
        "updatedAt": rfc3339(NOW),
        "completedAt": rfc3339(NOW) if has_ended else None,
        "processingTimeMs": 8000 if has_ended else None,
        "seq": 4 if has_ended else 2,
        "jobUrl": f"https://gateway.example.com/api/jobs/{JOB_ID}",
    }


def _alerts() -> dict[str, Alert]:
    budget = Budget(id="user:user123", limit_micros=25_000_000, spent_micros=19_960_000, held_micros=40_000)
    endpoint = Endpoint(
        id="01a1fbb9-ae97-7d10-b7a4-5c6d7e8f9012",
        owner="user:user123",
        url="https://example.com/hook",
        events=("job.*",),
        created_at=BEFORE,
        updated_at=NOW,
        status=EndpointStatus.DISABLED,
        disabled_reason="nothing was delivered for 3 days",
        failing_since=BEFORE,
    )
    found = (
        alert.tokens_low("user123", left=350, ordered=100, now=NOW),
        alert.budget_threshold(budget, now=NOW),
        alert.provider_locked("provider_locked", "Exhausted balance", endpoint=None, now=NOW),
        alert.costs_drift(since=BEFORE, until=NOW, quoted=4_000_000, invoiced=4_400_000, jobs=100, now=NOW),
        alert.webhook_disabled(endpoint, now=NOW),
    )
    return {each.type: each for each in found if each}


ALERTS = _alerts()
