"""What a process gets from the composition root."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

from app.clients.fal.breaker import Breaker
from app.clients.metrics import Metrics
from app.clients.queue import TaskQueue
from app.clients.storage import Storage
from app.config import Settings
from app.services.events.announcements import Announcer
from app.services.events.waiting import JobWaiters
from app.services.fulfilment.cancellation import Cancellation
from app.services.fulfilment.collection import Collector
from app.services.fulfilment.dispatch import Dispatcher
from app.services.fulfilment.expiry import Expiry
from app.services.fulfilment.recovery import Recovery
from app.services.fulfilment.stages import StageTimes
from app.services.fulfilment.task_errors import TaskErrors
from app.services.fulfilment.unreadable import Unreadable
from app.services.fulfilment.webhooks_in import Webhooks
from app.services.money.billing import Billing
from app.services.money.budgets import Budgets
from app.services.money.funds import Funds
from app.services.money.reconciliation import Reconciliation
from app.services.orders.batches import Batches
from app.services.orders.fair_share import Turns
from app.services.orders.job_actions import Lifecycle
from app.services.orders.submit import Generation
from app.services.orders.web_generation import WebGeneration
from app.services.people.accounts import Accounts
from app.services.people.bearer_tokens import Tokens
from app.services.people.sessions import Sessions
from app.services.people.uploads import Uploads
from app.services.reports.history import History
from app.services.reports.usage import Usage
from app.stores.database import Database
from app.stores.durations import DurationStore
from app.stores.jobs import JobStore
from app.stores.readiness import Readiness
from registry.loader import PromptTemplates, Registry
from registry.operations import OperationSpec


@dataclass(frozen=True)
class Services:
    """Everything a process entry or a route may call."""

    settings: Settings
    #: Runs what would hold up the process for long.
    offload: Callable[..., Any]
    registry: Registry
    database: Database
    readiness: Readiness
    redis: Redis
    storage: Storage
    breaker: Breaker
    jobs: JobStore
    queue: TaskQueue
    generation: Generation
    lifecycle: Lifecycle
    history: History
    usage: Usage
    dispatcher: Dispatcher
    collector: Collector
    recovery: Recovery
    cancellation: Cancellation
    expiry: Expiry
    uploads: Uploads
    accounts: Accounts
    tokens: Tokens
    sessions: Sessions
    billing: Billing
    budgets: Budgets
    funds: Funds
    batches: Batches
    turns: Turns
    web_generation: WebGeneration
    operations: Mapping[str, OperationSpec]
    templates: PromptTemplates
    announcer: Announcer
    waiters: JobWaiters
    metrics: Metrics
    stages: StageTimes
    durations: DurationStore
    webhooks: Webhooks
    reconciliation: Reconciliation
    task_errors: TaskErrors
    unreadable: Unreadable

    def mend(self) -> None:
        """Finish what crashes left outside of jobs: ledger entries, holds, half-written files. May be repeated."""
        self.funds.mend()
        self.batches.sweep()
        self.uploads.sweep()
        self.storage.sweep()
        self.usage.mend()
        self.unreadable.sweep()
        if (wrong := self.billing.audit()) is not None:
            self.metrics.set("imagegw_ledger_imbalance", wrong)
