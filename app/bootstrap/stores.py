"""Every store, once, on one database."""

from __future__ import annotations

from dataclasses import dataclass

from app.clients.redis import refuse_cluster
from app.clients.storage import open_storage
from app.config import Settings
from app.domain.job import Patience
from app.stores.accounts import AccountStore, EndedSessionStore, KeyStore
from app.stores.batches import BatchStore
from app.stores.budgets import BudgetStore
from app.stores.database import Database, connect
from app.stores.durations import DurationStore
from app.stores.fal_users import FalUserStore
from app.stores.jobs import BatchJobStore, JobStore, Tombstones
from app.stores.ledger import LedgerStore
from app.stores.readiness import Readiness
from app.stores.uploads import UploadStore
from app.stores.usage import UsageDayStore, UsageStore


@dataclass(frozen=True)
class Stores:
    database: Database
    readiness: Readiness
    jobs: JobStore
    durations: DurationStore
    tombstones: Tombstones
    batches: BatchStore
    batch_jobs: BatchJobStore
    uploads: UploadStore
    accounts: AccountStore
    keys: KeyStore
    ended_sessions: EndedSessionStore
    fal_users: FalUserStore
    ledger: LedgerStore
    budgets: BudgetStore
    usage: UsageStore
    usage_days: UsageDayStore


def build_stores(settings: Settings, patience: Patience) -> Stores:
    database = connect(settings.mongodb_uri)
    return Stores(
        database=database,
        readiness=Readiness(database),
        jobs=JobStore(database, patience),
        durations=DurationStore(database),
        tombstones=Tombstones(database),
        batches=BatchStore(database),
        batch_jobs=BatchJobStore(database, patience),
        uploads=UploadStore(database),
        accounts=AccountStore(database),
        keys=KeyStore(database),
        ended_sessions=EndedSessionStore(database),
        fal_users=FalUserStore(database),
        ledger=LedgerStore(database),
        budgets=BudgetStore(database),
        usage=UsageStore(database),
        usage_days=UsageDayStore(database),
    )


def check_addresses(settings: Settings) -> None:
    """Have the drivers read the stores' addresses, and ask Redis what it is, if it answers. Raises BadSettings."""
    connect(settings.mongodb_uri).client.close()
    refuse_cluster(settings.redis_url)
    open_storage(settings)
