"""Events become deliveries: written down before anything else counts on them, each under an id that follows from event and receiver."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field

from app.clients.queue import TaskQueue
from app.domain import clock
from app.domain.clock import rfc3339
from app.domain.delivery import Delivery, HookFormat, delivery_id
from app.domain.endpoint import Endpoint, OrderHook
from app.domain.errors import QueueUnavailable
from app.domain.event import Event
from app.services.deliveries.bodies import fitting
from app.stores.deliveries import DeliveryStore, EndpointStore

log = logging.getLogger(__name__)

ORDER = "order"
LOOK_S = 1.0
#: How each format spells an event, given its data.
Spelling = Callable[[Event, Mapping[str, Any]], str]


@define(eq=False, slots=False, kw_only=True)
class Producer:
    _endpoints: EndpointStore
    _deliveries: DeliveryStore
    _queue: TaskQueue
    _spellings: Mapping[HookFormat, Spelling]
    _log_days: int
    _now: Callable[[], datetime] = clock.now
    _heard: tuple[float, bool] = field(init=False, default=(float("-inf"), False))

    def is_heard(self) -> bool:
        """Tell whether there is any endpoint that hears of anything, as of a second ago at most: most installations have none."""
        if time.monotonic() - self._heard[0] > LOOK_S:
            self._heard = time.monotonic(), self._endpoints.are_any()
        return self._heard[1]

    def produce(self, *events: Event) -> list[Delivery]:
        """Write a delivery for each receiver of each event: one read where nobody listens, one write more where somebody does.

        Repeating it changes nothing. Receivers are told soon; where the queue is away the sweep sees to it. Raises StoreUnavailable.
        """
        endpoints = self._endpoints.listening({owner for event in events for owner in event.owners})
        found = [each for event in events for each in self._of(event, endpoints)]
        self._deliveries.insert_all(found)
        self.hint({each.lane for each in found})
        return found

    def hint(self, lanes: set[str]) -> None:
        """Tell the couriers that there is something to send."""
        try:
            for lane in lanes:
                self._queue.enqueue_deliver(lane)
        except QueueUnavailable:
            log.warning("deliveries not enqueued, the sweep will")

    def made(self, event: Event, endpoint: Endpoint, data: Mapping[str, Any]) -> Delivery:
        """Return an event's delivery to an endpoint, not written yet."""
        told = data if endpoint.include_images else {**data, "images": []} if "images" in data else data
        body = self._spellings[HookFormat.STANDARD](event, told)
        return self._delivery(
            event, endpoint.id, owner=endpoint.owner, url=endpoint.url, body=body, lane=endpoint.id, endpoint_id=endpoint.id
        )

    def _of(self, event: Event, endpoints: Sequence[Endpoint]) -> list[Delivery]:
        hearing = [each for each in endpoints if each.owner in event.owners and each.wants(event.type, event.subject)]
        hook = event.hook if event.hook and event.type in event.hook.events else None
        data = event.data() if hearing or hook else None
        if data is None:
            return []
        return [self.made(event, each, data) for each in hearing] + ([self._to_hook(event, hook, data)] if hook else [])

    def _to_hook(self, event: Event, hook: OrderHook, data: Mapping[str, Any]) -> Delivery:
        body, lane = self._spellings[hook.format](event, data), f"{hook.owner} {urlsplit(hook.url).netloc}"
        return self._delivery(event, ORDER, owner=hook.owner, url=hook.url, body=body, lane=lane, format=hook.format)

    def _delivery(self, event: Event, target: str, **fields: Any) -> Delivery:
        now = self._now()
        return Delivery(
            id=delivery_id(event.key, event.type, target),
            type=event.type,
            job_id=event.job.id if event.job else None,
            created_at=now,
            next_at=now,
            log_days=self._log_days,
            **fields,
        )


def standard_body(event: Event, data: Mapping[str, Any]) -> str:
    """Return the body of Standard Webhooks. In ASCII: people's texts may hold what no encoding has."""
    body = {"type": event.type, "timestamp": rfc3339(event.at), "data": fitting(data)}
    return json.dumps(body, separators=(",", ":"))
