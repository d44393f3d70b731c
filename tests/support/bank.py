"""Billing on one database, as tests of the ledger use it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from app.domain import clock
from app.domain.job import Job, SweepTimeouts
from app.domain.ledger import Balance, Entry, EntryType
from app.services.money.billing import Billing
from app.services.people.accounts import Accounts
from app.stores.accounts import AccountStore, KeyStore
from app.stores.database import Database
from app.stores.jobs import JobStore
from app.stores.ledger import LedgerStore
from tests.support.factories import make_job

PRICE = 150


class Bank:
    """Billing, and Ada, a user of 1,000 tokens."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = LedgerStore(database)
        self.jobs = JobStore(database, SweepTimeouts())
        self.users = Accounts(accounts=AccountStore(database), keys=KeyStore(database))
        self.billing = self.at(timedelta(0))
        self.ada = self.users.register("ada@example.com", "correct horse").id

    def at(self, later: timedelta) -> Billing:
        """Return billing as it will be some time from now."""

        def now() -> datetime:
            return clock.now() + later

        return Billing(ledger=self.store, accounts=AccountStore(self.database), jobs=self.jobs, now=now)

    def job(self, make: Callable[..., Job] = make_job, **fields: Any) -> Job:
        job = make(user_id=self.ada, tokens_per_image=PRICE, **fields)
        self.jobs.insert(job)
        return job

    @property
    def balance(self) -> Balance:
        return self.billing.balance(self.ada)

    def entries(self) -> list[tuple[EntryType, int, int]]:
        """Return what the ledger says, oldest first: type, balance, held."""
        found = self.billing.history(self.ada, kind=None, before_id=None, limit=100)
        return [(entry.type, entry.balance, entry.held) for _, entry in reversed(found)]

    def crash_after_the_account(self, *entries: Entry) -> None:
        """Undo what follows a change of the account: as if its process had died before the entries reached the ledger."""
        docs = [self.database["ledger"].find_one_and_delete({"_id": entry.id}) for entry in entries]
        change = {"$push": {"outbox": {"$each": docs}}, "$set": {"outboxAt": entries[0].at}}
        self.database["accounts"].update_one({"_id": self.ada}, change)
