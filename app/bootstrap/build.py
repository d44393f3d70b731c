"""The order in which a process is put together: what everything stands on, then area after area."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.bootstrap.foundation import Foundation, build_foundation
from app.bootstrap.money import Money, build_money
from app.bootstrap.orders import Orders, build_orders
from app.bootstrap.pictures import Pictures, build_pictures
from app.bootstrap.services import Services
from app.bootstrap.web import Web, build_web
from app.bootstrap.work import Work, build_work
from app.config import Settings
from app.services.people.accounts import run_inline


def build_services(settings: Settings, *, offload: Callable[..., Any] = run_inline) -> Services:
    """Return the services of one process. Call it after a fork, never before: clients must not be shared. Raises RegistryError.

    `offload` runs what would block the process for long (password hashes, checks of pictures); the web process gives it real threads.
    """
    foundation = build_foundation(settings)
    money = build_money(foundation)
    pictures = build_pictures(foundation, offload)
    orders = build_orders(foundation, money, pictures)
    work = build_work(foundation, money, pictures, orders)
    web = build_web(foundation, money, pictures, orders, offload)
    return _gather(foundation, money=money, pictures=pictures, orders=orders, work=work, web=web, offload=offload)


def _gather(
    foundation: Foundation, *, money: Money, pictures: Pictures, orders: Orders, work: Work, web: Web, offload: Callable[..., Any]
) -> Services:
    return Services(
        offload=offload,
        settings=foundation.settings,
        registry=foundation.catalog.registry,
        operations=foundation.catalog.operations,
        templates=foundation.catalog.templates,
        database=foundation.stores.database,
        readiness=foundation.stores.readiness,
        jobs=foundation.stores.jobs,
        durations=foundation.stores.durations,
        redis=foundation.clients.redis,
        storage=foundation.clients.storage,
        queue=foundation.clients.queue,
        breaker=foundation.clients.breaker,
        metrics=foundation.clients.metrics,
        announcer=foundation.announcer,
        stages=foundation.stages,
        billing=money.billing,
        budgets=money.budgets,
        funds=money.funds,
        uploads=pictures.uploads,
        unreadable=pictures.unreadable,
        turns=orders.turns,
        generation=orders.generation,
        batches=orders.batches,
        lifecycle=orders.lifecycle,
        dispatcher=work.dispatcher,
        webhooks=work.webhooks,
        collector=work.collector,
        cancellation=work.cancellation,
        expiry=work.expiry,
        recovery=work.recovery,
        reconciliation=work.reconciliation,
        task_errors=work.task_errors,
        accounts=web.accounts,
        tokens=web.tokens,
        sessions=web.sessions,
        web_generation=web.web_generation,
        waiters=web.waiters,
        history=web.history,
        usage=web.usage,
    )
