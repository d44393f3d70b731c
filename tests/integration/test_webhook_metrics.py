"""What couriers count, and what waits."""

from __future__ import annotations

import dataclasses

from app import create_app
from app.bootstrap import Services
from app.clients.guarded import Receivers
from app.clients.metrics import KEY
from app.clients.webhook_sender import WebhookSender
from app.domain.delivery import DeliveryStatus
from tests.support.deliveries import a_delivery, an_endpoint
from tests.support.receiver import running_receiver
from tests.support.services import with_parts


def test_attempts_are_counted_by_what_came_of_them_and_what_waits_is_measured(services: Services) -> None:
    services.metrics.flush()
    services.redis.delete(KEY)
    with running_receiver() as receiver:
        here = Receivers(allow_http=True, private_hosts=("127.0.0.1",), own_url=None)
        courier = with_parts(services).courier
        courier._sender = WebhookSender(here)
        endpoint = an_endpoint(url=receiver.url())
        secret, _ = services.webhook_secrets.made(endpoint.id)
        endpoint = dataclasses.replace(endpoint, secrets=(secret,))
        services.endpoint_store.insert(endpoint)
        services.delivery_store.insert_all([a_delivery(endpoint, done_at=None, next_at=endpoint.created_at) for _ in range(3)])
        receiver.answers(500, 410, 204)

        while courier.deliver_next(endpoint.id):
            pass

    courier.measure()
    services.metrics.flush()
    text = create_app(services.settings, services).test_client().get("/metrics").text
    statuses = sorted(doc["status"] for doc in services.database["deliveries"].find())
    assert 'imagegw_webhooks_sent_total{outcome="retried"} 1.0' in text
    assert 'imagegw_webhooks_sent_total{outcome="dropped"} 1.0' in text
    assert "imagegw_webhook_latency_seconds_count 2.0" in text
    assert "imagegw_webhook_pending 0.0" in text
    assert statuses == [DeliveryStatus.DROPPED.value] * 3
