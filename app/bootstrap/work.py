"""The life of a job as workers and the watcher move it: dispatched, reported by fal, collected, settled; expired or recovered otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from app.bootstrap.foundation import Foundation
from app.bootstrap.money import Money
from app.bootstrap.orders import Orders
from app.bootstrap.pictures import Pictures
from app.clients.queue import TASK_TIMEOUT_S
from app.services.fulfilment.cancellation import Cancellation
from app.services.fulfilment.collection import Collector
from app.services.fulfilment.dispatch import Dispatcher
from app.services.fulfilment.expiry import Expiry
from app.services.fulfilment.fal_user import FalUser
from app.services.fulfilment.insisting import Insisting
from app.services.fulfilment.receipts import Receipts
from app.services.fulfilment.recovery import Recovery
from app.services.fulfilment.settlement import Settler
from app.services.fulfilment.task_errors import TaskErrors
from app.services.fulfilment.webhooks_in import Webhooks
from app.services.money.reconciliation import Reconciliation


@dataclass(frozen=True)
class Work:
    dispatcher: Dispatcher
    webhooks: Webhooks
    collector: Collector
    cancellation: Cancellation
    expiry: Expiry
    recovery: Recovery
    reconciliation: Reconciliation
    task_errors: TaskErrors


def build_work(foundation: Foundation, money: Money, pictures: Pictures, orders: Orders) -> Work:
    jobs, clients = foundation.stores.jobs, foundation.clients
    settler = _settler(foundation, money, orders)
    cancellation = Cancellation(jobs=jobs, queue=clients.queue, fal=clients.fal)
    return Work(
        dispatcher=_dispatcher(foundation, pictures, settler),
        webhooks=_webhooks(foundation),
        collector=_collector(foundation, pictures, settler),
        cancellation=cancellation,
        expiry=Expiry(jobs=jobs, cancellation=cancellation, settler=settler),
        recovery=Recovery(jobs=jobs, queue=clients.queue, settler=settler, funds=money.funds),
        reconciliation=Reconciliation(jobs=jobs, platform=clients.platform),
        task_errors=TaskErrors(jobs=jobs, settler=settler, metrics=clients.metrics),
    )


def _settler(foundation: Foundation, money: Money, orders: Orders) -> Settler:
    return Settler(
        jobs=foundation.stores.jobs,
        usage=foundation.stores.usage,
        usage_days=foundation.stores.usage_days,
        uploads=foundation.stores.uploads,
        announcer=foundation.announcer,
        funds=money.funds,
        turns=orders.turns,
        fal=foundation.clients.fal,
        storage=foundation.clients.storage,
        metrics=foundation.clients.metrics,
    )


def _dispatcher(foundation: Foundation, pictures: Pictures, settler: Settler) -> Dispatcher:
    jobs, insisting = foundation.stores.jobs, Insisting(task_s=TASK_TIMEOUT_S)
    return Dispatcher(
        jobs=jobs,
        receipts=Receipts(jobs=jobs, box=foundation.clients.receipts, insisting=insisting),
        insisting=insisting,
        readiness=foundation.stores.readiness,
        fal=foundation.clients.fal,
        breaker=foundation.clients.breaker,
        references=pictures.references,
        announcer=foundation.announcer,
        publisher=foundation.clients.publisher,
        settler=settler,
        public_url=foundation.settings.public_url,
        metrics=foundation.clients.metrics,
        stages=foundation.stages,
    )


def _webhooks(foundation: Foundation) -> Webhooks:
    return Webhooks(
        verifier=foundation.clients.verifier,
        fal_user=FalUser(users=foundation.stores.fal_users, fixed=foundation.settings.fal_user_id, fal_key=foundation.settings.fal_key),
        jobs=foundation.stores.jobs,
        queue=foundation.clients.queue,
        fal=foundation.clients.fal,
        announcer=foundation.announcer,
        breaker=foundation.clients.breaker,
        metrics=foundation.clients.metrics,
    )


def _collector(foundation: Foundation, pictures: Pictures, settler: Settler) -> Collector:
    return Collector(
        jobs=foundation.stores.jobs,
        fal=foundation.clients.fal,
        downloader=foundation.clients.downloader,
        storage=foundation.clients.storage,
        unreadable=pictures.unreadable,
        settler=settler,
        stages=foundation.stages,
    )
