"""A Job as its document in `jobs`, and back. Documents keep storage keys, never URLs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.domain.batch import takes_slot
from app.domain.fal_request import Failure, FalRequest
from app.domain.job import Job, SweepTimeouts
from app.domain.job_filter import JOB_TYPE
from app.domain.tombstone import uploads_in
from app.stores.database import Document, sayable, storable
from app.stores.records import document_of, record_of

NO_RECEIPT: Document = dict.fromkeys(("requestId", "statusUrl", "responseUrl", "cancelUrl"))


#: What people note about a job, in one array: so one index finds favorites and tags.
FAVORITE, TAG = "favorite", "tag:"


def marks_of(*, favorite: bool | None, tags: Sequence[str]) -> list[str]:
    return [*([FAVORITE] if favorite else []), *(TAG + tag for tag in tags)]


#: Far above what anything costs.
MAX_STEP = 50


def step_of(micros: int) -> int:
    """Return the step of an amount, so that amounts can be looked for by equality: each is for twice as much as the one before."""
    return min(micros.bit_length(), MAX_STEP)


def steps_from(micros: int) -> list[int]:
    """Return the steps of all amounts from one on; the first of them holds smaller ones, too."""
    return list(range(step_of(micros), MAX_STEP + 1))


def to_document(job: Job) -> Document:
    return {**_order_document(job), **state_document(job)}


def _order_document(job: Job) -> Document:
    """Return what stays as it was ordered."""
    return {
        "_id": job.id,
        "userId": job.user_id,
        "type": JOB_TYPE,
        "operation": job.operation.value,
        "model": job.model,
        "config": {"inputs": storable(job.inputs), "options": storable(job.options)},
        # As text: what goes to fal may hold integers and keys that BSON cannot.
        "call": {
            "endpoint": job.endpoint,
            "arguments": json.dumps(job.arguments, separators=(",", ":")),
            "images": list(job.image_pointers),
            "takesNumImages": job.takes_num_images,
            "headers": job.fal_headers,
        },
        "quote": _quote_document(job),
        "projectId": job.project_id,
        "metadata": storable(job.metadata),
        "callerKey": job.caller_key,
        # Unique: an order without a key of its own goes by its job's id.
        "orderKey": job.order_key or job.id,
        "fingerprint": job.fingerprint,
        "retryOf": job.retry_of,
        "batchId": job.batch_id,
        "budgets": list(job.budgets),
        **({"hook": document_of(job.hook)} if job.hook else {}),
        **({"uploadIds": uploads} if (uploads := list(dict.fromkeys(uploads_in(job)))) else {}),
        **({"retainDays": job.retain_days} if job.retain_days else {}),
        "createdAt": job.created_at,
    }


def state_document(job: Job) -> Document:
    """Return what a job's changes may change, and what follows from it."""
    return {
        "rev": job.rev,
        "status": job.status.value,
        "progress": job.progress,
        "message": job.message,
        "requests": [_request_document(request) for request in job.requests],
        "images": [document_of(image) for image in job.images],
        "cost": {
            "chargedMicros": job.charged_micros,
            "step": step_of(job.charged_micros),
            "estimatedMicros": job.quote.cost_micros,
            "actualMicros": job.actual.micros if job.actual else None,
            "source": job.cost_source.value,
        },
        "error": _failure_document(job.failure),
        "history": [document_of(entry) for entry in job.history],
        "settlement": job.settlement.value,
        "settleAt": job.settle_at,
        "cancelRequestedAt": job.cancel_requested_at,
        "cancelAt": job.cancel_at,
        "attentionAt": job.attention_at,
        "deadlineAt": job.deadline_at,
        "expiryAt": job.expiry_at,
        **_web_document(job),
        **_repeat_document(job),
        **({"retainUntil": job.retain_until} if job.retain_days else {}),
        "marks": marks_of(favorite=job.favorite, tags=job.tags),
        "batchSlot": takes_slot(job),
        "updatedAt": job.updated_at,
        "completedAt": job.completed_at,
    }


