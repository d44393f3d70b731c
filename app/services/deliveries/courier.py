"""Brings deliveries to their receivers. What came of each is one compare-and-set; who dies before it leaves a claim that runs out."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from attrs import define

from app.clients.bounds import Bounds
from app.clients.metrics import WEBHOOKS_OLDEST_S, WEBHOOKS_WAITING, Metrics, Sample
from app.clients.queue import TaskQueue
from app.clients.webhook_sender import WebhookSender
from app.domain import clock
from app.domain.alert import webhook_disabled
from app.domain.delivery import GONE, TEST, Delivery, DeliveryStatus, HookFormat, Reply
from app.domain.endpoint import OPERATOR, Endpoint, EndpointStatus
from app.domain.errors import Misconfigured, QueueUnavailable
from app.services.deliveries.alerts import Alerts
from app.services.deliveries.produce import Producer
from app.services.deliveries.secrets import Secrets
from app.services.deliveries.signing import Signer
from app.stores.deliveries import DeliveryStore, EndpointStore

log = logging.getLogger(__name__)

#: How long a delivery waits that cannot be signed: an operator has to put the settings right.
UNSIGNED_PAUSE = timedelta(minutes=1)
MAX_LANES = 500


@define(eq=False, slots=False, kw_only=True)
class Courier:
    _endpoints: EndpointStore
    _deliveries: DeliveryStore
    _secrets: Secrets
    _sender: WebhookSender
    _bounds: Bounds
    _producer: Producer
    _alerts: Alerts
    _queue: TaskQueue
    _signers: Mapping[HookFormat, Signer]
    _log_days: int
    _metrics: Metrics
    _now: Callable[[], datetime] = clock.now

    def sweep(self) -> int:
        """Have every lane attended to in which something is due; returns how many. What Redis has lost is found here."""
        lanes = self._deliveries.due_lanes(now=self._now(), limit=MAX_LANES)
        self._producer.hint(set(lanes))
        return len(lanes)

    def measure(self) -> None:
        """Set how many deliveries wait, and for how long the oldest has."""
        count, oldest = self._deliveries.waiting()
        self._metrics.set(WEBHOOKS_WAITING, count)
        self._metrics.set(WEBHOOKS_OLDEST_S, (self._now() - oldest).total_seconds() if oldest else 0)

    def begin(self, lane: str) -> None:
        """Let a lane be asked for anew: what is written from now on may not be seen by this round."""
        try:
            self._queue.lane_begun(lane)
        except QueueUnavailable:
            log.debug("a lane is asked for again a little later", exc_info=True)

    def has_more(self, lane: str) -> bool:
        return self._deliveries.is_any_due(lane, now=self._now())

    def deliver_next(self, lane: str, *, claimed: Callable[[], None] = lambda: None) -> bool:
        """Send what waits longest in a lane; False where nothing is due, or as much as may be is on its way already.

        `claimed` is called when something was found, before it is sent: a slow receiver takes a while.
        """
        endpoint = self._endpoints.get(lane) if clock.is_id(lane) else None
        host = urlsplit(endpoint.url).netloc if endpoint else lane.rpartition(" ")[2]
        with self._bounds.place(lane, host, by=clock.new_id()) as place:
            delivery = self._deliveries.claim_next(lane, now=self._now()) if place.is_free else None
            if delivery is None:
                return False
            claimed()
            reply = self._brought(delivery, endpoint)
            place.failed = reply.is_away if reply else None
        return True

    def _brought(self, delivery: Delivery, endpoint: Endpoint | None) -> Reply | None:
        """Send a claimed delivery and write down what came of it; None where nothing was sent."""
        if refusal := _refusal(delivery, endpoint):
            self._write(delivery, lambda d: d.ended(*refusal, now=self._now()))
            return None
        try:
            headers = self._headers(delivery, endpoint)
        except Misconfigured as exc:
            log.error("a delivery cannot be signed: %s", exc.message, extra={"delivery": delivery.id})  # noqa: TRY400 - the text says it all
            self._write(delivery, lambda d: d.put_off(until=self._now() + UNSIGNED_PAUSE))
            return None
        url = endpoint.url if endpoint else delivery.url
        reply = self._sender.post(url, headers, delivery.body.encode(), tells_private=delivery.owner == OPERATOR)
        written = self._write(delivery, lambda d: d.attempted(reply, now=self._now(), jitter=random.uniform(-1, 1)))  # noqa: S311
        if written:
            outcome = "retried" if written.status is DeliveryStatus.PENDING else written.status.value
            latency = Sample("imagegw_webhook_latency_seconds", {}, reply.latency_ms / 1000)
            self._metrics.record(counts=[Sample("imagegw_webhooks_sent_total", {"outcome": outcome}, 1)], seconds=[latency])
        if written and endpoint and delivery.type != TEST:
            self._learn(endpoint, written, reply)
        return reply

    def _headers(self, delivery: Delivery, endpoint: Endpoint | None) -> dict[str, str]:
        signed = self._signers[delivery.format](delivery, self._secrets.of(delivery, endpoint), self._now())
        return {**(self._secrets.headers(endpoint) if endpoint else {}), **signed}

    def _write(self, claimed: Delivery, evolve: Callable[[Delivery], Delivery | None]) -> Delivery | None:
        """Write what came of a claim, unless it has run out and another has claimed it meanwhile."""
        written = self._deliveries.change(claimed, lambda d: evolve(d) if d.rev == claimed.rev else None)
        if written:
            log.info(
                "delivery %s",
                written.status.value,
                extra={"delivery": written.id, "event": written.type, "job_id": written.job_id, "attempts": written.attempt_count},
            )
        return written

    def _learn(self, endpoint: Endpoint, written: Delivery, reply: Reply) -> None:
        """Keep what an attempt says about its endpoint: that it works, fails, has failed for too long, or wants nothing more."""
        now = self._now()
        if reply.is_success:
            self._endpoints.change(endpoint, lambda e: e.succeeded(now=now))
        elif reply.status_code == GONE:
            self._endpoints.change(endpoint, lambda e: e.gone(now=now))
            self._end(endpoint, DeliveryStatus.DROPPED, "the receiver answered 410: it wants nothing more")
        else:
            exhausted = written.status is DeliveryStatus.FAILED and not reply.aborts
            changed = self._endpoints.change(endpoint, lambda e: e.failed(exhausted=exhausted, now=now))
            if changed and changed.status is EndpointStatus.DISABLED:
                log.warning("an endpoint of webhooks is disabled: %s", changed.disabled_reason, extra={"endpoint": endpoint.id})
                self._alerts.warn(webhook_disabled(changed, now=now))
                self._end(endpoint, DeliveryStatus.FAILED, "the endpoint is disabled")

    def _end(self, endpoint: Endpoint, status: DeliveryStatus, reason: str) -> None:
        self._deliveries.end_pending(endpoint.id, status, reason, now=self._now(), log_days=self._log_days)


def _refusal(delivery: Delivery, endpoint: Endpoint | None) -> tuple[DeliveryStatus, str] | None:
    """Return why a delivery is not sent after all, and how it ends."""
    if delivery.endpoint_id is None:
        return None
    if endpoint is None:
        return DeliveryStatus.DROPPED, "the endpoint was deleted"
    if endpoint.status is EndpointStatus.GONE and delivery.type != TEST:
        return DeliveryStatus.DROPPED, "the receiver answered 410: it wants nothing more"
    if endpoint.status is EndpointStatus.DISABLED and delivery.type != TEST:
        return DeliveryStatus.FAILED, "the endpoint is disabled"
    return None
