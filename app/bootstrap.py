"""The composition root: the one place that picks and builds stores, clients and services. Each is built when it is first asked for.

Nothing is opened here either: a connection is made at its first use. No rule of the product belongs here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from inspect import signature
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from redis import Redis

from app.clients.bounds import Bounds
from app.clients.events import EventPublisher
from app.clients.fal.breaker import Breaker
from app.clients.fal.download import Downloader
from app.clients.fal.platform import FalPlatform
from app.clients.fal.queue import FalQueue
from app.clients.fal.webhooks import WebhookArrivals, WebhookVerifier
from app.clients.guarded import Receivers
from app.clients.metrics import LEDGER_IMBALANCE, Metrics
from app.clients.queue import TASK_TIMEOUT_S, TaskQueue
from app.clients.receipt_box import ReceiptBox
from app.clients.redis import HASTY, connect_redis, refuse_cluster
from app.clients.storage import Storage, open_storage
from app.clients.webhook_sender import WebhookSender
from app.config import Settings
from app.domain.delivery import HookFormat
from app.domain.job import SweepTimeouts
from app.services.catalog.model_files import ModelFiles, Models
from app.services.catalog.model_saving import ModelSaving
from app.services.catalog.usual_times import UsualTimes
from app.services.deliveries.alerts import Alerts, slack_body
from app.services.deliveries.courier import Courier
from app.services.deliveries.endpoints import Endpoints
from app.services.deliveries.fal_form import FalSigner, FalSpelling
from app.services.deliveries.job_events import JobEvents
from app.services.deliveries.produce import Producer, standard_body
from app.services.deliveries.secrets import Secrets, Vault
from app.services.deliveries.signing import standard_headers
from app.services.erasure.jobs import Eraser
from app.services.erasure.retention import Retention
from app.services.events.announcements import Announcer
from app.services.events.waiting import JobWaiters
from app.services.fulfilment.cancellation import Cancellation
from app.services.fulfilment.collection import Collector
from app.services.fulfilment.dispatch import Dispatcher
from app.services.fulfilment.receipts import Receipts, RetryingWrites
from app.services.fulfilment.recovery import Recovery
from app.services.fulfilment.settlement import Settler
from app.services.fulfilment.stages import StageTimes
from app.services.fulfilment.task_errors import TaskErrors
from app.services.fulfilment.unreadable import Unreadable
from app.services.fulfilment.webhooks_in import FalUser, Webhooks
from app.services.money.billing import Billing
from app.services.money.budgets import Budgets
from app.services.money.funds import Funds
from app.services.money.reconciliation import Reconciliation
from app.services.operator.audit import Audit
from app.services.operator.directory import Directory
from app.services.operator.forecast import Forecasts
from app.services.operator.grants import Grants
from app.services.operator.jobs import OperatorJobs
from app.services.operator.models import ModelOverview
from app.services.operator.names import Names
from app.services.operator.now import Now
from app.services.operator.retries import Retries
from app.services.operator.runs import Runs
from app.services.operator.webhooks import OperatorWebhooks
from app.services.orders.batches import Batches
from app.services.orders.fair_share import FairShare
from app.services.orders.files import FileOrders
from app.services.orders.job_actions import JobActions
from app.services.orders.order import Prices
from app.services.orders.references import References
from app.services.orders.repeats import Repeats
from app.services.orders.submit import Orders
from app.services.orders.web_generation import WebGeneration
from app.services.people.accounts import Accounts, run_inline
from app.services.people.former import FormerLogins
from app.services.people.sessions import BearerTokens, Sessions
from app.services.people.tickets import Tickets
from app.services.people.uploads import MEGABYTE, Uploads
from app.services.pictures.archives import Archives
from app.services.pictures.finding import Pictures
from app.services.pictures.gallery import Gallery
from app.services.pictures.links import PictureLinks
from app.services.pictures.previews import Previews
from app.services.pictures.thumbnails import Thumbnails
from app.services.privacy.departures import Departures
from app.services.privacy.export import UserExport
from app.services.reports.history import History
from app.services.reports.search import Search
from app.services.reports.spend import Spend
from app.services.reports.usage import Usage
from app.stores.accounts import AccountStore, EndedSessionStore, KeyStore
from app.stores.audit import AuditStore
from app.stores.batches import BatchStore
from app.stores.budgets import BudgetStore
from app.stores.database import Database, connect
from app.stores.deliveries import DeliveryStore, EndpointStore
from app.stores.departures import DepartureStore
from app.stores.fal import DurationStore, FalUserStore
from app.stores.jobs import BatchJobStore, JobStore
from app.stores.ledger import LedgerStore
from app.stores.readiness import Readiness
from app.stores.retries import RetryRunStore
from app.stores.runs import RunStore
from app.stores.spend import SpendStore
from app.stores.steady_clock import SteadyClock
from app.stores.tombstones import Tombstones
from app.stores.uploads import UploadStore, UsedTicketStore
from app.stores.usage import UsageDayStore, UsageStore
from registry.loader import Registry, default_folder, load_prompt_templates, load_registry
from registry.openai import load_openai_rules
from registry.operations import load_operations

T = TypeVar("T")


class built_once(Generic[T]):  # noqa: N801 - a decorator, as `property` is one
    """Builds a part of an object when it is first asked for, once whichever threads ask: `cached_property` promises that no longer."""

    def __init__(self, build: Callable[[Any], T]) -> None:
        self._build = build

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> T:
        """Return the part. Called until it is built: from then on Python finds it in the object itself."""
        with instance.lock:
            parts = vars(instance)
            if self._name not in parts:
                parts[self._name] = self._build(instance)
            part: T = parts[self._name]
            return part


def part(cls: Callable[..., T], **names: str) -> built_once[T]:
    """A part that is made of others: each argument is the part of its name, `_` before it or not, or the one that `names` says.

    An argument with a default keeps it where there is no such part.
    """

    def build(services: Services) -> T:
        known = dir(services)
        own = {name: found for name in signature(cls).parameters for found in (name, f"_{name}") if found in known}
        return cls(**{name: attrgetter(found)(services) for name, found in {**own, **names}.items()})

    return built_once(build)


def _disconnect(redis: Redis) -> None:
    redis.connection_pool.disconnect()


class Services:
    """Everything a process entry or a route may call.

    Make it after a fork, never before: clients must not be shared. `offload` runs what would block the process for long (password hashes,
    checks of pictures); the web process gives it real threads. Reads the model files at once and raises RegistryError for faults in them,
    unless it is given those of the process that it comes from.
    """

    def __init__(self, settings: Settings, *, offload: Callable[..., Any] = run_inline, models: Models | None = None) -> None:
        self.settings = settings
        self.offload = offload
        # It notes how the files stand before they are read: what changes meanwhile is read anew.
        self.model_files = ModelFiles(
            folder=settings.registry_path,
            read=lambda: read_models(settings),
            take=self._take,
            offload=offload,
            is_read_now=models is None,
        )
        models = models or read_models(settings)
        self.registry, self.openai_rules = models.registry, models.openai_rules
        self.operations = load_operations()
        self.templates = load_prompt_templates()
        self.lock = threading.RLock()
        self._timeouts = SweepTimeouts(unknown_s=settings.submit_unknown_seconds)
        self._deadline = timedelta(seconds=settings.job_deadline_seconds)
        self._opened = ExitStack()

    def close(self) -> None:
        """Close the connections that are open. Processes keep them to their end; whoever goes on afterwards should not."""
        self._opened.close()

    def _closing(self, client: T, close: Callable[[T], object]) -> T:
        """Have a client closed with all others."""
        self._opened.callback(close, client)
        return client

    def forget(self) -> int:
        """Delete what has been kept long enough, and finish deletions that were cut off; returns how much. May be repeated."""
        return self.eraser.sweep() + self.retention.sweep() + self.departures.sweep()

    def _take(self, models: Models) -> None:
        self.registry.become(models.registry)
        self.openai_rules = models.openai_rules

    def mend(self) -> None:
        """Finish what crashes left outside of jobs: ledger entries, holds, half-written files. May be repeated."""
        self.funds.mend()
        self.batches.sweep()
        self.uploads.sweep()
        self.storage.sweep()
        self.unreadable.sweep()
        self.courier.measure()
        self.runs.sweep()
        self.endpoints.sweep()
        if (wrong := self.billing.audit()) is not None:
            self.metrics.set(LEDGER_IMBALANCE, wrong)

    # Clients of outside systems

    @built_once
    def database(self) -> Database:
        return self._closing(connect(self.settings.mongodb_uri), lambda database: database.client.close())

    @built_once
    def redis(self) -> Redis:
        return self._closing(connect_redis(self.settings.redis_url), _disconnect)

    @built_once
    def hasty_redis(self) -> Redis:
        """For what is done without rather than waited for: the counts of requests."""
        return self._closing(connect_redis(self.settings.redis_url, **HASTY), _disconnect)

    @built_once
    def storage(self) -> Storage:
        return self._closing(open_storage(self.settings), lambda storage: storage.close())

    @built_once
    def fal(self) -> FalQueue:
        return self._closing(FalQueue(self.settings.fal_key, self.settings.fal_hosts), FalQueue.close)

    @built_once
    def downloader(self) -> Downloader:
        return self._closing(Downloader(self.settings.fal_hosts), Downloader.close)

    queue = part(TaskQueue)
    breaker = part(Breaker)
    webhook_arrivals = part(WebhookArrivals)
    metrics = part(Metrics)
    publisher = part(EventPublisher)

    # Stores

    readiness = part(Readiness)
    jobs = part(JobStore)
    _batch_jobs = part(BatchJobStore)
    _batch_store = part(BatchStore)
    _upload_store = part(UploadStore)
    _used_tickets = part(UsedTicketStore)
    _tombstones = part(Tombstones)
    _account_store = part(AccountStore)
    _keys = part(KeyStore)
    _ended_sessions = part(EndedSessionStore)
    _ledger = part(LedgerStore)
    _budget_store = part(BudgetStore)
    _usage_store = part(UsageStore)
    _usage_days = part(UsageDayStore)
    durations = part(DurationStore)
    _audit_store = part(AuditStore)
    _spend_store = part(SpendStore)

    # People and their money

    _departure_store = part(DepartureStore)
    _former_logins = part(FormerLogins, departures="_departure_store", secret="settings.jwt_secret")  # noqa: S106 - a name, no secret

    @built_once
    def accounts(self) -> Accounts:
        return Accounts(
            accounts=self._account_store,
            keys=self._keys,
            former=self._former_logins,
            is_open=self.settings.registration == "open",
            signup_tokens=self.settings.signup_tokens,
            offload=self.offload,
        )

    bearer_tokens = part(BearerTokens)
    sessions = part(Sessions, accounts="_account_store", ended="_ended_sessions", passwords="accounts")

    @built_once
    def uploads(self) -> Uploads:
        quota_bytes = int(self.settings.upload_quota_mb * MEGABYTE)
        return Uploads(store=self._upload_store, storage=self.storage, quota_bytes=quota_bytes, offload=self.offload)

    tickets = part(Tickets, secret="settings.jwt_secret", used="_used_tickets")  # noqa: S106 - a name, no secret
    billing = part(Billing, accounts="_account_store", warn="alerts.warn")
    budgets = part(
        Budgets,
        budgets="_budget_store",
        default_micros="settings.default_budget_micros",
        global_micros="settings.global_budget_micros",
        warn="alerts.warn",
    )
    funds = part(Funds)

    _platform = built_once(lambda services: open_platform(services.settings))
    reconciliation = part(Reconciliation, usage="_usage_store")

    # Orders: alone or in a batch, waiting their turn, canceled, deleted

    _prices = part(Prices, tokens_per_usd="settings.tokens_per_usd")
    _references = part(References)
    repeats = part(Repeats)
    file_orders = part(FileOrders)
    orders = part(Orders)
    web_generation = part(WebGeneration)
    batches = part(Batches, batches="_batch_store")
    fair_share = part(FairShare, batches="_batch_store", slots="settings.batch_in_flight")
    eraser = part(Eraser, deliveries="delivery_store", asks_fal="settings.asks_fal_to_forget")
    _steady_clock = part(SteadyClock)
    retention = part(Retention, retention_days="settings.retention_days")
    job_actions = part(JobActions)
    previews = part(Previews)
    thumbnails = part(Thumbnails)
    pictures = part(Pictures, uploads="_upload_store")
    gallery = part(Gallery)
    archives = part(Archives)

    @built_once
    def links(self) -> PictureLinks:
        return PictureLinks(
            storage=self.storage, own_url=self.settings.links_url, secret=self.settings.secrets_key or self.settings.jwt_secret
        )

    # Fulfilment: dispatched, reported by fal, collected, settled; expired or recovered otherwise

    @built_once
    def _receipt_box(self) -> ReceiptBox:
        return ReceiptBox(self.settings.receipts_dir, self.redis, self.settings.fal_key)

    @built_once
    def _writes(self) -> RetryingWrites:
        return RetryingWrites(task_s=TASK_TIMEOUT_S)

    _receipts = part(Receipts, box="_receipt_box")
    dispatcher = part(Dispatcher, public_url="settings.public_url", warn="alerts.warn")
    _fal_users = part(FalUserStore)
    _fal_user = part(FalUser, users="_fal_users", fixed="settings.fal_user_id", fal_key="settings.fal_key")
    _webhook_verifier = part(WebhookVerifier, jwks_url="settings.fal_jwks_url")
    webhooks = part(Webhooks, verifier="_webhook_verifier", arrivals="webhook_arrivals")
    unreadable = part(Unreadable)
    collector = part(Collector, provenance="settings.provenance")
    _settler = part(Settler, usage="_usage_store", uploads="_upload_store")
    cancellation = part(Cancellation)
    recovery = part(Recovery)
    task_errors = part(TaskErrors)

    # Webhooks: events become deliveries, which couriers bring to their receivers

    endpoint_store = part(EndpointStore)
    delivery_store = part(DeliveryStore)

    @built_once
    def webhook_secrets(self) -> Secrets:
        return Secrets(endpoints=self.endpoint_store, vault=Vault(self.settings.secrets_key))

    @built_once
    def producer(self) -> Producer:
        return Producer(
            endpoints=self.endpoint_store,
            deliveries=self.delivery_store,
            queue=self.queue,
            spellings={
                HookFormat.STANDARD: standard_body,
                HookFormat.FAL: FalSpelling(storage=self.storage),
                HookFormat.SLACK: slack_body,
            },
            log_days=self.settings.webhook_log_days,
        )

    fal_signer = part(FalSigner, secret="settings.secrets_key")  # noqa: S106 - a name, no secret
    alerts = part(Alerts, url="settings.alert_webhook_url")
    receivers = part(
        Receivers, allow_http="settings.webhook_allow_http", private_hosts="settings.webhook_private_hosts", own_url="settings.public_url"
    )

    @built_once
    def courier(self) -> Courier:
        return Courier(
            endpoints=self.endpoint_store,
            deliveries=self.delivery_store,
            secrets=self.webhook_secrets,
            sender=self._closing(WebhookSender(self.receivers), WebhookSender.close),
            bounds=Bounds(self.redis),
            producer=self.producer,
            alerts=self.alerts,
            queue=self.queue,
            signers={
                HookFormat.STANDARD: standard_headers,
                HookFormat.FAL: lambda delivery, secrets, at: {
                    **standard_headers(delivery, secrets, at),
                    **self.fal_signer.headers(delivery, at),
                },
                HookFormat.SLACK: lambda *_: {},  # Its address is the secret.
            },
            log_days=self.settings.webhook_log_days,
            metrics=self.metrics,
        )

    endpoints = part(
        Endpoints,
        endpoints="endpoint_store",
        deliveries="delivery_store",
        secrets="webhook_secrets",
        log_days="settings.webhook_log_days",
    )

    job_events = part(JobEvents, batches="_batch_store", own_url="settings.own_url")

    # What is told of jobs

    announcer = part(Announcer)
    stages = part(StageTimes)
    waiters = part(JobWaiters)
    history = part(History)
    usual_times = part(UsualTimes)
    search = part(Search, accounts="_account_store")
    usage = part(Usage, days="_usage_days")
    departures = part(Departures, departures="_departure_store", former="_former_logins")
    user_export = part(UserExport, accounts="_account_store", uploads="_upload_store")
    spend = part(Spend, sums="_spend_store")

    # The operator's side

    audit = part(Audit)
    names = part(Names, accounts="_account_store")
    grants = part(Grants)
    _run_store = part(RunStore)
    runs = part(Runs, runs="_run_store")
    model_overview = part(ModelOverview, runs="_run_store")
    model_saving = part(ModelSaving)
    directory = part(Directory, accounts="_account_store", budgets="_budget_store")
    forecasts = part(Forecasts, budgets="_budget_store")
    status_now = part(Now, fal_limit="settings.fal_concurrency")
    operator_jobs = part(OperatorJobs, deliveries="delivery_store")
    operator_webhooks = part(OperatorWebhooks, deliveries="delivery_store")
    _retry_runs = part(RetryRunStore)
    retries = part(Retries, runs="_retry_runs")


def open_registry(settings: Settings) -> Registry:
    """Read the models that ship with the project and those of `REGISTRY_PATH`, with `MAX_MEGAPIXELS`. Raises RegistryError."""
    return load_registry(default_folder(), *operators_folder(settings)).limited(settings.max_megapixels)


def read_models(settings: Settings) -> Models:
    """Read the models and what OpenAI's words mean for them. Raises RegistryError."""
    registry = open_registry(settings)
    return Models(registry, load_openai_rules(registry, *operators_folder(settings)))


def operators_folder(settings: Settings) -> list[Path]:
    return [settings.registry_path] if settings.registry_path else []


def open_platform(settings: Settings) -> FalPlatform:
    """Return fal's platform API as the operator sees it: its commands, and the reconciliation of costs. Nothing else needs it."""
    key = settings.fal_admin_key or settings.fal_key
    return FalPlatform(api_url=settings.fal_api_url, openapi_url=settings.fal_openapi_url, admin_key=key)


def check_addresses(settings: Settings) -> None:
    """Have the drivers read the stores' addresses, and ask Redis what it is, if it answers. Raises BadSettings."""
    connect(settings.mongodb_uri).client.close()
    refuse_cluster(settings.redis_url)
    open_storage(settings).close()


def check_receipts(settings: Settings) -> None:
    """Raise BadSettings where a worker could not keep the receipt of what it buys."""
    ReceiptBox(settings.receipts_dir, connect_redis(settings.redis_url), settings.fal_key).check()
