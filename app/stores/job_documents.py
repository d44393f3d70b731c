"""A Job as its document in `jobs`, and back. Documents keep storage keys, never URLs."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

from app.domain.batch import takes_slot
from app.domain.costs import ActualCost, CostSource
from app.domain.endpoint import OrderHook
from app.domain.fal_request import Failure, FalRequest, Receipt
from app.domain.job import HistoryEntry, Job, JobStatus, Operation, Settlement, StoredImage, SweepTimeouts, WebDetails
from app.domain.job_filter import JOB_TYPE
from app.domain.pricing import Quote
from app.domain.repeat import Repeat
from app.stores.database import Document, sayable, storable
from app.stores.records import document_of, record_of

NO_RECEIPT: Document = dict.fromkeys(("requestId", "statusUrl", "responseUrl", "cancelUrl"))


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
        "batchSlot": takes_slot(job),
        "updatedAt": job.updated_at,
        "completedAt": job.completed_at,
    }


def from_document(doc: Document, timeouts: SweepTimeouts) -> Job:
    quote = doc["quote"]
    return Job(
        id=doc["_id"],
        rev=doc["rev"],
        user_id=doc["userId"],
        operation=Operation(doc["operation"]),
        model=doc["model"],
        endpoint=doc["call"]["endpoint"],
        arguments=json.loads(doc["call"]["arguments"]),
        image_pointers=tuple(doc["call"]["images"]),
        takes_num_images=doc["call"]["takesNumImages"],
        fal_headers=doc["call"].get("headers", {}),  # Jobs from before they were passed on lack them.
        inputs=sayable(doc["config"]["inputs"]),
        options=sayable(doc["config"]["options"]),
        quote=_quote(doc),
        tokens_per_image=quote["tokensPerImage"],
        requests=tuple(_request(r) for r in doc["requests"]),
        images=tuple(record_of(StoredImage, i) for i in doc["images"]),
        status=JobStatus(doc["status"]),
        progress=doc["progress"],
        message=doc["message"],
        failure=failure_of(doc["error"]),
        history=tuple(record_of(HistoryEntry, e) for e in doc["history"]),
        settlement=Settlement(doc["settlement"]),
        settle_at=doc["settleAt"],
        cancel_requested_at=doc.get("cancelRequestedAt"),  # Older jobs lack it: a cancel ended them at once.
        cancel_at=doc.get("cancelAt"),
        charged_micros=doc["cost"]["chargedMicros"],
        actual=_actual(doc["cost"]),
        deadline_at=doc["deadlineAt"],
        expiry_at=doc["expiryAt"],
        timeouts=timeouts,
        project_id=doc["projectId"],
        metadata=sayable(doc["metadata"]),
        web=_web(doc),
        caller_key=doc["callerKey"],
        order_key=doc["orderKey"],
        fingerprint=doc["fingerprint"],
        retry_of=doc["retryOf"],
        batch_id=doc.get("batchId"),  # Jobs from before there were batches lack it.
        budgets=tuple(doc.get("budgets", ())),
        repeat=record_of(Repeat, doc["repeat"]) if "repeat" in doc else None,
        hook=record_of(OrderHook, doc["hook"]) if "hook" in doc else None,
        created_at=doc["createdAt"],
        updated_at=doc["updatedAt"],
        completed_at=doc["completedAt"],
    )


def _quote(doc: Document) -> Quote:
    """Read the quote; one that was made before the operator's price was kept has none."""
    quote = doc["quote"]
    amount = quote.get("providerAmount")
    return Quote(
        num_images=sum(r["numImages"] for r in doc["requests"]),
        unit_micros=quote["unitMicros"],
        micros=quote["micros"],
        price_id=quote["priceId"],
        provider_micros=quote.get("providerMicros"),
        provider_amount=None if amount is None else Decimal(amount),
    )


def _quote_document(job: Job) -> Document:
    amount = job.quote.provider_amount
    return {
        "micros": job.quote.micros,
        "unitMicros": job.quote.unit_micros,
        "priceId": job.quote.price_id,
        "tokens": job.tokens_held,
        "tokensPerImage": job.tokens_per_image,
        "providerMicros": job.quote.provider_micros,
        # As text: BSON has no exact decimal that all the stores know.
        "providerAmount": None if amount is None else str(amount),
    }


def _actual(cost: Document) -> ActualCost | None:
    micros = cost.get("actualMicros")
    return None if micros is None else ActualCost(micros, CostSource(cost["source"]))


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


def _web(doc: Document) -> WebDetails | None:
    if "operationTypeId" not in doc:
        return None
    return WebDetails(
        operation_type_id=doc["operationTypeId"],
        prompt=doc["prompt"],
        enhanced_prompt=doc["aiMetadata"]["enhancedPrompt"],
        aspect_ratio=doc["aspectRatio"],
        template_id=doc["promptTemplateId"],
        reference_type=doc["referenceType"],
        reference_image_id=doc["referenceImageId"],
    )


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


def _request(doc: Document) -> FalRequest:
    receipt = record_of(Receipt, doc) if doc["requestId"] else None
    return replace(record_of(FalRequest, doc), receipt=receipt, failure=failure_of(doc["error"]))


def _failure_document(failure: Failure | None) -> Document | None:
    if failure is None:
        return None
    return {"code": failure.code, "message": failure.message, "details": storable(failure.details)}


def failure_of(doc: dict[str, Any] | None) -> Failure | None:
    return Failure(doc["code"], doc["message"], doc["details"]) if doc else None
