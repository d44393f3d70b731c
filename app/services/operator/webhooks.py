"""Everybody's webhooks in the hands of an operator: looked at, stopped, sent again; each change is written down first."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import define

from app.domain import clock
from app.domain.audit import Action, Actor
from app.domain.delivery import Delivery
from app.domain.endpoint import Endpoint, EndpointStatus
from app.domain.errors import NotFound
from app.services.deliveries.endpoints import Endpoints
from app.services.operator.audit import Audit
from app.stores.deliveries import DeliveryStore, EndpointStore


@define(eq=False, slots=False, kw_only=True)
class OperatorWebhooks:
    _endpoints: Endpoints
    _endpoint_store: EndpointStore
    _deliveries: DeliveryStore
    _audit: Audit

    def page(self, *, failing: bool, before_id: str | None, limit: int) -> list[Endpoint]:
        """Return everybody's endpoints, newest first; only those whose receivers fail, or were given up for that."""
        return self._endpoint_store.page(None, failing=failing, before_id=before_id, limit=limit)

    def get(self, endpoint_id: str) -> Endpoint:
        """Raises NotFound."""
        found = self._endpoint_store.get(endpoint_id) if clock.is_id(endpoint_id) else None
        if found is None:
            raise NotFound("No such webhook")
        return found

    def deliveries(self, endpoint_id: str, **wanted: Any) -> list[Delivery]:
        """Return what was sent to an endpoint, newest first; `wanted` as `DeliveryStore.page` takes it."""
        return self._deliveries.page(self.get(endpoint_id).id, **wanted)

    def delivery(self, delivery_id: str) -> Delivery:
        """Raises NotFound."""
        found = self._deliveries.get(delivery_id)
        if found is None:
            raise NotFound("No such delivery")
        return found

    def disable(self, actor: Actor, endpoint_id: str) -> Endpoint:
        """Send nothing more to an endpoint until its owner enables it; what waits for it is given up."""
        found = self.get(endpoint_id)
        with self._audit.record(actor, Action.WEBHOOK_DISABLE, f"webhook:{found.id}", {"owner": found.owner}):
            return self._endpoints.change(found.id, (found.owner,), {}, EndpointStatus.DISABLED, by="the operator")

    def recover(self, actor: Actor, endpoint_id: str, *, since: datetime) -> int:
        """Send again what was given up since, oldest first; returns how many deliveries."""
        found = self.get(endpoint_id)
        with self._audit.record(actor, Action.WEBHOOK_RECOVER, f"webhook:{found.id}", {"owner": found.owner, "since": since}) as result:
            count = self._endpoints.recover(found.id, (found.owner,), since=since)
            result |= {"deliveries": count}
        return count

    def redeliver(self, actor: Actor, delivery_id: str) -> Delivery:
        """Send a delivery again, after success too, under the same id. Raises NotFinished while it is being sent."""
        found = self.delivery(delivery_id)
        with self._audit.record(actor, Action.WEBHOOK_REDELIVER, f"delivery:{found.id}", {"owner": found.owner}):
            return self._endpoints.redeliver(found.id, (found.owner,))