def from_document(doc: Document, timeouts: SweepTimeouts) -> Job:
    """Return the job that a document holds. Raises KeyError or ValueError for one that holds none."""
    call, quote = doc["call"], doc["quote"]
    fields = {
        **doc,
        "endpoint": call["endpoint"],
        "arguments": json.loads(call["arguments"]),
        "imagePointers": call["images"],
        "takesNumImages": call["takesNumImages"],
        "falHeaders": call.get("headers", {}),  # Jobs from before they were passed on lack them.
        "inputs": sayable(doc["config"]["inputs"]),
        "options": sayable(doc["config"]["options"]),
        "quote": {**quote, "numImages": sum(request["numImages"] for request in doc["requests"])},
        "tokensPerImage": quote["tokensPerImage"],
        "requests": [_request_fields(request) for request in doc["requests"]],
        "failure": doc["error"],
        "chargedMicros": doc["cost"]["chargedMicros"],
        "actual": _actual_fields(doc["cost"]),
        "metadata": sayable(doc["metadata"]),
        "web": _web_fields(doc),
        "favorite": FAVORITE in doc.get("marks", ()),  # Older jobs lack them.
        "tags": [mark.removeprefix(TAG) for mark in doc.get("marks", ()) if mark.startswith(TAG)],
    }
    return replace(record_of(Job, fields), timeouts=timeouts)


def _quote_document(job: Job) -> Document:
    quote = document_of(job.quote)
    del quote["numImages"]  # The requests say it.
    return {**quote, "tokens": job.tokens_held, "tokensPerImage": job.tokens_per_image}


def _actual_fields(cost: Document) -> Document | None:
    return {**cost, "micros": cost["actualMicros"]} if cost.get("actualMicros") is not None else None


def _web_document(job: Job) -> Document:
    """Return the fields of a web app's generation, named as its clients know them; a script's job has none."""
    web = job.web
    if web is None:
        return {}
    images = [image.upload_id for image in job.images]
    return {
        "prompt": web.prompt,
        "operationTypeId": web.operation_type_id,
        "aspectRatio": web.aspect_ratio,
        "promptTemplateId": web.template_id,
        "referenceType": web.reference_type,
        "referenceImageId": web.reference_image_id,
        "outputImageId": images[0] if images else None,
        "tokensUsed": job.tokens_used,
        "aiMetadata": {
            "referenceType": web.reference_type,
            "referenceImageId": web.reference_image_id,
            "enhancedPrompt": web.enhanced_prompt,
            "imageIds": images,
        },
    }


def _web_fields(doc: Document) -> Document | None:
    if "operationTypeId" not in doc:
        return None
    return {**doc, "enhancedPrompt": doc["aiMetadata"]["enhancedPrompt"], "templateId": doc["promptTemplateId"]}


def repeat_key(fingerprint: str, job_id: str) -> str:
    """Return what an index sorts the jobs of equal requests by; only jobs of clients that send again by themselves are in it."""
    return f"{fingerprint}/{job_id}"


def _repeat_document(job: Job) -> Document:
    repeat = job.repeat
    return {"repeat": {**document_of(repeat), "key": repeat_key(repeat.fingerprint, job.id)}} if repeat else {}


def _request_document(request: FalRequest) -> Document:
    """Return a request's document, in which its receipt stands beside its state."""
    doc = document_of(request)
    del doc["receipt"], doc["failure"]
    receipt = document_of(request.receipt) if request.receipt else NO_RECEIPT
    return {**doc, **receipt, "error": _failure_document(request.failure)}


def _request_fields(doc: Document) -> Document:
    return {**doc, "receipt": doc if doc["requestId"] else None, "failure": doc["error"]}


def _failure_document(failure: Failure | None) -> Document | None:
    if failure is None:
        return None
    return {"code": failure.code, "message": failure.message, "details": storable(failure.details)}


def failure_of(doc: dict[str, Any] | None) -> Failure | None:
    return Failure(doc["code"], doc["message"], doc["details"]) if doc else None
