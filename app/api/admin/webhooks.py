"""Everybody's webhooks and what was sent, for administrators."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.endpoints import delivery_filter, delivery_page
from app.api.http import examples, paging, services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.requests import ApiBlueprint
from app.api.schemas import endpoints as schemas
from app.domain.api_key import Scope
from app.domain.delivery import Delivery
from app.domain.endpoint import Endpoint

blueprint = ApiBlueprint("admin-webhooks", __name__, url_prefix="/api/admin", description="Everybody's webhooks")


class AdminEndpointsQuery(schemas.EndpointsQuery):
    failing = ma.fields.Boolean(
        load_default=False, metadata={"description": "Only those whose receivers fail now, or were given up for that."}
    )


@blueprint.get("/webhooks")
@needs(Scope.ADMIN)
@blueprint.arguments(AdminEndpointsQuery, location="query")
@blueprint.response(200, schemas.EndpointsAnswer)
@blueprint.errors(400, 401, 403)
def list_webhooks(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List everybody's webhooks, newest first (administrators)."""
    limit = query["limit"]
    found = services().operator_webhooks.page(failing=query["failing"], before_id=paging.id_of(query["cursor"]), limit=limit + 1)
    page, cursor = paging.page_of(found, limit)
    return {"webhooks": page, "cursor": cursor}, paging.links(cursor)


@blueprint.get("/webhooks/<endpoint_id>")
@needs(Scope.ADMIN)
@blueprint.response(200, schemas.EndpointAnswer)
@blueprint.errors(401, 403, 404)
def show_webhook(endpoint_id: str) -> Endpoint:
    """Show anybody's webhook (administrators). Nobody is shown what signs."""
    return services().operator_webhooks.get(endpoint_id)


@blueprint.post("/webhooks/<endpoint_id>/disable")
@needs(Scope.ADMIN)
@blueprint.response(200, schemas.EndpointAnswer)
@blueprint.errors(401, 403, 404)
def disable_webhook(endpoint_id: str) -> Endpoint:
    """Send nothing more to a webhook until its owner enables it (administrators)."""
    return services().operator_webhooks.disable(caller().actor, endpoint_id)


@blueprint.post("/webhooks/<endpoint_id>/recover")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.RecoverBody, examples=examples.RECOVERY)
@blueprint.response(202, schemas.RecoverAnswer)
@blueprint.errors(400, 401, 403, 404)
def recover_webhook(body: dict[str, Any], endpoint_id: str) -> dict[str, int]:
    """Send again what was given up at a webhook since a time, oldest first (administrators)."""
    return {"requeued": services().operator_webhooks.recover(caller().actor, endpoint_id, since=body["since"])}


@blueprint.get("/webhooks/<endpoint_id>/deliveries")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.DeliveriesQuery, location="query")
@blueprint.response(200, schemas.DeliveriesAnswer)
@blueprint.errors(400, 401, 403, 404)
def list_deliveries(query: dict[str, Any], endpoint_id: str) -> tuple[dict[str, Any], dict[str, str]]:
    """List what anybody's webhook was sent, newest first (administrators)."""
    found = services().operator_webhooks.deliveries(endpoint_id, limit=query["limit"] + 1, **delivery_filter(query))
    return delivery_page(found, query["limit"])


@blueprint.get("/deliveries/<delivery_id>")
@needs(Scope.ADMIN)
@blueprint.response(200, schemas.DeliveryDetailAnswer)
@blueprint.errors(401, 403, 404)
def show_delivery(delivery_id: str) -> Delivery:
    """Show one delivery of anybody's: what was sent, and what came of each attempt (administrators)."""
    return services().operator_webhooks.delivery(delivery_id)


@blueprint.post("/deliveries/<delivery_id>/redeliver")
@needs(Scope.ADMIN)
@blueprint.response(202, schemas.DeliveryAnswer)
@blueprint.errors(401, 403, 404, 409)
def redeliver(delivery_id: str) -> Delivery:
    """Send a delivery again, after success too, under the same id (administrators)."""
    return services().operator_webhooks.redeliver(caller().actor, delivery_id)
