"""Webhooks that tell owners what has happened: the endpoints they register, and the log of what was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from flask import Response, jsonify

from app.api.http import examples, paging, services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.hooks import receiver
from app.api.http.limits import submits
from app.api.http.ordering import IDEMPOTENCY_KEY, order_key_of
from app.api.http.requests import ApiBlueprint
from app.api.schemas import endpoints as schemas
from app.domain.api_key import Scope
from app.domain.clock import rfc3339
from app.domain.delivery import Delivery
from app.domain.endpoint import OPERATOR, Endpoint, EndpointStatus, EventFilter
from app.services.deliveries.endpoints import Wanted

blueprint = ApiBlueprint("deliveries", __name__, url_prefix="/api", description="Webhooks: who is told of what, and what was sent")

MAX_DELIVERIES = 100


def owners() -> tuple[str, ...]:
    """Return whose webhooks the caller may look at: its own, and an administrator the operator's."""
    who = caller()
    return (who.identity, OPERATOR) if who.is_administrator else (who.identity,)


@blueprint.post("/webhooks")
@needs(Scope.GENERATE)
@submits
@blueprint.doc(parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(schemas.EndpointBody, examples=examples.WEBHOOK)
@blueprint.response(201, schemas.NewSecretAnswer)
@blueprint.errors(400, 401, 403)
def create_webhook(body: dict[str, Any]) -> Response:
    """Register a URL that is told of events. The answer has its secret, which is never shown again: see `docs/webhooks.md`."""
    owner, key = caller().identity, order_key_of(body)
    if body.pop("owner") == OPERATOR:
        caller().require_scope(Scope.ADMIN)
        owner = OPERATOR
    endpoint, secret = services().endpoints.create(owner, Wanted(**_stored(body)), key=(key.id, key.fingerprint) if key else None)
    return _with_secret(endpoint, secret, 201)


@blueprint.get("/webhooks")
@needs(Scope.READ)
@blueprint.arguments(schemas.EndpointsQuery, location="query")
@blueprint.response(200, schemas.EndpointsAnswer)
@blueprint.errors(400, 401)
def list_webhooks(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List your webhooks, newest first; an administrator's list has the operator's, too."""
    found = services().endpoints.page(owners(), before_id=paging.id_of(query["cursor"]), limit=query["limit"] + 1)
    page, cursor = paging.page_of(found, query["limit"])
    return {"webhooks": page, "cursor": cursor}, paging.links(cursor)


@blueprint.get("/webhooks/secret")
@needs(Scope.READ)
@blueprint.response(200, schemas.SecretAnswer)
@blueprint.errors(401)
def show_secret() -> dict[str, Any]:
    """Show what signs the webhooks that your orders name. It is yours alone: whoever has it can pretend to be this service."""
    return {"secret": services().webhook_secrets.own(caller().identity)[0]}


@blueprint.post("/webhooks/secret/rotate")
@needs(Scope.GENERATE)
@blueprint.arguments(schemas.RotateBody, examples=examples.ROTATION)
@blueprint.response(200, schemas.SecretAnswer)
@blueprint.errors(400, 401)
def rotate_secret(body: dict[str, Any]) -> dict[str, Any]:
    """Make a new secret for the webhooks of your orders. The one before signs along until the overlap ends."""
    overlap = timedelta(hours=body["overlap_hours"])
    return {"secret": services().webhook_secrets.rotate_own(caller().identity, overlap=overlap)}


@blueprint.get("/webhooks/<endpoint_id>")
@needs(Scope.READ)
@blueprint.response(200, schemas.EndpointAnswer)
@blueprint.errors(401, 404)
def show_webhook(endpoint_id: str) -> Endpoint:
    """Show one of your webhooks, and how it fares."""
    return services().endpoints.get(endpoint_id, owners())


@blueprint.patch("/webhooks/<endpoint_id>")
@needs(Scope.GENERATE)
@blueprint.arguments(schemas.EndpointChange, examples=examples.WEBHOOK_CHANGE)
@blueprint.response(200, schemas.ChangedAnswer)
@blueprint.errors(400, 401, 404)
def change_webhook(body: dict[str, Any], endpoint_id: str) -> Response:
    """Change a webhook. Enabling forgets its failures; `recoverSince` then says since when there is something to recover."""
    before = services().endpoints.get(endpoint_id, owners())
    status = EndpointStatus(body.pop("status")) if "status" in body else None
    changed = services().endpoints.change(endpoint_id, owners(), _stored(body), status)
    answer = schemas.EndpointAnswer.of(changed)
    if status is EndpointStatus.ENABLED and before.failing_since:
        answer["recoverSince"] = rfc3339(before.failing_since)
    return jsonify(answer)


@blueprint.delete("/webhooks/<endpoint_id>")
@needs(Scope.GENERATE)
@blueprint.response(204)
@blueprint.errors(401, 404)
def delete_webhook(endpoint_id: str) -> None:
    """Delete a webhook. What it was to be sent yet is dropped."""
    services().endpoints.remove(endpoint_id, owners())


@blueprint.post("/webhooks/<endpoint_id>/rotate")
@needs(Scope.GENERATE)
@blueprint.arguments(schemas.RotateBody, examples=examples.ROTATION)
@blueprint.response(200, schemas.NewSecretAnswer)
@blueprint.errors(400, 401, 404)
def rotate_webhook(body: dict[str, Any], endpoint_id: str) -> Response:
    """Make a new secret, shown this once. Both sign until the overlap ends, the new one first."""
    overlap = timedelta(hours=body["overlap_hours"])
    return _with_secret(*services().endpoints.rotate(endpoint_id, owners(), overlap=overlap), 200)


@blueprint.post("/webhooks/<endpoint_id>/test")
@needs(Scope.GENERATE)
@submits
@blueprint.arguments(schemas.TestBody, examples=examples.WEBHOOK_TEST)
@blueprint.response(200, schemas.TestAnswer)
@blueprint.errors(400, 401, 404)
def test_webhook(body: dict[str, Any], endpoint_id: str) -> Delivery:
    """Send a test now, to a disabled webhook too, and tell what its receiver answered. It is tried once."""
    return services().endpoints.test(endpoint_id, owners(), body["type"])


@blueprint.post("/webhooks/<endpoint_id>/recover")
@needs(Scope.GENERATE)
@blueprint.arguments(schemas.RecoverBody, examples=examples.RECOVERY)
@blueprint.response(202, schemas.RecoverAnswer)
@blueprint.errors(400, 401, 404)
def recover_webhook(body: dict[str, Any], endpoint_id: str) -> dict[str, int]:
    """Send again what was given up since a time, oldest first, 10,000 at most; each under the id it has."""
    return {"requeued": services().endpoints.recover(endpoint_id, owners(), since=body["since"])}


@blueprint.get("/webhooks/<endpoint_id>/deliveries")
@needs(Scope.READ)
@blueprint.arguments(schemas.DeliveriesQuery, location="query")
@blueprint.response(200, schemas.DeliveriesAnswer)
@blueprint.errors(400, 401, 404)
def list_deliveries(query: dict[str, Any], endpoint_id: str) -> tuple[dict[str, Any], dict[str, str]]:
    """List what a webhook was sent, newest first."""
    found = services().endpoints.deliveries(endpoint_id, owners(), limit=query["limit"] + 1, **delivery_filter(query))
    return delivery_page(found, query["limit"])


def delivery_filter(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return which deliveries a query is for, and from where on, as `DeliveryStore.page` takes it."""
    return {
        "statuses": [query["status"]] if query["status"] else [],
        "event": query["type"],
        "job_id": query["job_id"],
        "since": query["since"],
        "before": _place(paging.place_of(query["cursor"], _place)),
    }


def delivery_page(found: Sequence[Delivery], limit: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Return an answer of at most `limit` deliveries; one more was looked for, to know whether there are more."""
    page = found[:limit]
    last = paging.opaque(f"{page[-1].created_at.isoformat()} {page[-1].id}") if len(found) > len(page) else None
    cursor = {"next": last, "has_more": last is not None}
    return {"deliveries": page, "cursor": cursor}, paging.links(cursor)


@blueprint.get("/deliveries")
@needs(Scope.READ)
@blueprint.arguments(schemas.JobDeliveriesQuery, location="query")
@blueprint.response(200, schemas.JobDeliveriesAnswer)
@blueprint.errors(400, 401)
def list_job_deliveries(query: dict[str, Any]) -> dict[str, Any]:
    """List what you were sent of one job: to your webhooks, and to the one that your order named."""
    return {"deliveries": services().endpoints.of_job(query["job_id"], owners())[:MAX_DELIVERIES]}


@blueprint.get("/deliveries/<delivery_id>")
@needs(Scope.READ)
@blueprint.response(200, schemas.DeliveryDetailAnswer)
@blueprint.errors(401, 404)
def show_delivery(delivery_id: str) -> Delivery:
    """Show one delivery: what was sent, and what came of each attempt."""
    return services().endpoints.delivery(delivery_id, owners())


@blueprint.post("/deliveries/<delivery_id>/redeliver")
@needs(Scope.GENERATE)
@submits
@blueprint.response(202, schemas.DeliveryAnswer)
@blueprint.errors(401, 404, 409)
def redeliver(delivery_id: str) -> Delivery:
    """Send a delivery again, after success too, under the same id."""
    return services().endpoints.redeliver(delivery_id, owners())


def _with_secret(endpoint: Endpoint, secret: str, status: int) -> Response:
    response = jsonify(schemas.EndpointAnswer.of(endpoint) | {"secret": secret})
    response.status_code = status
    if status == 201:
        response.headers["Location"] = f"/api/webhooks/{endpoint.id}"
    return response


def _stored(body: dict[str, Any]) -> dict[str, Any]:
    """Return a checked body as an endpoint keeps it. Raises InvalidRequest where nothing may be posted to its URL."""
    if "url" in body:
        body["url"] = receiver(body["url"], "/url")
    if "events" in body:
        body["events"] = tuple(dict.fromkeys(body["events"]))
    if "filter" in body:
        body["filter"] = EventFilter(**body["filter"])
    return body


def _place(text: str | None) -> tuple[datetime, str] | None:
    """Return the time and the id that a cursor's text holds; None for another text."""
    try:
        moment, delivery_id = (text or "").split(" ")
        return datetime.fromisoformat(moment), delivery_id
    except ValueError:
        return None
