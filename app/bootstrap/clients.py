"""Every client of an outside system: Redis and what lives in it, the storage, fal."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

from app.clients.events import EventPublisher
from app.clients.fal.breaker import Breaker
from app.clients.fal.download import Downloader
from app.clients.fal.platform import FalPlatform
from app.clients.fal.queue import FalQueue
from app.clients.fal.webhook_keys import WebhookVerifier
from app.clients.metrics import Metrics
from app.clients.queue import TaskQueue
from app.clients.receipt_box import ReceiptBox
from app.clients.redis import connect_redis
from app.clients.storage import Storage, open_storage
from app.config import Settings


@dataclass(frozen=True)
class Clients:
    redis: Redis
    queue: TaskQueue
    breaker: Breaker
    metrics: Metrics
    receipts: ReceiptBox
    publisher: EventPublisher
    storage: Storage
    fal: FalQueue
    platform: FalPlatform
    downloader: Downloader
    verifier: WebhookVerifier


def build_clients(settings: Settings) -> Clients:
    redis = connect_redis(settings.redis_url)
    return Clients(
        redis=redis,
        queue=TaskQueue(redis),
        breaker=Breaker(redis),
        metrics=Metrics(redis),
        receipts=ReceiptBox(settings.receipts_dir, redis, settings.fal_key),
        publisher=EventPublisher(redis),
        storage=open_storage(settings),
        fal=FalQueue(settings.fal_key, settings.fal_hosts),
        platform=open_platform(settings),
        downloader=Downloader(settings.fal_hosts),
        verifier=WebhookVerifier(settings.fal_jwks_url),
    )


def check_receipts(settings: Settings) -> None:
    """Raise BadSettings where a worker could not keep the receipt of what it buys."""
    ReceiptBox(settings.receipts_dir, connect_redis(settings.redis_url), settings.fal_key).check()


def open_platform(settings: Settings) -> FalPlatform:
    """Return fal's platform API as the operator sees it: its commands, and the reconciliation of costs. Nothing else needs it."""
    key = settings.fal_admin_key or settings.fal_key
    return FalPlatform(api_url=settings.fal_api_url, openapi_url=settings.fal_openapi_url, admin_key=key)
