"""The life of a job as its owner sees it: ordered alone or in a batch, waiting its turn, canceled, deleted."""

from __future__ import annotations

from dataclasses import dataclass

from app.bootstrap.foundation import Foundation
from app.bootstrap.money import Money
from app.bootstrap.pictures import Pictures
from app.services.orders.batches import Batches
from app.services.orders.fair_share import Turns
from app.services.orders.job_actions import Lifecycle
from app.services.orders.submit import Generation


@dataclass(frozen=True)
class Orders:
    turns: Turns
    generation: Generation
    batches: Batches
    lifecycle: Lifecycle


def build_orders(foundation: Foundation, money: Money, pictures: Pictures) -> Orders:
    turns = _turns(foundation)
    generation = _generation(foundation, money, pictures)
    return Orders(
        turns=turns,
        generation=generation,
        batches=_batches(foundation, money, pictures, generation, turns),
        lifecycle=_lifecycle(foundation, generation),
    )


def _turns(foundation: Foundation) -> Turns:
    return Turns(
        jobs=foundation.stores.jobs,
        batch_jobs=foundation.stores.batch_jobs,
        batches=foundation.stores.batches,
        queue=foundation.clients.queue,
        announcer=foundation.announcer,
        slots=foundation.settings.batch_in_flight,
        deadline_s=foundation.settings.job_deadline_seconds,
    )


def _generation(foundation: Foundation, money: Money, pictures: Pictures) -> Generation:
    return Generation(
        prices=foundation.catalog.prices,
        jobs=foundation.stores.jobs,
        readiness=foundation.stores.readiness,
        queue=foundation.clients.queue,
        announcer=foundation.announcer,
        references=pictures.references,
        funds=money.funds,
        patience=foundation.patience,
        deadline_s=foundation.settings.job_deadline_seconds,
    )


def _batches(foundation: Foundation, money: Money, pictures: Pictures, generation: Generation, turns: Turns) -> Batches:
    return Batches(
        prices=foundation.catalog.prices,
        generation=generation,
        references=pictures.references,
        readiness=foundation.stores.readiness,
        jobs=foundation.stores.jobs,
        batch_jobs=foundation.stores.batch_jobs,
        batches=foundation.stores.batches,
        funds=money.funds,
        turns=turns,
        queue=foundation.clients.queue,
        announcer=foundation.announcer,
    )


def _lifecycle(foundation: Foundation, generation: Generation) -> Lifecycle:
    return Lifecycle(
        jobs=foundation.stores.jobs,
        tombstones=foundation.stores.tombstones,
        uploads=foundation.stores.uploads,
        storage=foundation.clients.storage,
        queue=foundation.clients.queue,
        generation=generation,
        announcer=foundation.announcer,
    )
