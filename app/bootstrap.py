"""The composition root: the one place that picks and builds stores, clients and services. Opens nothing: each connects at first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

from app.clients import storage as storages
from app.clients.breaker import Breaker
from app.clients.download import Downloader
from app.clients.events import EventPublisher
from app.clients.fal import FalQueue
from app.clients.fal_platform import FalPlatform
from app.clients.metrics import Metrics
from app.clients.queue import TaskQueue, connect_redis
from app.clients.storage import Storage
from app.clients.webhook_keys import WebhookVerifier
from app.config import Settings
from app.job import Patience
from app.services.accounts import Accounts, run_inline
from app.services.announcements import Announcer
from app.services.batch_turns import Turns
from app.services.batches import Batches
from app.services.billing import Billing
from app.services.budgets import Budgets
from app.services.collection import Collector
from app.services.dispatch import Dispatcher
from app.services.expiry import Expiry
from app.services.funds import Funds
from app.services.generation import Generation
from app.services.history import History
from app.services.lifecycle import Lifecycle
from app.services.reconciliation import Reconciliation
from app.services.recovery import Recovery
from app.services.references import References
from app.services.settlement import Settler
from app.services.stages import StageTimes
from app.services.token_prices import TokenPrices
from app.services.tokens import Tokens
from app.services.uploads import Uploads
from app.services.usage import Usage
from app.services.waiting import JobWaiters
from app.services.web_generation import WebGeneration
from app.services.webhooks import Webhooks
from app.stores.accounts import AccountStore
from app.stores.batch_jobs import BatchJobStore
from app.stores.batches import BatchStore
from app.stores.budgets import BudgetStore
from app.stores.database import Database, connect
from app.stores.durations import DurationStore
from app.stores.jobs import JobStore
from app.stores.keys import KeyStore
from app.stores.ledger import LedgerStore
from app.stores.tombstones import Tombstones
from app.stores.uploads import UploadStore
from app.stores.usage import UsageStore
from app.stores.usage_days import UsageDayStore
from registry.loader import PromptTemplates, Registry, default_folder, load_prompt_templates, load_registry
from registry.operations import OperationSpec, load_operations


@dataclass(frozen=True)
class Services:
    """Everything a process entry or a route may call."""

    settings: Settings
    registry: Registry
    database: Database
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
    expiry: Expiry
    uploads: Uploads
    accounts: Accounts
    tokens: Tokens
    token_prices: TokenPrices
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

    def mend(self) -> None:
        """Finish what crashes left outside of jobs: ledger entries, holds, half-written files. May be repeated."""
        self.funds.mend()
        self.batches.sweep()
        self.uploads.sweep()
        self.storage.sweep()
        if (wrong := self.billing.audit()) is not None:
            self.metrics.set("imagegw_ledger_imbalance", wrong)


def open_registry(settings: Settings) -> Registry:
    """Read the models that ship with the project and those of `REGISTRY_PATH`. Raises RegistryError."""
    return load_registry(default_folder(), *([settings.registry_path] if settings.registry_path else []))


def open_platform(settings: Settings) -> FalPlatform:
    """Return fal's platform API as the operator's commands see it. Nothing else needs it."""
    key = settings.fal_admin_key or settings.fal_key
    return FalPlatform(api_url=settings.fal_api_url, openapi_url=settings.fal_openapi_url, admin_key=key)


def build_services(settings: Settings, *, offload: Callable[..., Any] = run_inline) -> Services:
    """Return the services of one process. Call it after a fork, never before: clients must not be shared. Raises RegistryError.

    `offload` runs what would block the process for long (password hashes, checks of pictures); the web process gives it real threads.
    """
    registry = open_registry(settings)
    patience = Patience(unknown_s=settings.submit_unknown_seconds)
    database = connect(settings.mongodb_uri)
    redis = connect_redis(settings.redis_url)
    storage = storages.open_storage(settings)
    jobs, upload_store = JobStore(database, patience), UploadStore(database)
    usage_days = UsageDayStore(database)
    queue, breaker, metrics = TaskQueue(redis), Breaker(redis), Metrics(redis)
    stages = StageTimes(metrics)
    publisher = EventPublisher(redis)
    announcer = Announcer(publisher, storage)
    fal = FalQueue(settings.fal_key, settings.fal_hosts)
    account_store = AccountStore(database)
    billing = Billing(ledger=LedgerStore(database), accounts=account_store, jobs=jobs)
    key_store, batch_jobs, batch_store = KeyStore(database), BatchJobStore(database, patience), BatchStore(database)
    budgets = Budgets(budgets=BudgetStore(database), keys=key_store, jobs=jobs)
    funds = Funds(billing=billing, budgets=budgets)
    turns = Turns(
        jobs=jobs,
        batch_jobs=batch_jobs,
        batches=batch_store,
        queue=queue,
        announcer=announcer,
        slots=settings.batch_in_flight,
        deadline_s=settings.job_deadline_seconds,
    )
    settler = Settler(
        jobs=jobs,
        usage=UsageStore(database),
        usage_days=usage_days,
        uploads=upload_store,
        announcer=announcer,
        funds=funds,
        turns=turns,
        fal=fal,
        storage=storage,
        metrics=metrics,
    )
    uploads = Uploads(store=upload_store, storage=storage, offload=offload)
    references = References(uploads=uploads, storage=storage)
    accounts = Accounts(accounts=account_store, keys=key_store, offload=offload)
    operations, templates = load_operations(), load_prompt_templates()
    token_prices = TokenPrices(registry=registry, operations=operations)
    generation = Generation(
        registry=registry,
        jobs=jobs,
        queue=queue,
        announcer=announcer,
        references=references,
        funds=funds,
        patience=patience,
        deadline_s=settings.job_deadline_seconds,
    )
    return Services(
        settings=settings,
        registry=registry,
        database=database,
        redis=redis,
        storage=storage,
        breaker=breaker,
        jobs=jobs,
        queue=queue,
        uploads=uploads,
        announcer=announcer,
        waiters=JobWaiters(redis, jobs),
        durations=DurationStore(database),
        metrics=metrics,
        stages=stages,
        generation=generation,
        history=History(jobs=jobs),
        usage=Usage(days=usage_days),
        lifecycle=Lifecycle(
            jobs=jobs,
            tombstones=Tombstones(database),
            uploads=upload_store,
            storage=storage,
            queue=queue,
            generation=generation,
            token_prices=token_prices,
        ),
        token_prices=token_prices,
        accounts=accounts,
        tokens=Tokens(settings=settings, accounts=accounts),
        billing=billing,
        budgets=budgets,
        funds=funds,
        turns=turns,
        batches=Batches(
            registry=registry,
            generation=generation,
            references=references,
            jobs=jobs,
            batch_jobs=batch_jobs,
            batches=batch_store,
            funds=funds,
            turns=turns,
            queue=queue,
        ),
        operations=operations,
        templates=templates,
        web_generation=WebGeneration(
            generation=generation,
            uploads=uploads,
            funds=funds,
            registry=registry,
            operations=operations,
            templates=templates,
        ),
        dispatcher=Dispatcher(
            jobs=jobs,
            fal=fal,
            breaker=breaker,
            references=references,
            announcer=announcer,
            publisher=publisher,
            settler=settler,
            public_url=settings.public_url,
            metrics=metrics,
            stages=stages,
        ),
        webhooks=Webhooks(
            verifier=WebhookVerifier(settings.fal_jwks_url),
            jobs=jobs,
            queue=queue,
            fal=fal,
            announcer=announcer,
            breaker=breaker,
            metrics=metrics,
        ),
        collector=Collector(jobs=jobs, fal=fal, downloader=Downloader(settings.fal_hosts), storage=storage, settler=settler, stages=stages),
        reconciliation=Reconciliation(jobs=jobs, platform=open_platform(settings)),
        expiry=Expiry(jobs=jobs, queue=queue, fal=fal, settler=settler),
        recovery=Recovery(jobs=jobs, queue=queue, settler=settler, funds=funds),
    )
