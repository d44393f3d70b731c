"""The composition root: the one place that picks and builds stores, clients and services. Opens nothing: each connects at first use."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

from app.clients import storage as storages
from app.clients.breaker import Breaker
from app.clients.download import Downloader
from app.clients.events import EventPublisher
from app.clients.fal import FalQueue
from app.clients.queue import TaskQueue, connect_redis
from app.clients.storage import Storage
from app.config import Settings
from app.job import Patience
from app.services.announcements import Announcer
from app.services.collection import Collector
from app.services.dispatch import Dispatcher
from app.services.generation import Generation
from app.services.recovery import Recovery
from app.services.references import References
from app.services.settlement import Settler
from app.services.uploads import Uploads
from app.services.waiting import JobWaiters
from app.stores.database import Database, connect
from app.stores.jobs import JobStore
from app.stores.uploads import UploadStore
from app.stores.usage import UsageStore
from registry.loader import Registry, default_folder, load_registry


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
    dispatcher: Dispatcher
    collector: Collector
    recovery: Recovery
    uploads: Uploads
    announcer: Announcer
    waiters: JobWaiters


def build_services(settings: Settings) -> Services:
    """Return the services of one process. Call it after a fork, never before: clients must not be shared. Raises RegistryError."""
    folders = [default_folder()] + ([settings.registry_path] if settings.registry_path else [])
    registry = load_registry(*folders)
    patience = Patience(unknown_s=settings.submit_unknown_seconds)
    database = connect(settings.mongodb_uri)
    redis = connect_redis(settings.redis_url)
    storage = storages.open_storage(settings)
    jobs, upload_store = JobStore(database, patience), UploadStore(database)
    queue, breaker = TaskQueue(redis), Breaker(redis)
    publisher = EventPublisher(redis, settings.redis_url)
    announcer = Announcer(publisher, storage)
    fal = FalQueue(settings.fal_key, settings.fal_hosts)
    settler = Settler(jobs=jobs, usage=UsageStore(database), uploads=upload_store, announcer=announcer)
    uploads = Uploads(store=upload_store, storage=storage)
    references = References(uploads=uploads, storage=storage)
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
        generation=Generation(
            registry=registry,
            jobs=jobs,
            queue=queue,
            announcer=announcer,
            references=references,
            patience=patience,
            deadline_s=settings.job_deadline_seconds,
        ),
        dispatcher=Dispatcher(
            jobs=jobs,
            fal=fal,
            breaker=breaker,
            references=references,
            announcer=announcer,
            publisher=publisher,
            settler=settler,
        ),
        collector=Collector(jobs=jobs, fal=fal, downloader=Downloader(settings.fal_hosts), storage=storage, settler=settler),
        recovery=Recovery(jobs=jobs, queue=queue, fal=fal, settler=settler),
    )
